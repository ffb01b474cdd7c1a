//! An HTTP/1.1 client that sends exactly what it is told, also what no client library would.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::json::Json;

/// Nothing that the service is asked takes longer; a hub gives up after 20 s.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Option<Vec<u8>>,
}

impl Request {
    pub fn new(method: &str, path: &str) -> Self {
        Self { method: method.to_owned(), path: path.to_owned(), headers: Vec::new(), body: None }
    }

    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    /// Characters up to U+00FF become one byte each.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), latin1(value)));
        self
    }

    pub fn raw_header(mut self, name: &str, value: &[u8]) -> Self {
        self.headers.push((name.to_owned(), value.to_vec()));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    pub fn json(self, body: &serde_json::Value) -> Self {
        self.header("Content-Type", "application/json").body(body.to_string())
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.path).into_bytes();
        let has = |name: &str| self.headers.iter().any(|(it, _)| it.eq_ignore_ascii_case(name));
        if !has("host") {
            bytes.extend_from_slice(b"Host: 127.0.0.1:18080\r\n");
        }
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        if let Some(body) = &self.body {
            bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"Connection: close\r\n\r\n");
        bytes.extend_from_slice(self.body.as_deref().unwrap_or_default());
        bytes
    }

    pub async fn send(&self, address: SocketAddr) -> Answer {
        send_raw(address, &self.to_bytes()).await
    }

    /// For one of so many at once that a slow machine needs longer for all of them.
    pub async fn send_within(&self, patience: Duration, address: SocketAddr) -> Answer {
        send_raw_within(patience, address, &self.to_bytes()).await
    }
}

/// One byte a character; what is beyond Latin-1 as UTF-8.
pub fn latin1(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for c in text.chars() {
        match u8::try_from(u32::from(c)) {
            Ok(byte) => bytes.push(byte),
            Err(_) => bytes.extend_from_slice(c.to_string().as_bytes()),
        }
    }
    bytes
}

/// Sends bytes as they are and reads the answer to its end.
pub async fn send_raw(address: SocketAddr, request: &[u8]) -> Answer {
    send_raw_within(PATIENCE, address, request).await
}

async fn send_raw_within(patience: Duration, address: SocketAddr, request: &[u8]) -> Answer {
    let answered = tokio::time::timeout(patience, async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The server may answer and close before it has read all.
        let _ = stream.write_all(request).await;
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes).await;
        bytes
    });
    let is_head = request.starts_with(b"HEAD ");
    let bytes = answered.await.expect("an answer in time");
    assert!(!bytes.is_empty(), "no answer to {:?}", String::from_utf8_lossy(&request[..request.len().min(100)]));
    Answer::parse(&bytes, is_head)
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    fn parse(bytes: &[u8], is_head: bool) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP answer: {text:?}"));
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap_or_default();
        let status = status.split(' ').nth(1).and_then(|it| it.parse().ok());
        let split =
            |line: &str| line.split_once(':').map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()));
        let headers: Vec<_> = lines.filter_map(split).collect();
        assert!(!is_head || body.is_empty(), "an answer to HEAD has no body: {body}");
        Self { status: status.expect("a status line"), headers, body: body.to_owned() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Json {
        Json::parse(&self.body)
    }

    pub fn value(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {} {}", self.status, self.body))
    }

    /// Status and body together.
    pub fn assert(&self, status: u16, body: &str) {
        assert_eq!((self.status, self.body.as_str()), (status, body));
    }
}
