//! Brings records and cluster to agreement: finishes what a crash or an outage cut short.
//!
//! Level-driven: every round looks at the records as they are. It acts on what a record says and never on what a list
//! of objects lacks.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use jiff::{SignedDuration, Timestamp};

use super::stop::RemoveError;
use super::{Services, name_of};
use crate::cluster::Deadline;
use crate::domain::{ServiceRecord, ServiceState};
use crate::store::StoreError;

const ROUND: Duration = Duration::from_secs(5);
const STOP_TIME: Duration = Duration::from_secs(30);
/// A name that somebody else works on is left to them, and looked at in the next round.
const TURN_TIME: Duration = Duration::from_secs(1);
/// A start that is older than this was cut short: no start takes as long.
const LONGEST_START: SignedDuration = SignedDuration::from_secs(30);
/// What the API server was asked for and did not confirm it may still do for as long.
const SETTLING_TIME: SignedDuration = SignedDuration::from_secs(60);
const AT_ONCE: usize = 8;

/// Runs until it is aborted. The first round comes at once; a round that breaks does not end the next ones.
pub async fn recover_forever(services: Arc<Services>) {
    let mut is_resumed = false;
    loop {
        let round = services.clone();
        match tokio::spawn(async move { round.round(is_resumed).await }).await {
            Ok(Ok(())) => is_resumed = true,
            Ok(Err(error)) => tracing::warn!(%error, "recovery is tried again"),
            Err(error) => tracing::error!(%error, "a round of recovery broke off"),
        }
        tokio::time::sleep(ROUND).await;
    }
}

/// Whether a record that says `starting` is of a start that is over.
pub(super) fn was_cut_short(record: &ServiceRecord, now: Timestamp) -> bool {
    now.duration_since(record.start_date) > LONGEST_START
}

impl Services {
    async fn round(self: &Arc<Self>, is_resumed: bool) -> Result<(), StoreError> {
        if !is_resumed {
            self.resume().await?;
        }
        self.recover().await
    }

    /// After a start of the process: everything that runs is watched again, names with several starts are known again.
    async fn resume(self: &Arc<Self>) -> Result<(), StoreError> {
        let mut newest = HashMap::new();
        for record in self.store.services_in(&ServiceState::ALL).await? {
            if newest.insert(name_of(&record), record.sequence).is_some() {
                self.note_superseded(name_of(&record));
            }
            if record.state == ServiceState::Running {
                self.watch_soon(&record);
            }
        }
        Ok(())
    }

    async fn recover(self: &Arc<Self>) -> Result<(), StoreError> {
        let now = Timestamp::now();
        let ended_ttl = i64::try_from(self.config.current().services.ended_ttl_seconds).unwrap_or(i64::MAX);
        let expired = now.checked_sub(SignedDuration::from_secs(ended_ttl)).unwrap_or(Timestamp::MIN);
        let mut due = self.store.ended_before(expired).await?;
        // Of a user that was deleted while its login was still remembered: nobody is left to stop them.
        let orphans = self.store.services_without_user().await?;
        for record in orphans.iter().filter(|it| it.state != ServiceState::Stopping) {
            tracing::warn!(id = %record.object_id, credential = %record.credential, "a service of a deleted user is stopped");
            self.store.begin_stop(record.sequence).await?;
        }
        let unsettled = [ServiceState::Starting, ServiceState::Stopping, ServiceState::Ended];
        let mut ended = Vec::new();
        for record in self.store.services_in(&unsettled).await? {
            match record.state {
                ServiceState::Stopping => due.push(record),
                ServiceState::Starting if was_cut_short(&record, now) => due.push(record),
                ServiceState::Ended if record.objects.iter().any(|it| it.is_workload) => ended.push(record),
                _ => {}
            }
        }
        stream::iter(due).for_each_concurrent(AT_ONCE, |record| self.stop_record(record, now)).await;
        stream::iter(ended).for_each_concurrent(AT_ONCE, |record| self.delete_workload(record)).await;
        self.stop_superseded().await;
        Ok(())
    }

    async fn stop_record(&self, record: ServiceRecord, now: Timestamp) {
        let Some(_turn) = self.turns.take(&name_of(&record), Deadline::after(TURN_TIME)).await else { return };
        if let Err(error) = self.stop_in_turn(&record, now).await {
            tracing::warn!(id = %record.object_id, %error, "a stop is tried again later");
        }
    }

    async fn stop_in_turn(&self, record: &ServiceRecord, now: Timestamp) -> Result<(), RemoveError> {
        // Whoever had the turn before may have finished it.
        let current = match self.store.service(record.sequence).await? {
            Some(current) if current.state != ServiceState::Running => current,
            _ => return Ok(()),
        };
        self.store.begin_stop(current.sequence).await?;
        let deadline = Deadline::after(STOP_TIME);
        let is_unconfirmed = current.objects.iter().any(|it| it.uid.is_none());
        if is_unconfirmed && now.duration_since(current.start_date) < SETTLING_TIME {
            return Ok(self.delete_objects(&current, deadline).await?);
        }
        self.remove(&current, deadline).await?;
        tracing::info!(id = %current.object_id, "what was left of a service is removed");
        Ok(())
    }
}
