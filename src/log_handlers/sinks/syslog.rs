//! A syslog server, over UDP or TCP.
//!
//! The reference sends `<PRI>`, the line and a NUL, facility `user`, over both. RFC 5424 is an option; over TCP each
//! message then has its length before it (RFC 6587, octet counting).

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use super::{Lines, Sink, SinkError};
use crate::log_handlers::Record;
use crate::log_handlers::bounds::{Bounds, why};
use crate::log_handlers::configuration::{Protocol, Transport};

const WRITE_TIME: Duration = Duration::from_secs(5);
const FACILITY_USER: u8 = 1;
const PROGRAM: &str = "k8smgr";

pub(super) struct Syslog {
    address: (String, u16),
    transport: Transport,
    protocol: Protocol,
    bounds: Bounds,
    lines: Lines,
    host_name: String,
    connection: Option<Connection>,
}

enum Connection {
    Datagrams(UdpSocket),
    Stream(TcpStream),
}

impl Syslog {
    pub fn new(address: (String, u16), transport: Transport, protocol: Protocol, bounds: Bounds, lines: Lines) -> Self {
        let host_name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host_name: String = host_name.trim().chars().filter(char::is_ascii_graphic).take(255).collect();
        let host_name = if host_name.is_empty() { "-".to_owned() } else { host_name };
        Self { address, transport, protocol, bounds, lines, host_name, connection: None }
    }

    fn connect(&self) -> Result<Connection, String> {
        let (host, port) = &self.address;
        match self.transport {
            Transport::Datagram => {
                let addresses = self.bounds.addresses(host, *port)?;
                let address = addresses.first().ok_or_else(|| format!("host {host:?} has no address"))?;
                datagrams(address).map(Connection::Datagrams).map_err(|error| why(&error))
            }
            Transport::Stream => {
                let stream = self.bounds.connect(host, *port)?;
                let _ = stream.set_nodelay(true);
                stream.set_write_timeout(Some(WRITE_TIME)).map_err(|error| why(&error))?;
                Ok(Connection::Stream(stream))
            }
        }
    }

    fn message(&self, record: &Record) -> Vec<u8> {
        let priority = FACILITY_USER * 8 + record.level.syslog_severity();
        let line = self.lines.line(record);
        match (self.protocol, self.transport) {
            (Protocol::Rfc3164, _) => format!("<{priority}>{line}\0").into_bytes(),
            (Protocol::Rfc5424, transport) => {
                let time = record.time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ");
                let (host, process) = (&self.host_name, std::process::id());
                let message = format!("<{priority}>1 {time} {host} {PROGRAM} {process} - - {line}");
                match transport {
                    Transport::Datagram => message.into_bytes(),
                    Transport::Stream => format!("{} {message}", message.len()).into_bytes(),
                }
            }
        }
    }

    fn broken(&mut self, reason: String) -> SinkError {
        self.connection = None;
        let (host, port) = &self.address;
        SinkError::Broken(format!("{host}:{port}: {reason}"))
    }
}

impl Sink for Syslog {
    fn open(&mut self) -> Result<(), SinkError> {
        if self.connection.is_none() {
            self.connection = Some(self.connect().map_err(SinkError::Broken)?);
        }
        Ok(())
    }

    fn write(&mut self, record: &Record) -> Result<(), SinkError> {
        // A peer that has closed takes one more message into its grave: look first.
        if matches!(&self.connection, Some(Connection::Stream(stream)) if was_closed(stream)) {
            self.connection = None;
        }
        self.open()?;
        let message = self.message(record);
        match &mut self.connection {
            Some(Connection::Datagrams(socket)) => match socket.send(&message) {
                Ok(_) => Ok(()),
                // Tells of an earlier datagram; this one was not sent yet.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => match socket.send(&message) {
                    Ok(_) => Err(SinkError::Refused(format!("{}:{}: nobody listens", self.address.0, self.address.1))),
                    Err(error) => Err(self.broken(why(&error))),
                },
                Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => {
                    Err(SinkError::Refused(format!("a record of {} bytes fits no datagram", message.len())))
                }
                Err(error) => Err(self.broken(why(&error))),
            },
            Some(Connection::Stream(stream)) => match stream.write_all(&message) {
                Ok(()) => Ok(()),
                Err(error) => Err(self.broken(why(&error))),
            },
            None => Err(self.broken("not connected".to_owned())),
        }
    }
}

fn datagrams(address: &SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = match address {
        SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?,
        SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?,
    };
    socket.connect(address)?;
    socket.set_write_timeout(Some(WRITE_TIME))?;
    Ok(socket)
}

fn was_closed(mut stream: &TcpStream) -> bool {
    if stream.set_nonblocking(true).is_err() {
        return true;
    }
    let closed = loop {
        match stream.read(&mut [0; 256]) {
            Ok(0) => break true,
            // Syslog servers say nothing; if one does, it is not for us.
            Ok(_) => {}
            Err(error) => break error.kind() != ErrorKind::WouldBlock,
        }
    };
    stream.set_nonblocking(false).is_err() || closed
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::log_handlers::{Formatter, Level};

    fn syslog(transport: Transport, protocol: Protocol) -> Syslog {
        let lines = Lines { formatter: Formatter::Simple, zone: TimeZone::UTC };
        Syslog::new(("127.0.0.1".to_owned(), 514), transport, protocol, Bounds::default(), lines)
    }

    fn record(level: Level) -> Record {
        Record::new("2026-11-20T11:21:28.011Z".parse().unwrap(), level, ("f.rs", 3, "m"), "Infö", [])
    }

    #[test]
    fn the_priority_is_the_reference_s() {
        let sink = syslog(Transport::Datagram, Protocol::Rfc3164);
        for (level, priority) in [
            (Level::TRACE, "<12>"),
            (Level::DEBUG, "<15>"),
            (Level::INFO, "<14>"),
            (Level::WARNING, "<12>"),
            (Level::ERROR, "<11>"),
            (Level::CRITICAL, "<10>"),
        ] {
            let message = String::from_utf8(sink.message(&record(level))).unwrap();
            assert!(message.starts_with(&format!("{priority}2026-11-20 11:21:28,011 logger=K8sMgr ")), "{message}");
            assert!(message.ends_with(" : Infö\0"));
        }
    }

    #[test]
    fn rfc_5424_has_a_header_and_a_length_over_tcp() {
        let mut sink = syslog(Transport::Stream, Protocol::Rfc5424);
        sink.host_name = "node1".to_owned();
        let message = String::from_utf8(sink.message(&record(Level::INFO))).unwrap();
        let (length, rest) = message.split_once(' ').unwrap();
        assert_eq!(length.parse(), Ok(rest.len()));
        let header = format!("<14>1 2026-11-20T11:21:28.011000Z node1 k8smgr {} - - 2026-", std::process::id());
        assert!(rest.starts_with(&header) && rest.ends_with(" : Infö"), "{rest}");
    }
}
