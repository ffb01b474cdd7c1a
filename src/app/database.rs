//! The database at the start of the process: a server that is not up yet is waited for, as long as it takes, because
//! in a cluster everything starts at once. One that refuses us is not.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::http::{Limits, Server, waiting_routes};
use crate::store::{DatabaseUrl, Store};
use crate::tls::ServerTls;

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Where to say so: probes may ask at either.
pub struct Listeners<'a> {
    pub api: &'a std::net::TcpListener,
    pub tls: Option<&'a Arc<ServerTls>>,
    pub operators: Option<&'a std::net::TcpListener>,
}

/// Opens the database. While it is waited for, `/livez` says that the process lives and all else that it is not ready.
pub async fn open(url: &DatabaseUrl, listeners: &Listeners<'_>, limits: Limits) -> anyhow::Result<Store> {
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
            waiting = Some(Waiting::begin(listeners, &limits)?);
        }
        tokio::time::sleep(pause).await;
        // Nobody follows the files yet.
        if let Some(tls) = listeners.tls.cloned() {
            let _ = tokio::task::spawn_blocking(move || tls.look()).await;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// The server that says that there is none yet.
struct Waiting {
    end: watch::Sender<bool>,
    servers: JoinSet<()>,
}

impl Waiting {
    fn begin(listeners: &Listeners<'_>, limits: &Limits) -> anyhow::Result<Self> {
        let (end, ended) = watch::channel(false);
        let mut servers = JoinSet::new();
        let operators = listeners.operators.map(|listener| (listener, None));
        for (listener, tls) in [(listeners.api, listeners.tls)].into_iter().chain(operators) {
            let listener =
                listener.try_clone().and_then(TcpListener::from_std).context("failed to share the listener")?;
            let server = Server::new(listener, waiting_routes(), limits.clone()).with_tls(tls.cloned());
            servers.spawn(server.run(ended.clone()));
        }
        Ok(Self { end, servers })
    }

    /// Whoever asks now is answered; the servers end with this in any case.
    async fn end(mut self) {
        self.end.send_replace(true);
        while self.servers.join_next().await.is_some() {}
    }
}
