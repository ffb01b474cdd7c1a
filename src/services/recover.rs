//! Brings records and cluster to agreement: finishes what a crash or an outage cut short.
//!
//! Level-driven: a round looks at the records as they are, at the start, every few seconds and at once when a watch has
//! seen everything anew. It acts on what a record says and never on what a list of objects lacks. `survey` looks at what
//! runs and what has ended, `sweep` at objects without a record.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::Instrument;

use super::stop::RemoveError;
use super::{Services, name_of};
use crate::cluster::Deadline;
use crate::domain::{Moment, ServiceRecord, ServiceState};
use crate::fail_points::fail_point;
use crate::store::StoreError;

const ROUND: Duration = Duration::from_secs(5);
/// The same while something is half started or half stopped.
const ROUND_WHILE_UNSETTLED: Duration = Duration::from_secs(1);
const STOP_TIME: Duration = Duration::from_secs(30);
/// A name that somebody else works on is left to them, and looked at in the next round.
const TURN_TIME: Duration = Duration::from_secs(1);
/// A start that was seen for longer than this was cut short: none takes as long.
const LONGEST_START: Duration = Duration::from_secs(45);
/// What the API server was asked for and did not confirm it may still do for as long.
const SETTLING_TIME: Duration = Duration::from_secs(60);
/// The same where the process that asked is no more: its connections were closed before we began.
const SETTLING_TIME_OF_THE_DEAD: Duration = Duration::from_secs(3);
const AT_ONCE: usize = 8;
/// How often homes are looked for that a replica was making when it died: the names of all homes are read.
const HOMES_INTERVAL: Duration = Duration::from_secs(3600);
/// A stop that fails is tried again after this, twice as long each time, for as long as it takes.
const FIRST_BACK_OFF: Duration = Duration::from_secs(5);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(300);

/// The records that are worked on or that failed: one worker a service, and a pause after each failure.
pub struct Recovering {
    at_work: Mutex<HashSet<i64>>,
    failed: Mutex<HashMap<i64, Failed>>,
    places: Semaphore,
}

#[derive(Clone, Copy)]
struct Failed {
    pause: Duration,
    since: Moment,
}

impl Default for Recovering {
    fn default() -> Self {
        Self { at_work: Mutex::default(), failed: Mutex::default(), places: Semaphore::new(AT_ONCE) }
    }
}

impl Recovering {
    /// False: somebody is at it, or it failed a short while ago.
    fn begin(&self, sequence: i64, now: Moment) -> bool {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = failed.get(&sequence).is_some_and(|it| now.since(it.since) < it.pause);
        !waits && self.at_work.lock().unwrap_or_else(PoisonError::into_inner).insert(sequence)
    }

    fn end(&self, sequence: i64, is_done: bool, now: Moment) {
        self.at_work.lock().unwrap_or_else(PoisonError::into_inner).remove(&sequence);
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if is_done {
            failed.remove(&sequence);
        } else {
            let pause = failed.get(&sequence).map_or(FIRST_BACK_OFF, |it| (it.pause * 2).min(LONGEST_BACK_OFF));
            failed.insert(sequence, Failed { pause, since: now });
        }
    }

    pub(super) fn forget(&self, sequence: i64) {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).remove(&sequence);
    }

    /// The cluster is back: what failed is tried at once.
    fn try_all_again(&self) {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// What a worker does with a record.
#[derive(Clone, Copy)]
enum Work {
    Stop,
    DeleteWorkload,
}

/// Runs until it is aborted; aborting it ends its rounds, too. The first round comes at once; a round that breaks does not
/// end the next ones.
pub async fn recover_forever(services: Arc<Services>) {
    tokio::join!(rounds(services.clone()), super::sweep::sweep_forever(services));
}

async fn rounds(services: Arc<Services>) {
    let mut resynced = services.cluster.watches().resynced();
    let (mut is_resumed, mut is_back) = (false, true);
    let (mut last_survey, mut last_homes) = (None, None);
    let mut pause = ROUND;
    loop {
        let now = services.clock.moment();
        if last_homes.is_none_or(|last| now.since(last) >= HOMES_INTERVAL) {
            services.remove_abandoned_homes();
            last_homes = Some(now);
        }
        let is_survey_due = is_back || last_survey.is_none_or(|last| now.since(last) >= super::survey::INTERVAL);
        let round = services.clone();
        let mut running = JoinSet::new();
        running.spawn(async move { round.round(is_resumed, is_back, is_survey_due).await });
        match running.join_next().await {
            Some(Ok(Ok(is_settled))) => {
                is_resumed = true;
                pause = if is_settled { ROUND } else { ROUND_WHILE_UNSETTLED };
                if is_survey_due {
                    last_survey = Some(now);
                }
            }
            Some(Ok(Err(error))) => tracing::warn!(%error, "recovery is tried again"),
            Some(Err(error)) => tracing::error!(%error, "a round of recovery broke off"),
            None => {}
        }
        is_back = tokio::select! {
            () = tokio::time::sleep(pause) => false,
            changed = resynced.changed() => changed.is_ok(),
        };
    }
}

impl Services {
    /// True: nothing is half started or half stopped.
    async fn round(self: &Arc<Self>, is_resumed: bool, is_back: bool, is_survey_due: bool) -> Result<bool, StoreError> {
        if !is_resumed {
            // Of one who leads from now on: names with several starts are known again.
            self.note_superseded_before().await?;
        }
        if is_back {
            self.recovering.try_all_again();
        }
        let is_settled = self.recover().await?;
        if is_survey_due {
            self.survey().await?;
        }
        Ok(is_settled)
    }

    /// Not waited for: a file system that hangs must not hold up the rest.
    fn remove_abandoned_homes(&self) {
        let config = self.config.current();
        tokio::task::spawn_blocking(move || crate::user_homes::remove_abandoned(&config.userhomes));
    }

    /// Hands what is unsettled to workers and does not wait for them. Where nothing is, one question that an index answers
    /// is all that is asked.
    async fn recover(self: &Arc<Self>) -> Result<bool, StoreError> {
        fail_point!(RecoverBegin);
        let (starting, stopping) = (ServiceState::Starting, ServiceState::Stopping);
        let unsettled = self.store.services_in(&[starting, stopping]).await?;
        for state in [starting, stopping] {
            let present = unsettled.iter().filter(|it| it.state == state).map(|it| it.sequence).collect();
            self.ages.retain(state, &present);
        }
        let is_settled = unsettled.is_empty();
        for record in unsettled {
            // Seen, from here on.
            self.ages.seen_for(record.sequence, record.state, &self.clock);
            if record.state == stopping || self.was_cut_short(&record) {
                fail_point!(RecoverBeforeStop);
                self.hand_over(record, Work::Stop);
            }
        }
        self.note_superseded_elsewhere().await?;
        self.stop_superseded().await;
        self.mark_new_pods_of_adopted().await?;
        fail_point!(RecoverEnd);
        Ok(is_settled)
    }

    /// Whether a record that says `starting` is of a start that is over. Only meaningful in the name's turn: then no start
    /// of this process is under way, though one of another process may be, where the database is shared.
    pub(super) fn was_cut_short(&self, record: &ServiceRecord) -> bool {
        let seen_for = self.ages.seen_for(record.sequence, record.state, &self.clock);
        record.state == ServiceState::Starting && (!self.store.is_shared() || seen_for >= LONGEST_START)
    }

    /// To be stopped by a worker of its own, soon.
    pub(super) fn stop_soon(self: &Arc<Self>, record: ServiceRecord) {
        self.hand_over(record, Work::Stop);
    }

    pub(super) fn delete_workload_soon(self: &Arc<Self>, record: ServiceRecord) {
        self.hand_over(record, Work::DeleteWorkload);
    }

    fn hand_over(self: &Arc<Self>, record: ServiceRecord, work: Work) {
        let sequence = record.sequence;
        if !self.recovering.begin(sequence, self.clock.moment()) {
            return;
        }
        let services = self.clone();
        let work = async move {
            let _place = services.recovering.places.acquire().await;
            let is_done = match work {
                Work::Stop => {
                    fail_point!(RecoverBeforeStop);
                    services.stop_record(record).await
                }
                Work::DeleteWorkload => {
                    fail_point!(RecoverBeforeWorkload);
                    services.delete_workload(record).await
                }
            };
            services.recovering.end(sequence, is_done, services.clock.moment());
        };
        self.drain.spawn(work.in_current_span());
    }

    /// False: it failed and is to be tried again after a pause.
    async fn stop_record(&self, record: ServiceRecord) -> bool {
        let Some(_turn) = self.turns.take(&name_of(&record), Deadline::after(TURN_TIME)).await else { return true };
        match self.stop_in_turn(&record).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(id = %record.object_id, %error, "a stop is tried again later");
                metrics::counter!("k8smgr_recovery_failures_total").increment(1);
                false
            }
        }
    }

    async fn stop_in_turn(&self, record: &ServiceRecord) -> Result<(), RemoveError> {
        // Whoever had the turn before may have finished it.
        let current = match self.store.service(record.sequence).await? {
            Some(current) if current.state == record.state => current,
            _ => return Ok(()),
        };
        self.begin_stop(current.sequence).await?;
        fail_point!(RecoverAfterRecord);
        let deadline = Deadline::after(STOP_TIME);
        if self.is_unsettled(&current) {
            self.delete_objects(&current, deadline).await?;
            fail_point!(RecoverAfterObjects);
            return Ok(());
        }
        self.remove(&current, deadline).await?;
        metrics::counter!("k8smgr_recovered_services_total").increment(1);
        tracing::info!(id = %current.object_id, "what was left of a service is removed");
        Ok(())
    }

    /// Whether something that the API server was asked for and did not confirm may still take effect.
    pub(super) fn is_unsettled(&self, record: &ServiceRecord) -> bool {
        if record.objects.iter().all(|it| it.uid.is_some()) {
            return false;
        }
        // On a database that is not shared a start is ours or of a process that is no more.
        let is_of_the_dead = !self.store.is_shared() && !self.started().contains(&record.sequence);
        if is_of_the_dead {
            return self.clock.moment().since(self.began) < SETTLING_TIME_OF_THE_DEAD;
        }
        // A start that is over is about to be stopped.
        let state = if record.state == ServiceState::Ended { ServiceState::Ended } else { ServiceState::Stopping };
        !self.ages.is_past(SETTLING_TIME, (record.sequence, state), record.start_date, &self.clock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Moment {
        Moment::after(Duration::from_secs(second))
    }

    #[test]
    fn one_worker_a_service_and_a_longer_pause_after_each_failure() {
        let recovering = Recovering::default();
        assert!(recovering.begin(1, at(0)));
        assert!(!recovering.begin(1, at(0)), "somebody is at it");
        assert!(recovering.begin(2, at(0)), "another service");
        recovering.end(1, false, at(0));
        assert!(!recovering.begin(1, at(4)));
        assert!(recovering.begin(1, at(5)));
        recovering.end(1, false, at(5));
        assert!(!recovering.begin(1, at(14)));
        assert!(recovering.begin(1, at(15)));
        for _ in 0..10 {
            recovering.end(1, false, at(20));
        }
        assert!(!recovering.begin(1, at(319)) && recovering.begin(1, at(320)), "never longer than five minutes");
        recovering.end(1, true, at(400));
        assert!(recovering.begin(1, at(400)));
    }

    #[test]
    fn what_failed_is_tried_at_once_when_the_cluster_is_back() {
        let recovering = Recovering::default();
        assert!(recovering.begin(1, at(0)));
        recovering.end(1, false, at(0));
        recovering.try_all_again();
        assert!(recovering.begin(1, at(1)));
    }
}
