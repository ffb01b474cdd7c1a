//! Stopping a service: everything that its start made goes.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tracing::Instrument;

use super::{Name, Services, StopError, name_of};
use crate::cluster::{ClusterError, Deadline, Deletion};
use crate::domain::{AppliedObject, Credential, Mark, ServerName, ServiceRecord, ServiceState};
use crate::fail_points::fail_point;
use crate::store::StoreError;

/// What a DELETE waits for; a hub sends it once and ignores its failure, so the rest happens in the background.
const STOP_TIME: Duration = Duration::from_secs(8);

/// Between attempts to write a stop down.
const DATABASE_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Services {
    /// Stops every start of a name. Once this has answered the stop is never forgotten, whatever fails afterwards.
    pub async fn stop(self: &Arc<Self>, credential: &Credential, server_name: &ServerName) -> Result<(), StopError> {
        let name = (credential.clone(), server_name.clone());
        let stops_arrivals = self.arrivals.stop(&name);
        let named = match self.begin_stops(&name).await {
            Ok(named) => named,
            Err(error) => {
                tracing::error!(%error, %credential, %server_name, "a stop is written down later");
                self.begin_stops_later(name);
                return Ok(());
            }
        };
        if named.is_empty() && !stops_arrivals {
            return Err(StopError::NotFound);
        }
        let services = self.clone();
        let work = async move {
            for record in named {
                services.finish_stop(&record, Deadline::after(STOP_TIME)).await;
            }
        };
        let work = tokio::spawn(work.in_current_span());
        let _ = tokio::time::timeout(STOP_TIME, work).await;
        Ok(())
    }

    /// Writes the stop of every start of a name down, and gives these starts.
    async fn begin_stops(&self, (credential, server_name): &Name) -> Result<Vec<ServiceRecord>, StoreError> {
        let named = self.store.services_named(credential, server_name).await?;
        for record in &named {
            fail_point!(StopBeforeRecord);
            self.store.begin_stop(record.sequence).await?;
            fail_point!(StopAfterRecord);
        }
        Ok(named)
    }

    /// The hub sends its DELETE once: while the database fails, the stop is kept in memory.
    fn begin_stops_later(self: &Arc<Self>, name: Name) {
        let services = self.clone();
        let work = async move {
            // `recover` carries it out once it is written down.
            while services.begin_stops(&name).await.is_err() {
                tokio::time::sleep(DATABASE_PAUSE).await;
            }
        };
        tokio::spawn(work.in_current_span());
    }

    /// Carries out a stop that was written down; what fails is tried again by `recover`.
    pub(super) async fn finish_stop(&self, record: &ServiceRecord, deadline: Deadline) -> bool {
        let Some(_turn) = self.turns.take(&name_of(record), deadline).await else { return false };
        // A start that was cut short, or another stop, may have removed it meanwhile.
        let current = match self.store.service(record.sequence).await {
            Ok(Some(current)) if current.state == ServiceState::Stopping => current,
            Ok(_) => return true,
            Err(error) => {
                tracing::warn!(id = %record.object_id, %error, "a stop is tried again later");
                return false;
            }
        };
        match self.remove(&current, deadline).await {
            Ok(()) => {
                tracing::info!(
                    credential = %record.credential, server_name = %record.server_name, start_id = %record.start_id,
                    "service stopped"
                );
                true
            }
            Err(error) => {
                tracing::warn!(id = %record.object_id, %error, "a stop is tried again later");
                false
            }
        }
    }

    /// Removes objects, files and the record, in this order. To be called in the name's turn.
    pub(super) async fn remove(&self, record: &ServiceRecord, deadline: Deadline) -> Result<(), RemoveError> {
        self.delete_objects(record, deadline).await?;
        fail_point!(StopAfterObjects);
        self.remove_files(&record.object_id).await;
        fail_point!(StopAfterFiles);
        self.store.remove_service(record.sequence).await?;
        fail_point!(StopAfterRemoval);
        self.started().remove(&record.sequence);
        Ok(())
    }

    pub(super) async fn delete_objects(&self, record: &ServiceRecord, deadline: Deadline) -> Result<(), ClusterError> {
        let mark = self.mark(record);
        let Some((owner, owned)) = record.objects.split_first() else { return Ok(()) };
        self.delete_all(owned, &mark, deadline).await?;
        self.delete_claims_of_stateful_sets(owned, &mark, deadline).await?;
        fail_point!(StopBeforeOwner);
        // Last, so that as long as anything is left its owner is there to be found by.
        self.delete_all(std::slice::from_ref(owner), &mark, deadline).await
    }

    pub(super) async fn delete_all(
        &self,
        objects: &[AppliedObject],
        mark: &Mark,
        deadline: Deadline,
    ) -> Result<(), ClusterError> {
        let deletions = objects.iter().filter(|it| !it.is_kept).map(|object| async move {
            let deletion = self.cluster.delete(object, mark, deadline).await?;
            fail_point!(StopBetweenDeletions);
            if deletion == Deletion::NotOurs {
                tracing::warn!(kind = object.kind, name = object.name, "left alone: the object is not ours");
            }
            Ok(())
        });
        join_all(deletions).await.into_iter().collect()
    }

    /// A StatefulSet leaves the claims that it made.
    async fn delete_claims_of_stateful_sets(
        &self,
        objects: &[AppliedObject],
        mark: &Mark,
        deadline: Deadline,
    ) -> Result<(), ClusterError> {
        for set in objects.iter().filter(|it| it.kind == "StatefulSet") {
            if let Some(namespace) = &set.namespace {
                self.cluster.delete_marked("v1", "PersistentVolumeClaim", namespace, mark, deadline).await?;
            }
        }
        Ok(())
    }
}
