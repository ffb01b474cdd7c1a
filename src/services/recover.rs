//! Brings records and cluster to agreement: finishes what a crash or an outage cut short.
//!
//! Level-driven: every round looks at the records as they are. It acts on what a record says and never on what a list
//! of objects lacks.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use jiff::{SignedDuration, Timestamp};

use super::Services;
use crate::cluster::Deadline;
use crate::domain::{ServiceRecord, ServiceState};
use crate::store::StoreError;

const ROUND: Duration = Duration::from_secs(5);
const STOP_TIME: Duration = Duration::from_secs(30);
/// A start that is older than this was cut short: no start takes as long.
const LONGEST_START: SignedDuration = SignedDuration::from_secs(30);
const AT_ONCE: usize = 8;

/// Runs until the process ends. The first round comes at once.
pub async fn recover_forever(services: Arc<Services>) {
    if let Err(error) = services.resume().await {
        tracing::error!(%error, "failed to read the stored services");
    }
    loop {
        if let Err(error) = services.recover().await {
            tracing::warn!(%error, "recovery is tried again");
        }
        tokio::time::sleep(ROUND).await;
    }
}

impl Services {
    /// After a start of the process: everything that runs is watched again, names with several starts are known again.
    async fn resume(self: &Arc<Self>) -> Result<(), StoreError> {
        let mut newest = std::collections::HashMap::new();
        for record in self.store.services_in(&ServiceState::ALL).await? {
            if let Some(older) = newest.insert(super::name_of(&record), record.sequence) {
                tracing::debug!(older, newest = record.sequence, "a name has more than one start");
                self.note_superseded(super::name_of(&record));
            }
            match record.state {
                ServiceState::Running => self.watch_again(record),
                ServiceState::Ended => self.delete_workload(record),
                ServiceState::Starting | ServiceState::Stopping => {}
            }
        }
        Ok(())
    }

    fn watch_again(self: &Arc<Self>, record: ServiceRecord) {
        let services = self.clone();
        tokio::spawn(async move {
            // Discovery may fail for as long as the API server is away.
            while let Err(error) = services.cluster.watch(&record.objects, Deadline::after(STOP_TIME)).await {
                tracing::debug!(id = %record.object_id, %error, "the service is watched later");
                tokio::time::sleep(ROUND).await;
            }
        });
    }

    async fn recover(self: &Arc<Self>) -> Result<(), StoreError> {
        let now = Timestamp::now();
        let ended_ttl = self.config.current().services.ended_ttl_seconds;
        let expired = now - SignedDuration::from_secs(i64::try_from(ended_ttl).unwrap_or(i64::MAX / 2));
        let mut due = self.store.ended_before(expired).await?;
        for record in self.store.services_in(&[ServiceState::Starting, ServiceState::Stopping]).await? {
            let was_cut_short = now.duration_since(record.start_date) > LONGEST_START;
            if record.state == ServiceState::Stopping || was_cut_short {
                due.push(record);
            }
        }
        stream::iter(due).for_each_concurrent(AT_ONCE, |record| self.stop_record(record)).await;
        self.stop_superseded().await;
        Ok(())
    }

    async fn stop_record(&self, record: ServiceRecord) {
        match self.store.begin_stop(record.sequence).await {
            Ok(_) => {
                self.finish_stop(&record, Deadline::after(STOP_TIME)).await;
            }
            Err(error) => tracing::warn!(id = %record.object_id, %error, "a stop is tried again later"),
        }
    }
}
