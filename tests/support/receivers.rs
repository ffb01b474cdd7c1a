//! What log handlers send to: receivers on sockets of this machine that keep all they get.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::wait::eventually;

/// What came, in order.
#[derive(Clone, Default)]
pub struct Received(Arc<Mutex<Vec<String>>>);

impl Received {
    fn push(&self, text: String) {
        self.0.lock().unwrap().push(text);
    }

    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// All of it, once there are `count`; begins anew.
    pub async fn take(&self, count: usize) -> Vec<String> {
        eventually(&format!("{count} messages"), async || {
            let mut all = self.0.lock().unwrap();
            (all.len() >= count).then(|| std::mem::take(&mut *all))
        })
        .await
    }
}

/// Each datagram is a message.
pub async fn udp() -> (SocketAddr, Received) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (address, received) = (socket.local_addr().unwrap(), Received::default());
    let keep = received.clone();
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_536];
        while let Ok(length) = socket.recv(&mut buffer).await {
            keep.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
        }
    });
    (address, received)
}

/// What ends in a NUL is a message, whichever connection it comes by.
pub async fn tcp() -> (SocketAddr, Received) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (address, tcp_on(listener))
}

pub fn tcp_on(listener: TcpListener) -> Received {
    let received = Received::default();
    let keep = received.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let keep = keep.clone();
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let mut message = Vec::new();
                while stream.read_until(0, &mut message).await.is_ok_and(|length| length > 0) {
                    keep.push(String::from_utf8(std::mem::take(&mut message)).unwrap());
                }
            });
        }
    });
    received
}

/// All bytes of all connections, as they come.
pub async fn raw_tcp() -> (SocketAddr, Received) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, received) = (listener.local_addr().unwrap(), Received::default());
    let keep = received.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = vec![0; 65_536];
            while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                keep.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
            }
        }
    });
    (address, received)
}

/// An SMTP server. A message is what a client says in one session, line by line, joined by newlines.
pub async fn smtp() -> (SocketAddr, Received) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, received) = (listener.local_addr().unwrap(), Received::default());
    let keep = received.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(smtp_session(stream, keep.clone()));
        }
    });
    (address, received)
}

async fn smtp_session(stream: TcpStream, keep: Received) {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    let mut said: Vec<String> = Vec::new();
    let mut in_data = false;
    writer.write_all(b"220 test ESMTP\r\n").await.unwrap();
    while let Ok(Some(line)) = lines.next_line().await {
        let verb = line.split(' ').next().unwrap().to_uppercase();
        let answer = match (in_data, verb.as_str()) {
            (true, ".") => {
                in_data = false;
                "250 taken\r\n"
            }
            (true, _) => "",
            (false, "EHLO") => "250-test\r\n250 8BITMIME\r\n",
            (false, "DATA") => {
                in_data = true;
                "354 go on\r\n"
            }
            (false, "QUIT") => "221 bye\r\n",
            (false, _) => "250 fine\r\n",
        };
        let is_end = !in_data && verb == "QUIT";
        said.push(line);
        let _ = writer.write_all(answer.as_bytes()).await;
        if is_end {
            break;
        }
    }
    keep.push(said.join("\n"));
}
