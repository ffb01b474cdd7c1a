//! A candidate by the database: a lock on a connection of its own, which is the leader's as long as the connection lives.

use std::time::Duration;

use super::candidate::{ElectionError, Outcome};
use crate::cluster::Deadline;
use crate::store::{LeaderLock, Store, StoreError};

pub(super) struct DatabaseCandidate {
    store: Store,
    /// The database ends a connection that is silent for longer, whatever became of its process.
    outlives: Duration,
    lock: Option<LeaderLock>,
}

impl DatabaseCandidate {
    pub(super) fn new(store: Store, outlives: Duration) -> Self {
        Self { store, outlives, lock: None }
    }

    pub(super) async fn attempt(&mut self, deadline: Deadline) -> Result<Outcome, ElectionError> {
        let failed = || ElectionError::Database(StoreError::LockUnanswered);
        // Out of our hands while it is asked: a connection whose answer was not waited for is not used again.
        let lock = match self.lock.take() {
            Some(lock) => lock,
            None => deadline.bound(self.store.leader_lock(self.outlives)).await.ok_or_else(failed)??,
        };
        let mut lock = lock;
        let is_held = deadline.bound(lock.take_or_keep()).await.ok_or_else(failed)??;
        self.lock = Some(lock);
        Ok(if is_held { Outcome::Leads } else { Outcome::Follows { leader: None } })
    }

    /// The lock goes with its connection.
    pub(super) async fn release(&mut self) {
        if let Some(lock) = self.lock.take() {
            lock.release().await;
        }
    }
}
