//! Starts whose hubs waited for an answer that never came: the process died meanwhile. A hub that got no answer sends one DELETE,
//! which may have met nobody, and never asks again. So what nobody asks for is stopped; a poll shows that its hub knows it.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use super::Services;
use crate::domain::{Credential, Moment, ServerName, ServiceState};
use crate::leader::Leader;
use crate::store::StoreError;

/// Between looks.
const ROUND: Duration = Duration::from_secs(20);
const TICK: Duration = Duration::from_secs(1);
/// Hubs poll every half minute unless told otherwise, and are away for a while themselves.
const UNASKED: Duration = Duration::from_secs(15 * 60);
/// Another process may still be waiting: no start takes longer.
const LONGEST_START: Duration = Duration::from_secs(3600);
const WRITING_TIME: Duration = Duration::from_secs(2);

/// Since when each has been seen.
pub type Unanswered = std::sync::Mutex<HashMap<i64, Moment>>;

/// Looks until it is aborted, in every process: each is polled. Whoever leads stops.
pub async fn stop_unanswered_forever(services: Arc<Services>, leader: Leader) {
    loop {
        if let Err(error) = services.look_at_unanswered(&leader).await {
            tracing::debug!(%error, "starts that were never answered are looked at later");
        }
        let looked = services.clock.moment();
        while services.clock.moment().since(looked) < ROUND {
            tokio::time::sleep(TICK).await;
        }
    }
}

impl Services {
    fn unanswered(&self) -> MutexGuard<'_, HashMap<i64, Moment>> {
        self.unanswered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Before the hub is answered. What cannot be written down now is when the hub polls.
    pub(super) async fn note_answered(&self, sequence: i64) {
        let written = self.store.in_time_or_away(WRITING_TIME, self.store.start_was_answered(sequence)).await;
        if let Err(error) = written {
            tracing::debug!(sequence, %error, "that a start was answered is written down with its next poll");
        }
    }

    /// A hub that polls a start has been told of it.
    pub(super) fn was_asked_for(self: &Arc<Self>, credential: &Credential, server_name: &ServerName) {
        if self.unanswered().is_empty() {
            return;
        }
        let Some(known) = self.known.newest(credential, server_name) else { return };
        if self.unanswered().remove(&known.sequence).is_some() {
            let services = self.clone();
            self.drain.spawn(async move { services.note_answered(known.sequence).await });
        }
    }

    async fn look_at_unanswered(self: &Arc<Self>, leader: &Leader) -> Result<(), StoreError> {
        let mut awaited = self.store.awaited_starts().await?;
        awaited.retain(|it| !self.awaited().contains(it));
        let (now, limit) = (self.clock.moment(), self.longest_unasked());
        let mut over = Vec::new();
        {
            let mut unanswered = self.unanswered();
            unanswered.retain(|sequence, _| awaited.contains(sequence));
            for sequence in awaited {
                let since = *unanswered.entry(sequence).or_insert(now);
                if now.since(since) >= limit {
                    over.push(sequence);
                }
            }
        }
        if leader.status().leading {
            for sequence in over {
                // One row that cannot be read must not hide the others.
                if let Err(error) = self.stop_unanswered(sequence).await {
                    tracing::warn!(sequence, %error, "a server whose hub was never answered is stopped later");
                }
            }
        }
        Ok(())
    }

    fn longest_unasked(&self) -> Duration {
        if self.store.is_shared() { UNASKED + LONGEST_START } else { UNASKED }
    }

    async fn stop_unanswered(self: &Arc<Self>, sequence: i64) -> Result<(), StoreError> {
        let Some(record) = self.store.service(sequence).await? else { return Ok(()) };
        // What is in another state goes on without us.
        if record.state != ServiceState::Running {
            return Ok(());
        }
        tracing::warn!(
            credential = %record.credential, server_name = %record.server_name, id = %record.object_id,
            "a server is stopped: its hub was never answered, and has not asked for it since"
        );
        self.begin_stop(sequence).await?;
        self.finish_stops(vec![record]);
        Ok(())
    }
}
