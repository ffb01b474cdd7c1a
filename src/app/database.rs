//! The database at the start of the process: a server that is not up yet is waited for, as long as it takes, because
//! in a cluster everything starts at once. One that refuses us is not.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::http::{Limits, Server, waiting_routes};
use crate::store::{DatabaseUrl, Store};
use crate::tls::ServerTls;

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Opens the database. While it is waited for, `/livez` says that the process lives and all else that it is not ready.
pub async fn open(
    url: &DatabaseUrl,
    listener: &std::net::TcpListener,
    tls: Option<&Arc<ServerTls>>,
    limits: Limits,
) -> anyhow::Result<Store> {
    let mut pause = FIRST_PAUSE;
    let mut waiting = None;
    loop {
        let error = match Store::connect(url).await {
            Ok(store) => {
                if let Some(waiting) = waiting {
                    Waiting::end(waiting).await;
                    tracing::info!("the database is there");
                }
                return Ok(store);
            }
            Err(error) if error.may_come_up() => anyhow::Error::from(error),
            Err(error) => return Err(error).with_context(|| format!("database {url}")),
        };
        tracing::warn!(pause_ms = pause.as_millis(), "waiting for the database: {error:#}");
        if waiting.is_none() {
            waiting = Some(Waiting::begin(listener, tls.cloned(), limits.clone())?);
        }
        tokio::time::sleep(pause).await;
        // Nobody follows the files yet.
        if let Some(tls) = tls.cloned() {
            let _ = tokio::task::spawn_blocking(move || tls.look()).await;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// The server that says that there is none yet.
struct Waiting {
    end: watch::Sender<bool>,
    server: tokio::task::JoinHandle<()>,
}

impl Waiting {
    fn begin(listener: &std::net::TcpListener, tls: Option<Arc<ServerTls>>, limits: Limits) -> anyhow::Result<Self> {
        let listener = listener.try_clone().and_then(TcpListener::from_std).context("failed to share the listener")?;
        let (end, ended) = watch::channel(false);
        let server = tokio::spawn(Server::new(listener, waiting_routes(), limits).with_tls(tls).run(ended));
        Ok(Self { end, server })
    }

    async fn end(mut self) {
        self.end.send_replace(true);
        let _ = (&mut self.server).await;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.server.abort();
    }
}
