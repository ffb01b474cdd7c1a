//! A candidate by a Lease of the cluster (coordination.k8s.io/v1), as client-go's leader election does it.
//!
//! Nobody's clock counts: a Lease is over when it was seen not to change for as long as it says.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use tokio::time::Instant;

use super::candidate::{ElectionError, Outcome};
use crate::cluster::{Cluster, ClusterError, Deadline};

pub(super) struct LeaseCandidate {
    cluster: Cluster,
    namespace: String,
    name: String,
    /// This process, as the Lease names it.
    identity: String,
    duration: Duration,
    seen: Option<Seen>,
}

/// A Lease that another one holds, and since when it is as it is.
struct Seen {
    spec: LeaseSpec,
    since: Instant,
}

/// What a look at the Lease says.
#[derive(Debug, PartialEq)]
enum Look {
    /// It is ours, free, or over: this is what it should be.
    Claim(Box<Lease>),
    Wait {
        holder: String,
    },
}

impl LeaseCandidate {
    pub(super) fn new(cluster: Cluster, namespace: &str, installation: &str, duration: Duration) -> Self {
        let name = format!("k8smgr-{installation}");
        Self { cluster, namespace: namespace.to_owned(), name, identity: identity(), duration, seen: None }
    }

    pub(super) async fn attempt(&mut self, deadline: Deadline) -> Result<Outcome, ElectionError> {
        loop {
            let found =
                self.cluster.lease(&self.namespace, &self.name, deadline).await.map_err(|it| self.failed(it))?;
            let claim = match self.look(found, Instant::now()) {
                Look::Claim(claim) => claim,
                Look::Wait { holder } => return Ok(Outcome::Follows { leader: Some(holder) }),
            };
            let written = self.cluster.write_lease(&self.namespace, &claim, deadline).await;
            if written.map_err(|it| self.failed(it))? {
                return Ok(Outcome::Leads);
            }
            // Somebody was quicker, or an answer was lost: look again.
        }
    }

    fn look(&mut self, found: Option<Lease>, now: Instant) -> Look {
        let spec = found.as_ref().and_then(|it| it.spec.clone()).unwrap_or_default();
        let holder = spec.holder_identity.clone().unwrap_or_default();
        if holder == self.identity {
            self.seen = None;
            return Look::Claim(Box::new(self.claim(found, spec.acquire_time, spec.lease_transitions)));
        }
        let duration = spec.lease_duration_seconds.and_then(|it| u64::try_from(it).ok()).map(Duration::from_secs);
        let since = match &self.seen {
            Some(seen) if seen.spec == spec => seen.since,
            _ => now,
        };
        self.seen = Some(Seen { spec: spec.clone(), since });
        let is_over = now.duration_since(since) >= duration.unwrap_or(self.duration);
        if holder.is_empty() || is_over {
            let transitions = Some(spec.lease_transitions.map_or(0, |it| it.saturating_add(1)));
            Look::Claim(Box::new(self.claim(found, None, transitions)))
        } else {
            Look::Wait { holder }
        }
    }

    /// The Lease as ours. It keeps the version that was read: who writes first wins.
    fn claim(&self, found: Option<Lease>, since: Option<MicroTime>, transitions: Option<i32>) -> Lease {
        let now = MicroTime(Timestamp::now());
        let metadata = found.map(|it| it.metadata).unwrap_or_else(|| ObjectMeta {
            name: Some(self.name.clone()),
            namespace: Some(self.namespace.clone()),
            labels: Some([("app.kubernetes.io/managed-by".to_owned(), "k8smgr".to_owned())].into()),
            ..ObjectMeta::default()
        });
        let spec = LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(i32::try_from(self.duration.as_secs()).unwrap_or(i32::MAX)),
            acquire_time: Some(since.unwrap_or_else(|| now.clone())),
            renew_time: Some(now),
            lease_transitions: transitions,
            ..LeaseSpec::default()
        };
        Lease { metadata, spec: Some(spec) }
    }

    /// Writes nobody into the Lease, where it is ours.
    pub(super) async fn release(&mut self, deadline: Deadline) -> Result<(), ElectionError> {
        let found = self.cluster.lease(&self.namespace, &self.name, deadline).await.map_err(|it| self.failed(it))?;
        let Some(mut lease) = found else { return Ok(()) };
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_ref() != Some(&self.identity) {
            return Ok(());
        }
        spec.holder_identity = Some(String::new());
        spec.renew_time = Some(MicroTime(Timestamp::now()));
        self.cluster.write_lease(&self.namespace, &lease, deadline).await.map_err(|it| self.failed(it))?;
        Ok(())
    }

    fn failed(&self, source: ClusterError) -> ElectionError {
        ElectionError::Lease { name: self.name.clone(), namespace: self.namespace.clone(), source }
    }
}

/// The machine (in a cluster: the pod) and something that no earlier process had.
fn identity() -> String {
    let uname = rustix::system::uname();
    let random = uuid::Uuid::new_v4().simple().to_string();
    format!("{}-{}", uname.nodename().to_string_lossy(), &random[..8])
}

#[cfg(test)]
mod tests;
