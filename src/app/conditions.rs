//! What `/readyz` tells; `health` says what decides and why.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::ready;
use jiff::{SignedDuration, Timestamp};

use crate::cluster::Cluster;
use crate::cluster::watch::{WatchHealth, Watched};
use crate::health::{Conditions, Failure};
use crate::hubs::Notices;
use crate::leader::{Leader, LeaderStatus};
use crate::log_handlers::LogHandlers;
use crate::reload::Reloader;
use crate::services::Services;
use crate::store::Store;
use crate::tls::ServerTls;
use crate::user_jobs::UserJobs;

/// How long a new process may be unready for want of the cluster. Then it answers from what the database says: were
/// it the only replica, every poll would fail meanwhile.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is asked.
pub(super) struct Parts {
    pub store: Store,
    pub cluster: Cluster,
    pub services: Arc<Services>,
    pub user_jobs: Arc<UserJobs>,
    pub log_handlers: LogHandlers,
    pub reloader: Arc<Reloader>,
    pub leader: Leader,
    pub tls: Option<Arc<ServerTls>>,
    pub notices: Notices,
    /// Where pods are, as a rule.
    pub namespace: String,
}

/// How each part of the house is doing.
pub(super) fn all(parts: Parts) -> Conditions {
    let Parts { store, cluster, services, user_jobs, log_handlers, reloader, leader, tls, notices, namespace } = parts;
    let (config, descriptions, rules) = (reloader.clone(), reloader.clone(), reloader.clone());
    let skeletons = reloader;
    let (pods, begun) = (Watched::pods(&namespace), Instant::now());
    let (watches, failing) = (cluster.watches().clone(), cluster.watches().clone());
    let conditions = Conditions::default()
        .deciding("started", move || {
            let has_seen = watches.is_synced(&pods) || begun.elapsed() >= PATIENCE;
            ready(if has_seen { Ok(()) } else { Err("the cluster was not seen yet".to_owned().into()) })
        })
        .telling("database", move || {
            let store = store.clone();
            async move { store.ping().await.map_err(|error| error.to_string().into()) }
        })
        .telling("cluster", move || ready(longest_failure(failing.health())))
        .telling("sweep", move || {
            let halt = services.sweep_halt().map(|halt| halt.to_string().into());
            ready(halt.map_or(Ok(()), Err))
        })
        .telling("leader", move || ready(election(&leader.status())))
        .telling("config", move || {
            let bad = config.status().bad_file.map(|bad| Failure {
                reason: format!("config.json: {}; the last good one stays", bad.place),
                since: Some(bad.since),
            });
            ready(bad.map_or(Ok(()), Err))
        })
        .telling("flavors", move || {
            let bad = rules.status().bad_rules;
            let names: Vec<_> = bad.iter().map(|(name, _)| *name).collect();
            let failure = bad.iter().map(|(_, since)| *since).min().map(|since| Failure {
                reason: format!("bad: {}; the log says why", names.join(", ")),
                since: Some(since),
            });
            ready(failure.map_or(Ok(()), Err))
        })
        .telling("descriptions", move || {
            let status = descriptions.status();
            let broken = status.broken_descriptions().map(|reason| Failure { reason, since: status.broken_since });
            ready(broken.map_or(Ok(()), Err))
        })
        .telling("skeletons", move || {
            let status = skeletons.status();
            let since = status.skeletons_broken_since;
            let broken = status.skeletons().map(|reason| Failure { reason, since });
            ready(broken.map_or(Ok(()), Err))
        })
        .telling("user-jobs", move || {
            ready(match user_jobs.failing() {
                0 => Ok(()),
                failing => Err(format!("{failing} do not work; the log says why").into()),
            })
        })
        .telling("hubs", move || ready(notices.problem().map_or(Ok(()), |problem| Err(problem.into()))))
        .telling("log-handlers", move || {
            let failing = log_handlers.statuses().into_iter().filter(|(_, status)| status.failing.is_some());
            let failing: Vec<_> = failing.map(|(name, _)| name).collect();
            ready(match failing.is_empty() {
                true => Ok(()),
                false => Err(format!("failing: {}; GET /api/logs/handler/ says why", failing.join(", ")).into()),
            })
        });
    match tls {
        None => conditions,
        Some(tls) => conditions.telling("tls", move || {
            let problem = tls.problem().map(|(since, reason)| Failure { reason, since });
            ready(problem.map_or(Ok(()), Err))
        }),
    }
}

/// Why is in the log: it names the Lease and who may not use it.
fn election(status: &LeaderStatus) -> Result<(), Failure> {
    match status.problem {
        None => Ok(()),
        Some(_) => Err("no leader can be elected for now; the log says why".to_owned().into()),
    }
}

fn longest_failure(watches: Vec<WatchHealth>) -> Result<(), Failure> {
    let failing = watches.into_iter().filter_map(|it| it.failure.clone().map(|failure| (it, failure)));
    let Some((watch, failure)) = failing.max_by_key(|(_, failure)| failure.lasts) else { return Ok(()) };
    // Why is in the log: who may ask here need not know.
    let reason = format!("the watch on {} in {} does not work; the log says why", watch.kind, watch.namespace);
    let lasts = SignedDuration::try_from(failure.lasts).unwrap_or(SignedDuration::ZERO);
    Err(Failure { reason, since: Timestamp::now().checked_sub(lasts).ok() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leader::ElectedBy;

    #[test]
    fn who_may_not_use_which_lease_is_not_told_without_a_login() {
        let problem =
            "the Lease k8smgr-x in labs cannot be used: User \"system:serviceaccount:labs:robot\" cannot get it";
        let status = |problem: Option<&str>| LeaderStatus {
            leading: false,
            elected_by: ElectedBy::Lease,
            leader: None,
            problem: problem.map(str::to_owned),
        };
        assert_eq!(election(&status(None)), Ok(()));
        let told = election(&status(Some(problem))).unwrap_err().reason;
        assert_eq!(told, "no leader can be elected for now; the log says why");
    }
}
