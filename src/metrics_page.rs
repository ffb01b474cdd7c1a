//! The page `/metrics`: what is counted as it happens, and what is looked up when somebody reads it. Joins the rooms
//! that are asked; never fails because one of them does not answer.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use metrics::gauge;

use crate::cluster::Cluster;
use crate::domain::ServiceState;
use crate::log_handlers::LogHandlers;
use crate::store::Store;

/// Prometheus gives up after ten seconds.
const DATABASE_TIME: Duration = Duration::from_secs(3);

pub struct MetricsPage {
    store: Store,
    cluster: Cluster,
    log_handlers: LogHandlers,
    /// What was told before has to be told as 0 once it is none.
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    credentials: BTreeSet<String>,
    handlers: BTreeSet<&'static str>,
}

impl MetricsPage {
    pub fn new(store: Store, cluster: Cluster, log_handlers: LogHandlers) -> Self {
        Self { store, cluster, log_handlers, seen: Mutex::default() }
    }

    pub async fn text(&self) -> String {
        self.database().await;
        self.watches();
        self.handlers();
        gauge!("k8smgr_starts_not_running").set(count(crate::metrics::not_running()));
        // Rendering takes a few milliseconds once there is a lot.
        tokio::task::spawn_blocking(crate::metrics::page).await.unwrap_or_default()
    }

    async fn database(&self) {
        for pool in self.store.pool_status() {
            let connections = |state, number: usize| {
                gauge!("k8smgr_database_connections", "pool" => pool.name, "state" => state).set(count(number));
            };
            connections("idle", pool.idle);
            connections("in_use", pool.in_use);
            connections("waiting", pool.waiting);
        }
        let counts = tokio::time::timeout(DATABASE_TIME, self.store.service_counts()).await;
        let is_up = matches!(counts, Ok(Ok(_)));
        gauge!("k8smgr_database_up").set(if is_up { 1 } else { 0 });
        let Ok(Ok(counts)) = counts else { return };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.credentials.extend(counts.iter().map(|it| it.credential.clone()));
        for credential in &seen.credentials {
            for state in ServiceState::ALL {
                let same = counts.iter().find(|it| it.credential == *credential && it.state == state);
                let number = same.map_or(0, |it| it.number);
                let labels = [("state", state.as_str().to_owned()), ("credential", credential.clone())];
                gauge!("k8smgr_services", &labels).set(count(usize::try_from(number).unwrap_or_default()));
            }
        }
    }

    fn watches(&self) {
        for watch in self.cluster.watches().health() {
            let labels = [("kind", watch.kind), ("namespace", watch.namespace)];
            let seconds = watch.failure.map_or(0.0, |it| it.lasts.as_secs_f64());
            gauge!("k8smgr_watch_failing_seconds", &labels).set(seconds);
        }
    }

    fn handlers(&self) {
        let statuses = self.log_handlers.statuses();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.handlers.extend(statuses.iter().map(|(name, _)| *name));
        for handler in &seen.handlers {
            let is_failing = statuses.iter().any(|(name, status)| name == handler && status.failing.is_some());
            gauge!("k8smgr_log_handler_failing", "handler" => *handler).set(if is_failing { 1 } else { 0 });
        }
    }
}

/// Numbers here are small.
fn count(number: usize) -> f64 {
    number as f64
}
