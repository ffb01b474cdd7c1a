//! The newest start of a name wins; older ones are stopped.
//!
//! An older start that still runs is left alone until the hub has polled the newer one (it may have given up on its
//! POST), or for half a minute. What had ended goes at once.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tracing::Instrument;

use super::{Name, Services, name_of};
use crate::cluster::Deadline;
use crate::domain::{Credential, Moment, ServerName, ServiceRecord, ServiceState};
use crate::fail_points::fail_point;
use crate::store::StoreError;

const PATIENCE: Duration = Duration::from_secs(30);
/// What a poll may spend on it.
const POLL_TIME: Duration = Duration::from_secs(2);
const REMOVAL_TIME: Duration = Duration::from_secs(30);

/// Names with older starts beside the newest, and since when.
pub type Superseded = HashMap<Name, Moment>;

impl Services {
    /// Takes note of what stands beside a new start.
    pub(super) fn supersede(self: &Arc<Self>, newest: &ServiceRecord, older: Vec<ServiceRecord>) {
        let (over, running): (Vec<_>, Vec<_>) =
            older.into_iter().partition(|it| matches!(it.state, ServiceState::Ended | ServiceState::Stopping));
        if !running.is_empty() {
            self.note_superseded(name_of(newest));
        }
        if !over.is_empty() {
            let services = self.clone();
            self.drain.spawn(async move { services.stop_records(over).await }.in_current_span());
        }
    }

    pub(super) fn note_superseded(&self, name: Name) {
        let now = self.clock.moment();
        self.superseded.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_insert(now);
    }

    /// Starts that other processes made, and polls that they answered, are not known here.
    pub(super) async fn note_superseded_elsewhere(&self) -> Result<(), StoreError> {
        if self.store.is_shared() { self.note_superseded_before().await } else { Ok(()) }
    }

    /// What other processes left, those before us among them.
    pub(super) async fn note_superseded_before(&self) -> Result<(), StoreError> {
        self.store.names_with_several_starts().await?.into_iter().for_each(|name| self.note_superseded(name));
        Ok(())
    }

    /// The hub knows the newest start: the older ones go. Waits a little, so that they usually have.
    pub(super) async fn newest_was_polled(
        self: &Arc<Self>,
        credential: &Credential,
        server_name: &ServerName,
        newest: i64,
    ) {
        // Hardly ever anything, and every poll asks; nothing can be written while the database is away.
        if self.superseded.lock().unwrap_or_else(PoisonError::into_inner).is_empty() || self.store.is_away() {
            return;
        }
        let name = (credential.clone(), server_name.clone());
        if self.superseded.lock().unwrap_or_else(PoisonError::into_inner).remove(&name).is_none() {
            return;
        }
        let services = self.clone();
        let work = self.drain.spawn(async move { services.stop_older(&name, newest).await }.in_current_span());
        let _ = tokio::time::timeout(POLL_TIME, work).await;
    }

    /// For the names whose newest start nobody polled.
    pub(super) async fn stop_superseded(self: &Arc<Self>) {
        let now = self.clock.moment();
        let due: Vec<Name> = {
            let mut superseded = self.superseded.lock().unwrap_or_else(PoisonError::into_inner);
            let due = superseded.extract_if(|_, since| now.since(*since) >= PATIENCE).map(|(name, _)| name);
            due.collect()
        };
        for name in due {
            if let Err(error) = self.stop_older_soon(&name).await {
                tracing::warn!(%error, "older starts are stopped later");
                self.note_superseded(name);
            }
        }
    }

    /// Not waited for: one that cannot be removed must not hold up the rest of recovery.
    async fn stop_older_soon(self: &Arc<Self>, (credential, server_name): &Name) -> Result<(), StoreError> {
        let mut older = self.store.services_named(credential, server_name).await?;
        // The newest stays.
        older.pop();
        for mut record in older {
            fail_point!(SupersedeBeforeRecord);
            self.begin_stop(record.sequence).await?;
            fail_point!(SupersedeAfterRecord);
            record.state = ServiceState::Stopping;
            self.stop_soon(record);
        }
        Ok(())
    }

    async fn stop_older(self: &Arc<Self>, (credential, server_name): &Name, newest: i64) {
        match self.store.services_named(credential, server_name).await {
            Ok(named) => self.stop_records(named.into_iter().filter(|it| it.sequence < newest).collect()).await,
            Err(error) => {
                tracing::warn!(%error, "older starts are stopped later");
                self.note_superseded((credential.clone(), server_name.clone()));
            }
        }
    }

    async fn stop_records(&self, records: Vec<ServiceRecord>) {
        for record in records {
            fail_point!(SupersedeBeforeRecord);
            if let Err(error) = self.begin_stop(record.sequence).await {
                tracing::warn!(id = %record.object_id, %error, "a superseded start is stopped later");
                self.note_superseded(name_of(&record));
                continue;
            }
            fail_point!(SupersedeAfterRecord);
            self.finish_stop(&record, Deadline::after(REMOVAL_TIME)).await;
        }
    }
}
