//! The database at the start of the process: a server that is not up yet is waited for, as long as it takes, because
//! in a cluster everything starts at once. One that refuses us is not.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::http::{Limits, Server, waiting_routes};
use crate::store::{CryptKeys, DatabaseUrl, Sealing, Store, StoreError};
use crate::tls::ServerTls;

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Where to say so: probes may ask at either.
pub struct Listeners<'a> {
    pub api: &'a std::net::TcpListener,
    pub tls: Option<&'a Arc<ServerTls>>,
    pub operators: Option<&'a std::net::TcpListener>,
}

/// Opens the database. While it is waited for, `/livez` says that the process lives and all else that it is not ready. Where it holds
/// what no key of ours opens, nothing is done.
pub async fn open(
    url: &DatabaseUrl,
    keys: &CryptKeys,
    listeners: &Listeners<'_>,
    limits: Limits,
) -> anyhow::Result<Store> {
    let mut pause = FIRST_PAUSE;
    let mut waiting = None;
    loop {
        let error = match unlocked(url, keys).await {
            Ok((store, sealing)) => {
                if let Some(waiting) = waiting {
                    Waiting::end(waiting).await;
                    tracing::info!("the database is there");
                }
                tell(keys, &sealing);
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

async fn unlocked(url: &DatabaseUrl, keys: &CryptKeys) -> Result<(Store, Sealing), StoreError> {
    Store::connect(url).await?.unlock(keys.clone()).await
}

/// How what is kept of requests is kept.
fn tell(keys: &CryptKeys, sealing: &Sealing) {
    let Some(key) = keys.sealing() else {
        tracing::info!(
            "the database keeps user options, update.yaml and explanations in clear; K8SMGR_CRYPT_KEYS seals them"
        );
        return;
    };
    tracing::info!(%key, "the database keeps user options, update.yaml and explanations sealed");
    if sealing.clear > 0 || sealing.sealed_before > 0 {
        let (in_clear, by_other_keys) = (sealing.clear, sealing.sealed_before);
        tracing::warn!(in_clear, by_other_keys, %key, "services from before are kept otherwise: run `k8smgr rekey`");
    }
    if sealing.damaged > 0 {
        tracing::error!(services = sealing.damaged, "some texts of services are damaged: they are left out of answers");
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
