//! Stopping a service: everything that its start made goes.
//!
//! A DELETE is answered as soon as it is written down, whatever the cluster does: from then on it is carried out, here or
//! by `recover`.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tracing::Instrument;

use super::{Name, Services, StopError, name_of};
use crate::cluster::{ClusterError, Deadline, Deletion};
use crate::domain::news::News;
use crate::domain::{AppliedObject, Credential, Mark, ServerName, ServiceRecord, ServiceState};
use crate::fail_points::fail_point;
use crate::store::StoreError;

/// What carrying a stop out may take at first; what is left is done by `recover`.
const STOP_TIME: Duration = Duration::from_secs(8);
/// How many stops are carried out at a time: a course that ends must not flood the API server.
pub(super) const STOPS_AT_ONCE: usize = 32;

/// How long a DELETE waits for the database.
const WRITING_TIME: Duration = Duration::from_secs(6);

#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Services {
    /// Stops every start of a name. Once this has answered the stop is not forgotten, whatever fails afterwards; that
    /// the caller hangs up changes nothing.
    pub async fn stop(self: &Arc<Self>, credential: &Credential, server_name: &ServerName) -> Result<(), StopError> {
        let (services, name) = (self.clone(), (credential.clone(), server_name.clone()));
        let stopping = self.drain.spawn(async move { services.stop_name(name).await }.in_current_span());
        // It can only break off by a defect of ours, which the log tells of.
        stopping.await.unwrap_or(Ok(()))
    }

    async fn stop_name(self: Arc<Self>, name: Name) -> Result<(), StopError> {
        let stops_arrivals = self.arrivals.stop(&name);
        let (named, stops_elsewhere) = match self.store.in_time_or_away(WRITING_TIME, self.begin_stops(&name)).await {
            Ok(begun) => begun,
            Err(error) => {
                tracing::error!(%error, credential = %name.0, server_name = %name.1, "a stop is written down later");
                self.stop_without_database(name);
                return Ok(());
            }
        };
        if named.is_empty() && !stops_arrivals && !stops_elsewhere {
            return Err(StopError::NotFound);
        }
        self.finish_stops(named);
        Ok(())
    }

    /// Carries stops out in a task of its own.
    pub(super) fn finish_stops(self: &Arc<Self>, stopping: Vec<ServiceRecord>) {
        let services = self.clone();
        let work = async move {
            for record in stopping {
                // Never closed.
                let _place = services.stop_places.acquire().await;
                services.finish_stop(&record, Deadline::after(STOP_TIME)).await;
            }
        };
        self.drain.spawn(work.in_current_span());
    }

    /// Writes the stop of every start of a name down, and gives these starts, and whether there are some on their way
    /// in that other processes know of. Those first: what is written down meanwhile is found then.
    async fn begin_stops(&self, name: &Name) -> Result<(Vec<ServiceRecord>, bool), StoreError> {
        let stops_elsewhere = self.store.stop_arrivals(name).await?;
        fail_point!(StopBeforeRecord);
        let named = self.store.begin_stops(&name.0, &name.1).await?;
        for record in &named {
            fail_point!(StopAfterRecord);
            self.known.set_state(record.sequence, ServiceState::Stopping, None);
            self.announce(News::Gone { sequence: record.sequence });
        }
        Ok((named, stops_elsewhere))
    }

    pub(super) async fn begin_stop(&self, sequence: i64) -> Result<(), StoreError> {
        self.store.begin_stop(sequence).await?;
        self.known.set_state(sequence, ServiceState::Stopping, None);
        self.announce(News::Gone { sequence });
        Ok(())
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
        // Another process may be at the start at this moment, or the API server at what it was asked for: the record
        // stays until `recover` finds that nothing can come any more.
        let is_ours = self.store.is_shared() || self.started().contains(&current.sequence);
        let stopped = match is_ours && self.is_unsettled(&current) {
            true => self.delete_objects(&current, deadline).await.map_err(RemoveError::from),
            false => self.remove(&current, deadline).await,
        };
        match stopped {
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
        self.known.remove(record.sequence);
        fail_point!(StopAfterRemoval);
        crate::metrics::gave_up(self.mark(record).service());
        self.forget(record.sequence);
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
    pub(super) async fn delete_claims_of_stateful_sets(
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
