//! Polls, lists, logs and stops as hubs of Outpost's protocol know them. They never see the services of other hubs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::Instrument;

use super::{KnownService, PollError, Polled, Services, StopError};
use crate::cluster::Deadline;
use crate::domain::record::Details;
use crate::domain::{Credential, ServerName, ServiceRecord, ServiceState};
use crate::store::StoreError;

/// Of a server that ended and has no exit code.
const NO_EXIT_CODE: i32 = 1;
/// How long a stop may be waited for: it is carried out all the same.
const STOP_TIME: Duration = Duration::from_secs(5);
const LOG_TIME: Duration = Duration::from_secs(2);

/// A start as a list shows it.
pub struct OutpostListed {
    pub service: Arc<KnownService>,
    pub state: ServiceState,
    /// Its server is waited for.
    pub is_starting: bool,
}

impl Services {
    /// `None` while a start is alive or may be, else how its main container ended: the same until it is removed. One that
    /// is being stopped is not there any more.
    pub async fn poll_outpost(
        self: &Arc<Self>,
        credential: &Credential,
        server_name: &ServerName,
    ) -> Result<Option<i32>, PollError> {
        let polled = match self.poll(credential, server_name).await {
            // It is not written down yet.
            Err(PollError::NotFound) if self.arrivals.holds(&(credential.clone(), server_name.clone())) => {
                return Ok(None);
            }
            polled => polled?,
        };
        self.was_asked_for(credential, server_name);
        match polled {
            polled if polled.is_running() => Ok(None),
            Polled::Remembered { service, details, .. } => exit_code(service.state, details.as_ref()),
            Polled::Status(status) => exit_code(status.record.state, status.details.as_ref()),
            Polled::Runs(_) | Polled::Unknown(_) => Ok(None),
        }
    }

    /// The starts of a hub, oldest first; as they were last known where the database does not answer.
    pub async fn list_outpost(&self, credential: &Credential) -> Vec<OutpostListed> {
        let listed = self.list_in_time(credential).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "a list is given as it was last known");
            self.known.of(credential).into_iter().map(|it| (it.clone(), it.state)).collect()
        });
        let is_outposts = |(service, _): &(Arc<KnownService>, _)| service.server_name.outpost_name().is_some();
        let listed = listed.into_iter().filter(is_outposts).map(|(service, state)| OutpostListed {
            is_starting: state == ServiceState::Starting || self.awaited().contains(&service.sequence),
            service,
            state,
        });
        listed.collect()
    }

    /// The last lines that a server wrote, also after it ended. None where they cannot be had at once.
    pub async fn log_lines(&self, credential: &Credential, server_name: &ServerName) -> Vec<String> {
        let Some(known) = self.known.newest(credential, server_name) else { return Vec::new() };
        if let Some(details) = &known.details {
            return details.log_lines.clone();
        }
        let pods = self.cluster.watches().observe(known.tag).pods;
        match pods.into_iter().max_by_key(|it| it.created) {
            Some(pod) => self.read_log_lines(&pod, Deadline::after(LOG_TIME)).await,
            None => Vec::new(),
        }
    }

    /// Stops a start, unless that was asked for before.
    pub async fn stop_once(
        self: &Arc<Self>,
        credential: &Credential,
        server_name: &ServerName,
    ) -> Result<(), StopError> {
        let was_stopped = self.was_stopped(credential, server_name).await;
        // Carried out all the same: a start on its way elsewhere is known there alone.
        let stopped = self.stop(credential, server_name).await;
        if was_stopped { Err(StopError::NotFound) } else { stopped }
    }

    async fn was_stopped(&self, credential: &Credential, server_name: &ServerName) -> bool {
        if self.arrivals.holds(&(credential.clone(), server_name.clone())) {
            return false;
        }
        match self.store.is_shared() {
            true => {
                let named = self.store.services_named(credential, server_name);
                let named = self.store.in_time_or_away(STOP_TIME, named).await.unwrap_or_default();
                !named.is_empty() && named.iter().all(|it| it.state == ServiceState::Stopping)
            }
            false => self.known.newest(credential, server_name).is_some_and(|it| it.state == ServiceState::Stopping),
        }
    }

    /// The same, with the last lines that the server wrote. A caller that hangs up ends none of it.
    pub async fn stop_and_tell(
        self: &Arc<Self>,
        credential: &Credential,
        server_name: &ServerName,
        wants_logs: bool,
    ) -> Result<Vec<String>, StopError> {
        let (services, credential, server_name) = (self.clone(), credential.clone(), server_name.clone());
        let work = async move {
            let logs = match wants_logs {
                true => services.log_lines(&credential, &server_name).await,
                false => Vec::new(),
            };
            services.stop_and_wait(&credential, &server_name).await.map(|()| logs)
        };
        // It can only break off by a defect of ours, which the log tells of.
        self.drain.spawn(work.in_current_span()).await.unwrap_or(Ok(Vec::new()))
    }

    /// The same, and waits a moment for that to be carried out.
    pub async fn stop_and_wait(
        self: &Arc<Self>,
        credential: &Credential,
        server_name: &ServerName,
    ) -> Result<(), StopError> {
        let known = self.known.newest(credential, server_name);
        let mut removed = known.as_ref().map(|it| self.changes.listen(it.sequence));
        self.stop_once(credential, server_name).await?;
        if let (Some(known), Some(changed)) = (known, &mut removed) {
            self.wait_for_removal(known.sequence, changed).await;
        }
        Ok(())
    }

    /// Stops this very start, whatever has its name by now, and waits a moment for that to be carried out.
    pub(super) async fn stop_start(self: &Arc<Self>, record: ServiceRecord) -> Result<(), StoreError> {
        let sequence = record.sequence;
        let mut changed = self.changes.listen(sequence);
        self.begin_stop(sequence).await?;
        self.finish_stops(vec![record]);
        self.wait_for_removal(sequence, &mut changed).await;
        Ok(())
    }

    async fn wait_for_removal(&self, sequence: i64, changed: &mut watch::Receiver<()>) {
        let is_carried_out =
            async { while self.known.of_sequence(sequence).is_some() && changed.changed().await.is_ok() {} };
        let _ = tokio::time::timeout(STOP_TIME, is_carried_out).await;
    }
}

fn exit_code(state: ServiceState, details: Option<&Details>) -> Result<Option<i32>, PollError> {
    match state {
        ServiceState::Stopping => Err(PollError::NotFound),
        _ => Ok(Some(details.and_then(|it| it.exit_code).unwrap_or(NO_EXIT_CODE))),
    }
}
