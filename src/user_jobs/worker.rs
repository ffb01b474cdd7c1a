//! The process that leads: looks at the records whenever one changes and hands them to one task a host.
//!
//! Ends jobs with the service that asked for them, and with their user.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::UserJobs;
use super::host::Host;
use crate::domain::{ServiceState, UserJob, UserJobState};
use crate::store::StoreError;

/// Between looks at records that nobody changed.
const ROUND: Duration = Duration::from_secs(60);
/// The same while somebody waits for a job.
const ROUND_WHILE_UNSETTLED: Duration = Duration::from_secs(5);
/// After the database did not answer.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// Whoever asked for a job waits no longer than this, nor for the reason why it was not made.
const LONGEST_START: Duration = Duration::from_secs(30);

/// Of the process that leads, until it is dropped: then all connections are closed.
pub async fn lead(jobs: Arc<UserJobs>) {
    let ended = CancellationToken::new();
    let _end = ended.clone().drop_guard();
    tokio::join!(Worker::new(jobs.clone(), ended).run(), jobs.hold_label());
}

struct Worker {
    jobs: Arc<UserJobs>,
    ended: CancellationToken,
    hosts: HashMap<String, watch::Sender<Vec<UserJob>>>,
    /// The services that have jobs.
    owners: BTreeSet<i64>,
    /// What is not settled, and since when it is seen.
    unsettled: BTreeMap<(i64, &'static str), Instant>,
}

impl Worker {
    fn new(jobs: Arc<UserJobs>, ended: CancellationToken) -> Self {
        Self { jobs, ended, hosts: HashMap::new(), owners: BTreeSet::new(), unsettled: BTreeMap::new() }
    }

    async fn run(mut self) {
        // Those of the last time that this process led.
        self.jobs.hosts.wait().await;
        let mut changes = self.jobs.store.changes().await;
        // Connections that an earlier process left hold the very ports that are wanted now.
        self.jobs.control_folder.end_all().await;
        let mut is_lost = false;
        loop {
            let pause = match self.round().await {
                Ok(pause) => {
                    is_lost = false;
                    pause
                }
                Err(error) => {
                    if !is_lost {
                        tracing::warn!(%error, "the user jobs are not looked at for now");
                    }
                    is_lost = true;
                    TRY_AGAIN
                }
            };
            let owners = &self.owners;
            let changed = async {
                loop {
                    let batch = changes.next().await;
                    let is_owner = batch.services.iter().any(|it| owners.contains(it));
                    if batch.user_jobs || batch.users || batch.everything || is_owner {
                        return;
                    }
                }
            };
            tokio::select! {
                () = changed => {}
                () = sleep(pause) => {}
            }
        }
    }

    /// Gives when to look again where nothing changes.
    async fn round(&mut self) -> Result<Duration, StoreError> {
        let mut jobs = self.jobs.store.user_jobs().await?;
        self.owners = jobs.iter().filter_map(|it| it.owner).collect();
        self.end_orphans(&mut jobs).await?;
        let is_settled = self.end_what_takes_too_long(&mut jobs).await?;
        self.hand_out(jobs);
        Ok(if is_settled { ROUND } else { ROUND_WHILE_UNSETTLED })
    }

    /// Jobs whose service or user is no more.
    async fn end_orphans(&self, jobs: &mut [UserJob]) -> Result<(), StoreError> {
        let owners: Vec<i64> = jobs.iter().filter(|it| it.state.is_wanted()).filter_map(|it| it.owner).collect();
        let alive: BTreeSet<i64> = match owners.is_empty() {
            true => BTreeSet::new(),
            false => {
                let records = self.jobs.store.services_by_sequence(&owners).await?;
                let is_alive = |state| matches!(state, ServiceState::Starting | ServiceState::Running);
                records.into_iter().filter(|it| is_alive(it.state)).map(|it| it.sequence).collect()
            }
        };
        let without_user = match jobs.iter().any(|it| it.state.is_wanted()) {
            true => self.jobs.store.user_jobs_without_user().await?,
            false => Vec::new(),
        };
        for job in jobs.iter_mut().filter(|it| it.state.is_wanted()) {
            let why = match job.owner {
                Some(owner) if !alive.contains(&owner) => "its service ended",
                _ if without_user.contains(&job.sequence) => "its user was deleted",
                _ => continue,
            };
            tracing::info!(service = job.service, credential = %job.credential, why, "a user job ends");
            self.stop(job, why).await?;
        }
        Ok(())
    }

    /// False: something is not settled. Whoever asked is gone after a while; what is kept for them goes, too.
    async fn end_what_takes_too_long(&mut self, jobs: &mut Vec<UserJob>) -> Result<bool, StoreError> {
        let is_unsettled = |state| !matches!(state, UserJobState::Running | UserJobState::Stopping);
        let now = Instant::now();
        let present: BTreeSet<_> =
            jobs.iter().filter(|it| is_unsettled(it.state)).map(|it| (it.sequence, it.state.as_str())).collect();
        self.unsettled.retain(|key, _| present.contains(key));
        present.iter().for_each(|key| {
            self.unsettled.entry(*key).or_insert(now);
        });
        for job in jobs.iter_mut() {
            let since = self.unsettled.get(&(job.sequence, job.state.as_str()));
            if since.is_none_or(|it| now.duration_since(*it) < LONGEST_START) {
                continue;
            }
            match job.state {
                UserJobState::Starting => self.stop(job, "nobody waits for it any more").await?,
                _ => self.jobs.store.remove_user_job(job.sequence).await?,
            }
        }
        jobs.retain(|it| !matches!(it.state, UserJobState::Refused | UserJobState::Failed));
        Ok(present.is_empty())
    }

    async fn stop(&self, job: &mut UserJob, why: &str) -> Result<(), StoreError> {
        let from = [UserJobState::Starting, UserJobState::Running];
        self.jobs.store.change_user_job(job.sequence, &from, UserJobState::Stopping, Some(why)).await?;
        job.state = UserJobState::Stopping;
        Ok(())
    }

    /// Each host's jobs to its task, which lives as long as this process leads.
    fn hand_out(&mut self, jobs: Vec<UserJob>) {
        let known: BTreeSet<i64> = jobs.iter().map(|it| it.sequence).collect();
        self.jobs.problems().retain(|sequence, _| known.contains(sequence));
        let mut by_host: HashMap<String, Vec<UserJob>> = self.hosts.keys().map(|it| (it.clone(), Vec::new())).collect();
        for job in jobs {
            by_host.entry(job.hostname.clone()).or_default().push(job);
        }
        let mut working = 0;
        for (hostname, jobs) in by_host {
            working += jobs.iter().filter(|it| it.state == UserJobState::Running).count();
            let sender = self.hosts.entry(hostname.clone()).or_insert_with(|| watch::channel(Vec::new()).0);
            if sender.is_closed() {
                let host = Host::new(self.jobs.clone(), hostname, sender.subscribe());
                self.jobs.hosts.spawn(host.run(self.ended.clone()));
            }
            sender.send_if_modified(|present| {
                let is_changed = *present != jobs;
                *present = jobs;
                is_changed
            });
        }
        self.jobs.running.store(working, Ordering::SeqCst);
        self.jobs.count();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.jobs.problems().clear();
        self.jobs.running.store(0, Ordering::SeqCst);
        self.jobs.count();
    }
}
