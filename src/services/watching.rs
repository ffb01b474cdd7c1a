//! Every process answers polls, so every process watches what runs, also where it did not start it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument;

use super::Services;
use crate::cluster::Deadline;
use crate::domain::{AppliedObject, ServiceRecord, ServiceState};

const WATCH_TIME: Duration = Duration::from_secs(10);

impl Services {
    /// Begins the watches of all services that are known to run.
    pub fn watch_what_runs(self: &Arc<Self>) {
        let mut watched = HashSet::new();
        for service in self.known.running() {
            if watched.insert(service.watched.clone()) {
                self.watch_soon(service.objects.to_vec());
            }
        }
    }

    /// The same of what other processes start, before anybody polls it here.
    pub(super) fn watch_what_starts(self: &Arc<Self>, records: &[ServiceRecord]) {
        let is_alive = |it: &&ServiceRecord| matches!(it.state, ServiceState::Starting | ServiceState::Running);
        for record in records.iter().filter(is_alive).filter(|it| !self.cluster.is_synced(&it.objects)) {
            self.watch_soon(record.objects.clone());
        }
    }

    /// Begins the watches that a service needs, where they are missing. Does not wait for them.
    pub(super) fn watch_soon(self: &Arc<Self>, objects: Vec<AppliedObject>) {
        let services = self.clone();
        let watch = async move {
            if let Err(error) = services.cluster.watch(&objects, Deadline::after(WATCH_TIME)).await {
                tracing::debug!(%error, "a service cannot be watched yet");
            }
        };
        tokio::spawn(watch.in_current_span());
    }
}
