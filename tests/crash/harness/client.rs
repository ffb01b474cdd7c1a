//! A hub's HTTP client: an answer that came whole, or none.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::site::TOKEN;

/// Secrets that every start is given: they must not be found outside of the cluster's Secrets.
pub const CANARIES: [&str; 4] = ["canary-token-7d1", "canary-state-b46", "canary-access-0a9", TUNNEL_TOKEN];
/// With which hubs are told of restarts.
pub const TUNNEL_TOKEN: &str = "canary-tunnel-5e2";
/// A hub gives up after as long.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug)]
pub struct Client {
    address: SocketAddr,
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    pub async fn start(&self, name: &str, start_id: &str, service: &str, user_id: i64) -> Option<Answer> {
        let body = json!({
            "env": {"JUPYTERHUB_STATUS_URL": "x", "JUPYTERHUB_API_TOKEN": CANARIES[0], "JUPYTERHUB_USER_ID": user_id},
            "auth_state": {"access_token": CANARIES[1]},
            "user_options": {"service": service},
            "start_id": start_id,
        });
        self.send("POST", "/api/services/", Some((name, &body.to_string()))).await
    }

    pub async fn poll(&self, name: &str) -> Option<Answer> {
        self.send("GET", &format!("/api/services/{name}/"), None).await
    }

    pub async fn stop(&self, name: &str) -> Option<Answer> {
        self.send("DELETE", &format!("/api/services/{name}/"), None).await
    }

    pub async fn update(&self, name: &str) -> Option<Answer> {
        self.send("PUT", &format!("/api/services/{name}/"), None).await
    }

    async fn send(&self, method: &str, path: &str, post: Option<(&str, &str)>) -> Option<Answer> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: k8smgr\r\nConnection: close\r\n");
        head.push_str(&format!("Authorization: token {TOKEN}\r\n"));
        let body = post.map_or("", |(name, body)| {
            head.push_str(&format!(
                "uuidcode: {name}\r\naccess-token: {}\r\nContent-Type: application/json\r\n",
                CANARIES[2]
            ));
            body
        });
        let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        let exchange = async {
            let mut stream = TcpStream::connect(self.address).await.ok()?;
            stream.write_all(request.as_bytes()).await.ok()?;
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).await.ok()?;
            Some(bytes)
        };
        read(&tokio::time::timeout(PATIENCE, exchange).await.ok()??)
    }
}

/// `None`: it was cut short.
fn read(bytes: &[u8]) -> Option<Answer> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let status: u16 = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let length = lines.find_map(|it| it.to_ascii_lowercase().strip_prefix("content-length:").map(str::to_owned));
    let length: usize = length.map_or(Some(0), |it| it.trim().parse().ok())?;
    (body.len() == length).then(|| Answer { status, body: serde_json::from_str(body).unwrap_or(Value::Null) })
}

impl Answer {
    pub fn says_running(&self) -> bool {
        self.status == 200 && self.body["running"] == true
    }

    pub fn says_over(&self) -> bool {
        self.status == 404 || (self.status == 200 && self.body["running"] == false)
    }
}
