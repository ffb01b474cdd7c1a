//! One connection to a server: kept, or a new one for each request as hubs do.

use std::net::SocketAddr;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// What is sent: all but the connection.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: Method,
    pub path: String,
    pub server_name: Option<String>,
    pub body: Bytes,
}

impl Call {
    pub fn get(path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), server_name: None, body: Bytes::new() }
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Bytes,
}

/// Where to, as whom, and whether connections are kept.
#[derive(Clone, Debug)]
pub struct Target {
    pub address: SocketAddr,
    pub authorization: Option<String>,
    pub keep: bool,
}

/// A client with one connection at a time.
pub struct Client {
    target: Target,
    kept: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    pub fn new(target: Target) -> Self {
        Self { target, kept: None }
    }

    pub async fn send(&mut self, call: &Call) -> anyhow::Result<Answer> {
        let mut sender = match self.kept.take() {
            Some(kept) if kept.is_ready() => kept,
            _ => self.connect().await?,
        };
        let answer = sender.send_request(self.request(call)?).await?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await?.to_bytes();
        if self.target.keep && sender.ready().await.is_ok() {
            self.kept = Some(sender);
        }
        Ok(Answer { status, body })
    }

    async fn connect(&self) -> anyhow::Result<SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(self.target.address).await.context("failed to connect")?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    fn request(&self, call: &Call) -> anyhow::Result<Request<Full<Bytes>>> {
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(&call.path)
            .header("Host", self.target.address.to_string())
            .header("Accept", "application/json");
        if let Some(authorization) = &self.target.authorization {
            request = request.header("Authorization", authorization);
        }
        if let Some(name) = &call.server_name {
            request = request.header("Uuidcode", name);
        }
        if !call.body.is_empty() {
            request = request.header("Content-Type", "application/json");
        }
        if !self.target.keep {
            request = request.header("Connection", "close");
        }
        Ok(request.body(Full::new(call.body.clone()))?)
    }
}
