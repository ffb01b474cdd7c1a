//! How one attempt to lead is made: by the Lease, by the database, or by whichever of them this installation can use.

use std::time::Duration;

use tokio::time::Instant;

use super::database::DatabaseCandidate;
use super::lease::LeaseCandidate;
use super::{ElectedBy, Timing};
use crate::cluster::{Cluster, ClusterError, Deadline};
use crate::config::{ElectionMethod, LeaderElection};
use crate::store::{Store, StoreError};

/// How often it is looked whether a missing right to Leases was given meanwhile. All processes do, so they agree again
/// after this time at the latest.
const ASK_FOR_LEASES_EVERY: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
pub(super) enum ElectionError {
    #[error("the Lease {name} in {namespace} cannot be used: {source}")]
    Lease { name: String, namespace: String, source: ClusterError },
    #[error("the leader's lock in the database cannot be used: {0}")]
    Database(#[from] StoreError),
}

impl ElectionError {
    fn is_missing_right(&self) -> bool {
        matches!(self, Self::Lease { source, .. } if source.is_missing_right())
    }
}

/// What one attempt came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Leads,
    Follows { leader: Option<String> },
}

/// What a process needs to take part.
pub struct Election {
    method: ElectionMethod,
    lease: LeaseCandidate,
    database: DatabaseCandidate,
    /// With `auto`: Leases may not be used, and when that was found.
    refused: Option<Instant>,
    pub(super) timing: Timing,
}

impl Election {
    pub fn new(settings: &LeaderElection, store: Store, cluster: Cluster, namespace: &str, installation: &str) -> Self {
        let timing = Timing::new(Duration::from_secs(settings.lease_seconds));
        Self {
            method: settings.method,
            lease: LeaseCandidate::new(cluster, namespace, installation, timing.lease),
            database: DatabaseCandidate::new(store, timing.lease),
            refused: None,
            timing,
        }
    }

    /// Gets or keeps the leadership, where it can be had. May be dropped half-way.
    pub(super) async fn attempt(&mut self, deadline: Deadline) -> Result<Outcome, ElectionError> {
        match self.elected_by() {
            ElectedBy::Database => self.database.attempt(deadline).await,
            _ => match self.lease.attempt(deadline).await {
                Err(error) if self.method == ElectionMethod::Auto && error.is_missing_right() => {
                    if self.refused.is_none() {
                        tracing::info!(%error, "the leader is elected by the database");
                    }
                    self.refused = Some(Instant::now());
                    self.database.attempt(deadline).await
                }
                attempted => {
                    if attempted.is_ok() && self.refused.take().is_some() {
                        tracing::info!("the leader is elected by a Lease");
                        self.database.release().await;
                    }
                    attempted
                }
            },
        }
    }

    /// What the next attempt asks.
    pub(super) fn elected_by(&self) -> ElectedBy {
        match (self.method, self.refused) {
            (ElectionMethod::Database, _) => ElectedBy::Database,
            (ElectionMethod::Auto, Some(since)) if since.elapsed() < ASK_FOR_LEASES_EVERY => ElectedBy::Database,
            _ => ElectedBy::Lease,
        }
    }

    /// Lets another one lead at once.
    pub(super) async fn release(&mut self, deadline: Deadline) -> Result<(), ElectionError> {
        match self.elected_by() {
            ElectedBy::Lease => self.lease.release(deadline).await,
            _ => {
                self.database.release().await;
                Ok(())
            }
        }
    }
}
