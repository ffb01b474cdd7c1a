//! A bare warp server that answers a constant of a given size: the most that this kind of server can do.

use std::net::SocketAddr;
use std::process::Stdio;

use anyhow::Context;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use warp::Filter;

use crate::process::on_core;

pub async fn serve(size: usize) -> anyhow::Result<()> {
    let body = "x".repeat(size);
    let route = warp::any().map(move || body.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on http://{}", listener.local_addr()?);
    let service = TowerToHyperService::new(warp::service(route));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let service = service.clone();
        // A client that goes away is no concern of the others.
        tokio::spawn(async move { http1::Builder::new().serve_connection(TokioIo::new(stream), service).await });
    }
}

/// The constant server in a process of its own; it ends with this value.
pub struct Constant {
    pub address: SocketAddr,
    _child: Child,
}

impl Constant {
    pub async fn start_on(size: usize, core: usize) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["constant", &size.to_string()]);
        let (child, address) = listening(on_core(core, || spawn(command))??).await?;
        Ok(Self { address, _child: child })
    }
}

/// Starts a server that prints where it listens; it ends with the value.
pub fn spawn(mut command: Command) -> anyhow::Result<Child> {
    command.stdout(Stdio::piped()).kill_on_drop(true).spawn().context("failed to start the server")
}

/// Waits until it does.
pub async fn listening(mut child: Child) -> anyhow::Result<(Child, SocketAddr)> {
    let mut lines = BufReader::new(child.stdout.take().context("no output of the server")?).lines();
    while let Some(line) = lines.next_line().await? {
        if let Some(address) = line.strip_prefix("listening on http://") {
            let address = address.trim().parse()?;
            // What it prints later must not fill the pipe.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok((child, address));
        }
    }
    anyhow::bail!("the server ended before it listened: {}", child.wait().await?)
}
