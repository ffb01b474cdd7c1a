//! One host: its connection, and the forwards through it, made to agree with the records of its jobs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::UserJobs;
use super::master::{Forward, Master};
use super::ssh::SshError;
use crate::domain::{UserJob, UserJobState};
use crate::fail_points::fail_point;

/// How often a connection is asked whether it still answers: one that hangs does not end.
const CHECK_EVERY: Duration = Duration::from_secs(5);
/// How often it is looked whether the Services are as they should be.
const SURVEY_EVERY: Duration = Duration::from_secs(60);
/// After a failure, twice as long each time: a login node bans who knocks too often.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

pub struct Host {
    pub(super) jobs: Arc<UserJobs>,
    pub(super) hostname: String,
    wanted: watch::Receiver<Vec<UserJob>>,
    pub(super) master: Option<Master>,
    /// What the master was asked to forward, by job.
    pub(super) forwards: BTreeMap<i64, BTreeMap<u16, Forward>>,
    /// The jobs that are wholly made.
    pub(super) made: BTreeSet<i64>,
    /// How often a job's ports were found in use.
    pub(super) tries: BTreeMap<i64, u32>,
    /// Why the last attempt to connect failed, within one look at all jobs.
    pub(super) unreachable: Option<String>,
    pause: Duration,
    try_again_at: Instant,
    pub(super) connected_at: Instant,
    checked_at: Instant,
    surveyed_at: Instant,
}

impl Host {
    pub fn new(jobs: Arc<UserJobs>, hostname: String, wanted: watch::Receiver<Vec<UserJob>>) -> Self {
        let now = Instant::now();
        Self {
            jobs,
            hostname,
            wanted,
            master: None,
            forwards: BTreeMap::new(),
            made: BTreeSet::new(),
            tries: BTreeMap::new(),
            unreachable: None,
            pause: FIRST_PAUSE,
            try_again_at: now,
            connected_at: now,
            checked_at: now,
            surveyed_at: now,
        }
    }

    /// Until this process leads no more.
    pub async fn run(mut self, ended: CancellationToken) {
        loop {
            let wanted = self.wanted.borrow_and_update().clone();
            let pause = tokio::select! {
                () = ended.cancelled() => break,
                pause = self.agree(&wanted) => pause,
            };
            tokio::select! {
                () = ended.cancelled() => break,
                changed = self.wanted.changed() => if changed.is_err() { break },
                () = loss(&mut self.master) => self.note_loss("ended").await,
                () = sleep(pause) => {}
            }
        }
        if let Some(master) = self.master.take() {
            master.end().await;
        }
    }

    /// One look at all jobs of this host. Gives when to look again where nothing changes.
    async fn agree(&mut self, wanted: &[UserJob]) -> Duration {
        self.unreachable = None;
        self.check_master().await;
        let mut all_is_well = self.end_jobs(wanted).await;
        let live: Vec<&UserJob> = wanted.iter().filter(|it| it.state.is_wanted()).collect();
        if live.is_empty() {
            self.disconnect().await;
        }
        // Somebody waits.
        let is_urgent = live.iter().any(|it| it.state == UserJobState::Starting);
        let is_survey_due = self.surveyed_at.elapsed() >= SURVEY_EVERY;
        if is_urgent || Instant::now() >= self.try_again_at || is_survey_due {
            for job in live {
                if !self.made.contains(&job.sequence) || is_survey_due {
                    all_is_well &= self.see_to(job).await;
                }
            }
            if is_survey_due {
                self.surveyed_at = Instant::now();
            }
        } else {
            all_is_well &= live.iter().all(|it| self.made.contains(&it.sequence));
        }
        self.next_pause(all_is_well)
    }

    fn next_pause(&mut self, all_is_well: bool) -> Duration {
        let now = Instant::now();
        if all_is_well {
            // One that has just come up may go at once: whoever knocks too often is banned.
            if self.master.is_none() || self.connected_at.elapsed() >= LONGEST_PAUSE {
                self.pause = FIRST_PAUSE;
            }
            self.try_again_at = now;
            return if self.master.is_some() { CHECK_EVERY } else { SURVEY_EVERY };
        }
        if now >= self.try_again_at {
            self.try_again_at = now + self.pause;
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
        self.try_again_at.duration_since(now).min(CHECK_EVERY)
    }

    async fn check_master(&mut self) {
        let Some(master) = &self.master else { return };
        if self.checked_at.elapsed() < CHECK_EVERY {
            return;
        }
        let checked = master.check().await;
        self.checked_at = Instant::now();
        if let Err(error) = checked {
            self.note_loss(&error.to_string()).await;
        }
    }

    /// The connection is no more, or of no use: everything that went through it is made again, at once where it had lived.
    pub(super) async fn note_loss(&mut self, why: &str) {
        let Some(mut master) = self.master.take() else { return };
        let is_over = why == "ended";
        let words = if is_over { master.last_words().await } else { String::new() };
        tracing::warn!(hostname = self.hostname, why, words, "a connection of ssh was lost and is made again");
        metrics::counter!("k8smgr_ssh_connections_lost_total").increment(1);
        master.end().await;
        self.forwards.clear();
        self.made.clear();
        self.try_again_at = Instant::now();
        if self.connected_at.elapsed() < LONGEST_PAUSE {
            self.try_again_at += self.pause;
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn disconnect(&mut self) {
        if let Some(master) = self.master.take() {
            master.end().await;
        }
        self.forwards.clear();
        self.made.clear();
    }

    /// Removes the jobs that are to go, and the forwards of those whose records went. False: something failed.
    async fn end_jobs(&mut self, wanted: &[UserJob]) -> bool {
        let known: BTreeSet<i64> = wanted.iter().map(|it| it.sequence).collect();
        let gone: Vec<i64> = self.forwards.keys().copied().filter(|it| !known.contains(it)).collect();
        for sequence in gone {
            self.cancel(sequence).await;
        }
        self.made.retain(|it| known.contains(it));
        self.tries.retain(|it, _| known.contains(it));
        let is_last = !wanted.iter().any(|it| it.state.is_wanted());
        let mut all_is_well = true;
        for job in wanted.iter().filter(|it| it.state == UserJobState::Stopping) {
            let ended = self.end_job(job, is_last).await;
            all_is_well &= ended.is_ok();
            self.jobs.note(job, ended.err().map(|error| format!("it cannot be removed yet: {error}")));
        }
        all_is_well
    }

    async fn end_job(&mut self, job: &UserJob, is_last: bool) -> Result<(), super::MakeError> {
        fail_point!(UserJobBeforeCancel);
        self.cancel(job.sequence).await;
        if is_last {
            self.disconnect().await;
        }
        fail_point!(UserJobAfterCancel);
        // As it is now: its Service may have been made since.
        let Some(job) = self.jobs.store.user_job_by_sequence(job.sequence).await? else { return Ok(()) };
        self.jobs.delete_service(&job).await?;
        fail_point!(UserJobAfterDeletion);
        self.jobs.store.remove_user_job(job.sequence).await?;
        tracing::info!(service = job.service, credential = %job.credential, "a user job is removed");
        Ok(())
    }

    /// Takes a job's forwards away, those that may have been made, too.
    pub(super) async fn cancel(&mut self, sequence: i64) {
        self.made.remove(&sequence);
        let forwards = self.forwards.remove(&sequence).unwrap_or_default();
        for forward in forwards.values() {
            let Some(master) = &self.master else { return };
            match master.cancel(forward).await {
                // That it does not know it is what we want.
                Ok(()) | Err(SshError::Refused { .. }) => {}
                // Whether it is gone cannot be told: with the connection it is.
                Err(error) => return self.note_loss(&error.to_string()).await,
            }
        }
    }
}

/// When the master has ended; never where there is none.
async fn loss(master: &mut Option<Master>) {
    match master {
        Some(master) => master.ended().await,
        None => std::future::pending().await,
    }
}
