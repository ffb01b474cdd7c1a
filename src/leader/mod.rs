//! Who of several K8s Managers on one database does the background work.
//!
//! All campaign, one leads: by a Lease of the cluster, or by a lock of the database where there is no right to Leases.
//! Knows no services: what is done while leading is handed in. That two lead for a moment must harm nothing (a write
//! that was sent is not called back), so whatever is handed in decides by the database and deletes by uid.

mod campaign;
mod candidate;
mod database;
mod lease;

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use candidate::Election;

/// What elects the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElectedBy {
    /// A SQLite database has one process only.
    Nobody,
    Lease,
    Database,
}

/// How things stand, for `/readyz` and people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderStatus {
    pub leading: bool,
    pub elected_by: ElectedBy,
    /// Who leads, where that is known.
    pub leader: Option<String>,
    /// Why the last attempt to find out failed. Nothing that a poll needs depends on it.
    pub problem: Option<String>,
}

/// How long a leadership lasts, and how often it is renewed or tried for.
#[derive(Clone, Copy, Debug)]
struct Timing {
    /// For so long after the last renewal nobody else takes over.
    lease: Duration,
    /// For so long after the beginning of the last renewal the leader leads: shorter, so that two never overlap.
    leads_for: Duration,
    interval: Duration,
}

impl Timing {
    fn new(lease: Duration) -> Self {
        Self { lease, leads_for: lease * 2 / 3, interval: lease / 5 }
    }
}

/// This process's part in the election. Clones see the same.
#[derive(Clone)]
pub struct Leader {
    status: watch::Receiver<LeaderStatus>,
    resigned: CancellationToken,
    campaign: TaskTracker,
}

impl Leader {
    /// The only process there is leads always.
    pub fn alone() -> Self {
        let status = LeaderStatus { leading: true, elected_by: ElectedBy::Nobody, leader: None, problem: None };
        Self::begin(|sender, resigned| async move {
            campaign::publish(&sender, status.clone());
            resigned.cancelled().await;
            campaign::publish(&sender, LeaderStatus { leading: false, ..status });
        })
    }

    /// Campaigns from now on.
    pub fn elected(election: Election) -> Self {
        Self::begin(|sender, resigned| campaign::run(election, sender, resigned))
    }

    fn begin<F>(run: impl FnOnce(watch::Sender<LeaderStatus>, CancellationToken) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let nothing_known = LeaderStatus { leading: false, elected_by: ElectedBy::Nobody, leader: None, problem: None };
        let (sender, status) = watch::channel(nothing_known);
        let (resigned, campaign) = (CancellationToken::new(), TaskTracker::new());
        campaign.spawn(run(sender, resigned.clone()));
        campaign.close();
        Self { status, resigned, campaign }
    }

    pub fn status(&self) -> LeaderStatus {
        self.status.borrow().clone()
    }

    /// Does `work` whenever this process leads; drops it when it leads no more. Ends when it has resigned.
    pub async fn while_leading<F: Future<Output = ()>>(mut self, work: impl Fn() -> F) {
        loop {
            if self.status.wait_for(|it| it.leading).await.is_err() {
                return;
            }
            tokio::select! {
                () = work() => return,
                _ = self.status.wait_for(|it| !it.leading) => {}
            }
        }
    }

    /// Leads no more and lets another one lead at once. Waits until it is told, for a bounded time.
    pub async fn resign(&self) {
        self.resigned.cancel();
        self.campaign.wait().await;
    }
}

#[cfg(test)]
mod tests;
