//! Tunnels at a restart: where it is switched on (`outpost.<login>.tunnels_at_restart`), hubs with Outpost's protocol are asked
//! for a tunnel to each of their servers that run, each by the server's own token.
//!
//! As a restart notice it is owed from the start of the process on and written down, and whoever leads asks. What fails in
//! passing is tried again a few times; a hub that refuses is not asked again: it may stop the server for which it is asked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use futures::{StreamExt, stream};
use http::StatusCode;
use serde_json::json;
use tokio::sync::SetOnce;

use super::client::{HubClient, HubError, Post, with_causes};
use super::destination::{Destination, of_tunnel};
use super::notices::may_pass;
use super::pause::pause;
use super::secret::read_address;
use crate::cluster::{Cluster, Deadline};
use crate::config::{Hub, SharedConfig};
use crate::domain::{Clock, ServiceRecord, ServiceState};
use crate::store::{Store, StoreError};

/// What the database calls it, beside the hubs of `tunnel`.
const OWED: &str = "outpost-tunnels";
/// Between looks for what other processes owe.
const OWED_ELSEWHERE: Duration = Duration::from_secs(5);
const STORE_PAUSE: Duration = Duration::from_secs(2);
/// Servers of one hub.
const AT_ONCE: usize = 8;
const ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The hub runs ssh before it answers.
const TIMEOUT: Duration = Duration::from_secs(20);
const READING_TIME: Duration = Duration::from_secs(5);

/// Whether a service's pod serves, as far as this process sees.
pub type Serves = Arc<dyn Fn(&ServiceRecord) -> bool + Send + Sync>;

/// What `app` hands in.
pub struct TunnelParts {
    pub config: SharedConfig,
    pub cluster: Cluster,
    pub store: Store,
    pub clock: Clock,
    /// The API server is on this machine: so everything else may be.
    pub is_on_one_machine: bool,
    pub serves: Serves,
}

/// The tunnels of one process. Clones are the same.
#[derive(Clone)]
pub struct Tunnels(Arc<Inner>);

struct Inner {
    parts: TunnelParts,
    client: HubClient,
    /// This process has written down what it owes.
    owed_here: SetOnce<()>,
}

/// What came of asking once.
enum Asked {
    Made,
    /// There is nothing to ask for, or no more.
    NotWanted,
    Refused(String),
    Passing(String),
}

impl Tunnels {
    pub fn new(parts: TunnelParts) -> Self {
        Self(Arc::new(Inner { parts, client: HubClient::default(), owed_here: SetOnce::new() }))
    }

    fn are_wanted(&self) -> bool {
        self.0.parts.config.current().outpost.values().any(|it| it.tunnels_at_restart)
    }

    /// This process was started: writes down that tunnels are to be made again.
    pub async fn owe(&self) {
        if self.are_wanted() {
            while let Err(error) = self.0.parts.store.owe_notice(OWED).await {
                tracing::debug!(%error, "that tunnels are to be made again is written down later");
                tokio::time::sleep(STORE_PAUSE).await;
            }
        }
        let _ = self.0.owed_here.set(());
    }

    /// Asks hubs, for as long as this process leads.
    pub async fn make_forever(self) {
        self.0.owed_here.wait().await;
        let Inner { parts, .. } = &*self.0;
        loop {
            // Without any there is nobody who owes.
            if self.are_wanted()
                && let Err(error) = self.make_owed().await
            {
                tracing::debug!(%error, "tunnels are made again later");
            } else if !parts.store.is_shared() {
                return std::future::pending().await;
            }
            pause(&parts.clock, OWED_ELSEWHERE).await;
        }
    }

    async fn make_owed(&self) -> Result<(), StoreError> {
        let parts = &self.0.parts;
        let owed = parts.store.owed_notices().await?;
        let Some((_, starts)) = owed.into_iter().find(|(of, _)| of == OWED) else { return Ok(()) };
        let running = parts.store.services_in(&[ServiceState::Running]).await?;
        let config = parts.config.current();
        let is_wanted = |it: &ServiceRecord| {
            it.server_name.outpost_name().is_some()
                && config.outpost.get(it.credential.as_str()).is_some_and(|hub| hub.tunnels_at_restart)
        };
        let mut by_hub: BTreeMap<_, Vec<ServiceRecord>> = BTreeMap::new();
        for record in running.into_iter().filter(is_wanted) {
            by_hub.entry(record.credential.clone()).or_default().push(record);
        }
        // All hubs at once: one that hangs is in no other one's way.
        join_all(by_hub.into_values().map(|records| self.make_all(records))).await;
        // A start since then owes them again.
        parts.store.notice_was_taken(OWED, starts).await?;
        Ok(())
    }

    /// Those of one hub.
    async fn make_all(&self, records: Vec<ServiceRecord>) {
        let make = |record| async move { self.make(&record).await };
        stream::iter(records).for_each_concurrent(AT_ONCE, make).await;
    }

    async fn make(&self, record: &ServiceRecord) {
        let (credential, id) = (&record.credential, &record.object_id);
        let mut wait = FIRST_PAUSE;
        for attempt in 1..=ATTEMPTS {
            let outcome = match self.ask(record).await {
                Asked::NotWanted => return,
                Asked::Made => {
                    tracing::info!(%credential, %id, "the hub made the tunnel to a server again");
                    "made"
                }
                Asked::Refused(reason) => {
                    tracing::warn!(%credential, %id, "the hub makes no tunnel to a server: {reason}");
                    "refused"
                }
                Asked::Passing(reason) => {
                    match attempt {
                        ATTEMPTS => tracing::warn!(%credential, %id, "no tunnel to a server, given up: {reason}"),
                        _ => tracing::debug!(%credential, %id, attempt, "no tunnel to a server yet: {reason}"),
                    }
                    "failed"
                }
            };
            let of = credential.to_string();
            metrics::counter!("k8smgr_tunnels_total", "credential" => of, "outcome" => outcome).increment(1);
            if outcome != "failed" {
                return;
            }
            if attempt < ATTEMPTS {
                pause(&self.0.parts.clock, wait).await;
                wait *= 2;
            }
        }
    }

    async fn ask(&self, record: &ServiceRecord) -> Asked {
        let Inner { parts, client, .. } = &*self.0;
        match parts.store.service(record.sequence).await {
            Ok(Some(current)) if current.state == ServiceState::Running => {}
            Ok(_) => return Asked::NotWanted,
            Err(error) => return Asked::Passing(error.to_string()),
        }
        let (Some(owner), deadline) = (record.objects.first(), Deadline::after(READING_TIME)) else {
            return Asked::NotWanted;
        };
        let address = match read_address(&parts.cluster, owner, deadline).await {
            Ok(Some(address)) => address,
            Ok(None) => return Asked::NotWanted,
            Err(error) => return Asked::Passing(error.to_string()),
        };
        let (config, defaults) = (parts.config.current(), Hub::default());
        let hub = config.hubs.get(record.credential.as_str()).unwrap_or(&defaults);
        let destination = match of_tunnel(hub, &address, parts.is_on_one_machine) {
            Ok(Some(destination)) => destination,
            Ok(None) => return Asked::NotWanted,
            Err(reason) => return Asked::Refused(reason.to_string()),
        };
        // Of one that does not serve yet the hub makes the tunnel itself, when it does.
        if !(parts.serves)(record) {
            return Asked::Passing("its pod is not ready".to_owned());
        }
        match record.address() {
            Some(service) => told(post(client, &destination, service).await),
            None => Asked::Refused("its start noted no address, since its description makes no Service".to_owned()),
        }
    }
}

async fn post(client: &HubClient, destination: &Destination, service: &str) -> Result<StatusCode, HubError> {
    let Destination { url, headers, certificate, reach } = destination;
    let body = json!({ "service": service }).to_string();
    client.post(Post { url, headers: headers.clone(), body, certificate, reach: *reach, timeout: TIMEOUT }).await
}

fn told(answer: Result<StatusCode, HubError>) -> Asked {
    match answer {
        Ok(status) if status.is_success() => Asked::Made,
        Ok(status) if may_pass(status) => Asked::Passing(format!("it answered {status}")),
        Ok(status) => Asked::Refused(format!("it answered {status}")),
        Err(error @ (HubError::Forbidden { .. } | HubError::Url)) => Asked::Refused(error.to_string()),
        Err(error) => Asked::Passing(with_causes(&error)),
    }
}
