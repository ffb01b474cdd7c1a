//! A mail a record.
//!
//! The login of the environment goes only to a host that the configuration lists by name, and only over TLS.

use std::net::SocketAddr;
use std::time::Duration;

use lettre::message::header::{ContentTransferEncoding, ContentType};
use lettre::message::{Mailbox, SinglePart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{Address, Message, SmtpTransport, Transport};
use secrecy::ExposeSecret;

use super::{Lines, Sink, SinkError};
use crate::log_handlers::Record;
use crate::log_handlers::bounds::Bounds;
use crate::log_handlers::configuration::{Mail, Security};

const TIME: Duration = Duration::from_secs(10);

pub(super) struct Smtp {
    mail: Mail,
    bounds: Bounds,
    lines: Lines,
}

impl Smtp {
    pub fn new(mail: Mail, bounds: Bounds, lines: Lines) -> Self {
        Self { mail, bounds, lines }
    }

    fn message(&self, record: &Record) -> Result<Message, String> {
        let plain = ContentType::parse("text/plain; charset=\"utf-8\"").map_err(|error| error.to_string())?;
        let mut builder = Message::builder().from(mailbox(&self.mail.from)?);
        for to in &self.mail.to {
            builder = builder.to(mailbox(to)?);
        }
        let line = self.lines.line(record);
        let body = SinglePart::builder().header(plain).header(ContentTransferEncoding::QuotedPrintable).body(line);
        let message = builder.subject(self.mail.subject.clone()).date(record.time.into()).singlepart(body);
        message.map_err(|error| error.to_string())
    }

    fn transport(&self, address: SocketAddr) -> Result<SmtpTransport, String> {
        let host = &self.mail.host;
        let parameters = || TlsParameters::new(host.clone()).map_err(|error| error.to_string());
        let tls = match self.mail.security {
            Security::None => Tls::None,
            Security::StartTls => Tls::Required(parameters()?),
            Security::Tls => Tls::Wrapper(parameters()?),
        };
        // The address that was checked is the one that is connected to.
        let mut builder = SmtpTransport::builder_dangerous(address.ip().to_string())
            .port(self.mail.port)
            .tls(tls)
            .timeout(Some(TIME));
        let may_log_in = self.mail.security != Security::None && self.bounds.names(host, self.mail.port);
        if let Some(login) = self.bounds.smtp_login.as_ref().filter(|_| may_log_in) {
            let password = login.password.expose_secret().to_owned();
            builder = builder.credentials(Credentials::new(login.user.clone(), password));
        }
        Ok(builder.build())
    }
}

/// Whether mail could be sent so. Without a host none is sent, which is no mistake.
pub(in crate::log_handlers) fn check(mail: &Mail, bounds: &Bounds) -> Result<(), String> {
    if mail.host.is_empty() {
        return Ok(());
    }
    for address in std::iter::once(&mail.from).chain(&mail.to) {
        mailbox(address)?;
    }
    match bounds.names(&mail.host, mail.port) {
        true => Ok(()),
        false => bounds.addresses(&mail.host, mail.port).map(|_| ()),
    }
}

/// A plain address.
fn mailbox(address: &str) -> Result<Mailbox, String> {
    let parsed: Address = address.parse().map_err(|_| format!("{address:?} is not a mail address"))?;
    Ok(Mailbox::new(None, parsed))
}

impl Sink for Smtp {
    fn open(&mut self) -> Result<(), SinkError> {
        if self.mail.host.is_empty() {
            return Err(SinkError::Refused("mailhost is empty: nothing is sent".to_owned()));
        }
        self.bounds.addresses(&self.mail.host, self.mail.port).map(|_| ()).map_err(SinkError::Broken)
    }

    fn write(&mut self, record: &Record) -> Result<(), SinkError> {
        self.open()?;
        let (host, port) = (&self.mail.host, self.mail.port);
        let message = self.message(record).map_err(SinkError::Refused)?;
        let mut reason = String::new();
        for address in self.bounds.addresses(host, port).map_err(SinkError::Broken)? {
            let transport = self.transport(address).map_err(SinkError::Broken)?;
            match transport.send(&message) {
                Ok(_) => return Ok(()),
                Err(error) => {
                    reason = format!("{host}:{port}: {}", chain(&error));
                    if error.is_permanent() {
                        return Err(SinkError::Refused(reason));
                    }
                }
            }
        }
        Err(SinkError::Broken(reason))
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::log_handlers::{Formatter, Level};

    #[test]
    fn a_mail_has_the_headers_of_the_reference() {
        let mail = Mail {
            host: "127.0.0.1".to_owned(),
            port: 25,
            security: Security::None,
            from: "a@b".to_owned(),
            to: vec!["c@d".to_owned(), "e@example.org".to_owned()],
            subject: "Prüfung".to_owned(),
        };
        let lines = Lines { formatter: Formatter::Simple, zone: TimeZone::UTC };
        let time = "2026-11-20T11:21:36.512Z".parse().unwrap();
        let record = Record::new(time, Level::CRITICAL, ("src/http/log_test.rs", 38, "k8smgr::http"), "Critical", []);
        let message = Smtp::new(mail, Bounds::default(), lines).message(&record).unwrap().formatted();
        insta::assert_snapshot!(String::from_utf8(message).unwrap().replace('\r', ""), @r#"
        From: a@b
        To: c@d, e@example.org
        Subject: =?utf-8?b?UHLDvGZ1bmc=?=
        Date: Fri, 20 Nov 2026 11:21:36 +0000
        MIME-Version: 1.0
        Content-Type: text/plain; charset="utf-8"
        Content-Transfer-Encoding: quoted-printable

        2026-11-20 11:21:36,512 logger=3DK8sMgr levelno=3D50 levelname=3DCRITICAL f=
        ile=3Dsrc/http/log_test.rs line=3D38 function=3Dk8smgr::http : Critical
        "#);
    }
}
