//! Asks hubs for the lists of their servers, and stops what runs here for a hub that no longer knows it. Each hub's list is held
//! against that hub's own services; `server_list.rs` decides what is believed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use http::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use http::{HeaderMap, StatusCode};
use jiff::SignedDuration;

use super::address::Reach;
use super::client::{Get, HubClient, HubError, with_causes};
use super::destination::authorization;
use super::server_list::{Compared, Comparison, ListError, Listed, ServerList, listed_name};
use crate::config::{Cleanup, CleanupHub, Hub, SharedConfig};
use crate::domain::{Clock, Credential, Moment, ServerName, ServiceRecord, ServiceState};
use crate::store::{Store, StoreError};

/// Between looks at what is due.
const TICK: Duration = Duration::from_millis(250);
const TIMEOUT: Duration = Duration::from_secs(10);
/// Of a list: some ten thousand servers.
const LONGEST_LIST: usize = 4 * 1024 * 1024;

/// Stops a service as a DELETE does.
pub type StopService = Arc<dyn Fn(Credential, ServerName) -> BoxFuture<'static, ()> + Send + Sync>;

/// What `app` hands in.
#[derive(Clone)]
pub struct CleanupParts {
    pub cleanup: Cleanup,
    pub config: SharedConfig,
    pub store: Store,
    pub clock: Clock,
    pub stop: StopService,
}

#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error("JUPYTERHUB_CLEANUP_TOKENS holds characters that no header may have")]
    Token,
    #[error("{}", with_causes(.0))]
    Hub(#[from] HubError),
    #[error("it answered {0}")]
    Status(StatusCode),
    #[error(transparent)]
    List(#[from] ListError),
    #[error("the database failed: {0}")]
    Store(#[from] StoreError),
    #[error("its list names servers of another hub and none of its own: look at the order of JUPYTERHUB_CLEANUP_URLS")]
    OfAnotherHub,
}

/// One hub and what was seen of it so far.
struct Compare {
    hub: CleanupHub,
    comparison: Comparison,
    /// Since when a service has been known.
    seen: HashMap<i64, Moment>,
    /// What the log says already.
    reason: Option<String>,
}

/// Compares for as long as this process leads.
pub async fn clean_up_forever(parts: CleanupParts) {
    if parts.cleanup.hubs.is_empty() {
        return std::future::pending().await;
    }
    let client = HubClient::default();
    let compare = |hub: &CleanupHub| Compare {
        hub: hub.clone(),
        comparison: Comparison::default(),
        seen: HashMap::new(),
        reason: None,
    };
    let mut hubs: Vec<Compare> = parts.cleanup.hubs.iter().map(compare).collect();
    loop {
        let began = parts.clock.moment();
        join_all(hubs.iter_mut().map(|it| it.look(&parts, &client))).await;
        while parts.clock.moment().since(began) < parts.cleanup.interval {
            tokio::time::sleep(TICK).await;
        }
    }
}

impl Compare {
    async fn look(&mut self, parts: &CleanupParts, client: &HubClient) {
        let credential = self.hub.credential.clone();
        let outcome = match self.compare(parts, client).await {
            Ok((Compared::Unlisted(sequences), own)) => {
                self.reason = None;
                for record in own.iter().filter(|it| sequences.contains(&it.sequence)) {
                    self.stop(parts, record).await;
                }
                "compared"
            }
            Ok((Compared::Unconfirmed, own)) => {
                let reason =
                    format!("its list names none of the {} servers that run here: asked again later", own.len());
                self.doubt(reason);
                "unconfirmed"
            }
            Ok((Compared::OfAnotherHub, _)) => {
                self.doubt(LookError::OfAnotherHub.to_string());
                "refused"
            }
            Err(error) => {
                self.comparison.forget();
                self.doubt(error.to_string());
                if matches!(error, LookError::List(_) | LookError::Token) { "refused" } else { "failed" }
            }
        };
        let credential = credential.to_string();
        metrics::counter!("k8smgr_hub_lists_total", "credential" => credential, "outcome" => outcome).increment(1);
    }

    /// Once a reason: a hub may be away for hours.
    fn doubt(&mut self, reason: String) {
        if self.reason.as_ref() != Some(&reason) {
            let credential = &self.hub.credential;
            tracing::warn!(%credential, "nothing is cleaned up for the hub (JUPYTERHUB_CLEANUP_URLS): {reason}");
            self.reason = Some(reason);
        }
    }

    async fn compare(
        &mut self,
        parts: &CleanupParts,
        client: &HubClient,
    ) -> Result<(Compared, Vec<ServiceRecord>), LookError> {
        let list = self.read_list(parts, client).await?;
        // Read afterwards: what is there by now and was begun before is on the list, or ought to be.
        let alive = parts.store.services_in(&[ServiceState::Starting, ServiceState::Running]).await?;
        let (own, others): (Vec<_>, Vec<_>) = alive
            .into_iter()
            .filter(|it| it.server_name.outpost_name().is_some())
            .partition(|it| it.credential == self.hub.credential);
        self.seen.retain(|sequence, _| own.iter().any(|it| it.sequence == *sequence));
        let grace = parts.config.current().outpost.get(self.hub.credential.as_str()).cloned().unwrap_or_default();
        let listed: Vec<_> = own.iter().filter_map(|it| self.listed(it, grace.cleanup_grace(), &parts.clock)).collect();
        let others: HashSet<String> = others.iter().filter_map(|it| listed_name(&it.server_name)).collect();
        Ok((self.comparison.compare(&list, &listed, &others), own))
    }

    /// A service that does not run yet is told by the young ones among these.
    fn listed(&mut self, record: &ServiceRecord, grace: Duration, clock: &Clock) -> Option<Listed> {
        let now = clock.moment();
        let seen_for = now.since(*self.seen.entry(record.sequence).or_insert(now));
        let limit = SignedDuration::try_from(grace).unwrap_or(SignedDuration::MAX);
        let is_stamped = !clock.has_jumped() && clock.now().duration_since(record.start_date) >= limit;
        let is_old = record.state == ServiceState::Running && (seen_for >= grace || is_stamped);
        Some(Listed { sequence: record.sequence, name: listed_name(&record.server_name)?, is_old })
    }

    async fn read_list(&self, parts: &CleanupParts, client: &HubClient) -> Result<ServerList, LookError> {
        let token = authorization(&self.hub.token).ok_or(LookError::Token)?;
        let headers =
            HeaderMap::from_iter([(AUTHORIZATION, token), (ACCEPT, HeaderValue::from_static("application/json"))]);
        let (config, defaults) = (parts.config.current(), Hub::default());
        let hub = config.hubs.get(self.hub.credential.as_str()).unwrap_or(&defaults);
        let get = Get {
            url: &self.hub.url,
            headers,
            certificate: &hub.certificate_path,
            reach: Reach::Configured,
            timeout: TIMEOUT,
            longest_body: LONGEST_LIST,
        };
        let (status, body) = client.get(get).await?;
        if status != StatusCode::OK {
            return Err(LookError::Status(status));
        }
        Ok(ServerList::parse(&body)?)
    }

    async fn stop(&self, parts: &CleanupParts, record: &ServiceRecord) {
        tracing::warn!(
            credential = %record.credential, server_name = %record.server_name, id = %record.object_id,
            "a service is stopped: two lists of its hub in a row do not name it"
        );
        metrics::counter!("k8smgr_unlisted_services_total").increment(1);
        (parts.stop)(record.credential.clone(), record.server_name.clone()).await;
    }
}
