//! Stopping a service: everything that its start made goes.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tracing::Instrument;

use super::{Services, StopError, name_of};
use crate::cluster::{ClusterError, Deadline, Deletion};
use crate::domain::{AppliedObject, Credential, Mark, ServerName, ServiceRecord, ServiceState};

/// What a DELETE waits for; a hub sends it once and ignores its failure, so the rest happens in the background.
const STOP_TIME: Duration = Duration::from_secs(8);

#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
}

impl Services {
    /// Stops every start of a name. Once this has answered the stop is never forgotten, whatever fails afterwards.
    pub async fn stop(self: &Arc<Self>, credential: &Credential, server_name: &ServerName) -> Result<(), StopError> {
        let named = self.store.services_named(credential, server_name).await?;
        if named.is_empty() {
            return Err(StopError::NotFound);
        }
        for record in &named {
            self.store.begin_stop(record.sequence).await?;
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

    /// Carries out a stop that was written down; what fails is tried again by `recover`.
    pub(super) async fn finish_stop(&self, record: &ServiceRecord, deadline: Deadline) -> bool {
        let _turn = self.turns.take(&name_of(record)).await;
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
        let mark = self.mark(record);
        let Some((owner, owned)) = record.objects.split_first() else {
            return Ok(self.store.remove_service(record.sequence).await?);
        };
        self.delete_all(owned, &mark, deadline).await?;
        self.delete_claims_of_stateful_sets(owned, &mark, deadline).await?;
        // Last, so that as long as anything is left its owner is there to be found by.
        self.delete_all(std::slice::from_ref(owner), &mark, deadline).await?;
        self.remove_files(&record.object_id).await;
        self.store.remove_service(record.sequence).await?;
        Ok(())
    }

    pub(super) async fn delete_all(
        &self,
        objects: &[AppliedObject],
        mark: &Mark,
        deadline: Deadline,
    ) -> Result<(), ClusterError> {
        let deletions = objects.iter().filter(|it| !it.is_kept).map(|object| async move {
            let deletion = self.cluster.delete(object, mark, deadline).await?;
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
