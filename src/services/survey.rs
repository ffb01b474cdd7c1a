//! Looks over what is settled: services that run and whose objects are gone end also when nobody polls, what still runs of
//! those that ended goes, explanations that were kept long enough go, services of deleted users are stopped.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};

use super::Services;
use crate::domain::{Mark, ServiceState};
use crate::store::{ServiceKey, StoreError};

/// Between two surveys, where nothing else asks for one.
pub const INTERVAL: Duration = Duration::from_secs(15);
const AT_ONCE: usize = 8;

impl Services {
    pub(super) async fn survey(self: &Arc<Self>) -> Result<(), StoreError> {
        self.stop_orphans().await?;
        for record in self.store.ended_with_workload().await? {
            self.delete_workload_soon(record);
        }
        self.remove_expired().await?;
        self.end_what_is_gone().await
    }

    /// Of a user that was deleted while its login was still remembered: nobody is left to stop them. The hubs are taken from memory: they
    /// are few, their services many.
    async fn stop_orphans(self: &Arc<Self>) -> Result<(), StoreError> {
        for credential in self.known.credentials() {
            if self.store.user(credential.as_str()).await?.is_some() {
                continue;
            }
            let orphans = self.store.services_of(&credential).await?;
            for mut record in orphans.into_iter().filter(|it| it.state != ServiceState::Stopping) {
                tracing::warn!(id = %record.object_id, %credential, "a service of a deleted user is stopped");
                self.begin_stop(record.sequence).await?;
                record.state = ServiceState::Stopping;
                self.stop_soon(record);
            }
        }
        Ok(())
    }

    async fn remove_expired(self: &Arc<Self>) -> Result<(), StoreError> {
        let kept = Duration::from_secs(self.config.current().services.ended_ttl_seconds);
        let ended = self.store.ended().await?;
        let present: HashSet<i64> = ended.iter().map(|it| it.0).collect();
        self.ages.retain(ServiceState::Ended, &present);
        for (sequence, ended_at) in ended {
            if self.ages.is_past(kept, (sequence, ServiceState::Ended), ended_at, &self.clock)
                && let Some(record) = self.store.service(sequence).await?
            {
                self.stop_soon(record);
            }
        }
        Ok(())
    }

    /// Asks of memory first: only what shows no pod that runs is judged as a poll would.
    async fn end_what_is_gone(self: &Arc<Self>) -> Result<(), StoreError> {
        if !self.cluster.watches().are_well() {
            return Ok(());
        }
        let watches = self.cluster.watches();
        let doubtful: Vec<i64> =
            self.known.running().iter().filter(|it| !watches.serves(it.tag)).map(|it| it.sequence).collect();
        stream::iter(doubtful)
            .for_each_concurrent(AT_ONCE, |sequence| async move {
                match self.store.service(sequence).await {
                    Ok(Some(record)) if record.state == ServiceState::Running => {
                        if let Err(error) = self.end_if_over(record).await {
                            tracing::warn!(sequence, %error, "a service is judged later");
                        }
                    }
                    Ok(_) => {}
                    Err(error) => tracing::warn!(sequence, %error, "a service is judged later"),
                }
            })
            .await;
        Ok(())
    }

    pub(super) fn mark_of(&self, key: &ServiceKey) -> Mark {
        Mark::new(&self.site.installation, &key.credential, &key.server_name, &key.start_id, key.start_date)
    }
}
