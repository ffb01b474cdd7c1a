//! Services whose time is over are stopped, as by a DELETE; shortly before, their users are warned where the flavor says so.
//!
//! The date in the record is the wall clock's, so that it outlives processes. Once a process has seen it, what is left of the
//! time is measured by the monotonic clock: no jump of the wall clock stops a server early.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::Services;
use super::plan::StartRequest;
use crate::domain::news::{EndingService, News};
use crate::domain::{Moment, ServiceRecord, ServiceState};
use crate::flavors::SharedRules;
use crate::store::{EndDate, StoreError};

/// Between looks whether there is something to do at all.
const IDLE: Duration = Duration::from_secs(60);
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);

/// When services end, as far as this process has seen.
#[derive(Default)]
struct Ends(HashMap<i64, End>);

struct End {
    ends_at: Timestamp,
    due: Moment,
    is_warned: bool,
}

/// Runs until it is aborted. `every` (seconds; 0: never) comes before the configuration.
pub async fn end_services_forever(services: Arc<Services>, rules: SharedRules, every: Option<u64>) {
    let mut ends = Ends::default();
    loop {
        let seconds = every.unwrap_or_else(|| services.config.current().end_date_check_seconds);
        let pause = match seconds {
            0 => IDLE,
            seconds => {
                let next = services.end_due(&rules, &mut ends).await.unwrap_or_else(|error| {
                    tracing::warn!(%error, "end dates are looked at later");
                    None
                });
                Duration::from_secs(seconds).min(next.unwrap_or(Duration::MAX)).max(SHORTEST_PAUSE)
            }
        };
        tokio::time::sleep(pause).await;
    }
}

impl Services {
    /// One look. Gives how long nothing more is to be done, as far as is known.
    async fn end_due(self: &Arc<Self>, rules: &SharedRules, ends: &mut Ends) -> Result<Option<Duration>, StoreError> {
        let dates = self.store.end_dates().await?;
        let (now, date) = (self.clock.moment(), self.clock.now());
        let rules = rules.current();
        ends.0.retain(|sequence, _| dates.iter().any(|it| it.sequence == *sequence));
        let (mut next, count): (Option<Duration>, _) = (None, dates.len());
        for it in dates {
            let end = ends.note(&it, now, date);
            let warning = it.flavor.as_deref().and_then(|name| rules.flavor(&it.credential, name)?.warning);
            match self.look_at_end(it.sequence, end, warning, now).await {
                Ok(until_next) => next = [next, until_next].into_iter().flatten().min(),
                // It must not be in the way of the others.
                Err(error) => {
                    tracing::warn!(sequence = it.sequence, %error, "the end date of a service is looked at later");
                }
            }
        }
        metrics::gauge!("k8smgr_services_with_end_date").set(count as f64);
        Ok(next)
    }

    /// Gives how long nothing more is to be done for one service. `None`: nothing any more.
    async fn look_at_end(
        self: &Arc<Self>,
        sequence: i64,
        end: &mut End,
        warning: Option<SignedDuration>,
        now: Moment,
    ) -> Result<Option<Duration>, StoreError> {
        let left = end.due.since(now);
        if left.is_zero() {
            self.end_by_date(sequence).await?;
            return Ok(None);
        }
        let warning = warning.and_then(|it| Duration::try_from(it).ok()).filter(|_| !end.is_warned);
        Ok(Some(match warning {
            Some(warning) if left <= warning => {
                self.warn_of_end(sequence, left).await?;
                end.is_warned = true;
                left
            }
            Some(warning) => left - warning,
            None => left,
        }))
    }

    async fn end_by_date(self: &Arc<Self>, sequence: i64) -> Result<(), StoreError> {
        let Some(mut record) = self.store.service(sequence).await? else { return Ok(()) };
        if record.state != ServiceState::Running {
            return Ok(());
        }
        tracing::info!(
            credential = %record.credential, server_name = %record.server_name, start_id = %record.start_id,
            flavor = record.flavor, "the time of a service is over: it is stopped"
        );
        metrics::counter!("k8smgr_services_out_of_time_total").increment(1);
        self.begin_stop(sequence).await?;
        record.state = ServiceState::Stopping;
        self.stop_soon(record);
        Ok(())
    }

    async fn warn_of_end(&self, sequence: i64, left: Duration) -> Result<(), StoreError> {
        let Some(record) = self.store.service(sequence).await? else { return Ok(()) };
        let (ServiceState::Running, Some(ends_at), Some(owner)) =
            (record.state, record.ends_at, record.objects.first().cloned())
        else {
            return Ok(());
        };
        self.announce(News::EndsSoon(Box::new(EndingService {
            sequence,
            is_of_outpost: record.server_name.outpost_name().is_some(),
            credential: record.credential,
            owner,
            ends_at,
            left: SignedDuration::try_from(left).unwrap_or(SignedDuration::MAX),
        })));
        Ok(())
    }
}

/// How long a start's server may run, and when the start was asked for.
#[derive(Clone, Copy)]
pub(super) struct Runtime {
    length: Option<SignedDuration>,
    asked: Timestamp,
}

impl Services {
    /// To be called before the start.
    pub(super) fn runtime_of(&self, request: &StartRequest) -> Runtime {
        Runtime { length: request.claim().and_then(|it| it.runtime), asked: self.clock.now() }
    }

    /// The server is up: its time counts from here. Until now its end was the one that was noted when everything was made.
    pub(super) async fn count_runtime(&self, record: &ServiceRecord, runtime: Runtime) {
        // One that was started before, by the same request, has its end.
        let Some(length) = runtime.length.filter(|_| record.start_date >= runtime.asked) else { return };
        let Ok(ends_at) = self.clock.now().checked_add(length) else { return };
        match self.store.set_end_date(record.sequence, ends_at).await {
            Ok(true) => self.known.set_end_date(record.sequence, ends_at),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(sequence = record.sequence, %error, "the time of a service counts from before it was up");
            }
        }
    }
}

impl Ends {
    fn note(&mut self, date: &EndDate, now: Moment, wall: Timestamp) -> &mut End {
        let EndDate { sequence, ends_at, .. } = *date;
        let left = Duration::try_from(ends_at.duration_since(wall)).unwrap_or(Duration::ZERO);
        let seen = || End { ends_at, due: now.later(left), is_warned: false };
        let end = self.0.entry(sequence).or_insert_with(seen);
        if end.ends_at != ends_at {
            *end = seen();
        }
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Clock, Credential};

    fn date(ends_at: Timestamp) -> EndDate {
        EndDate { sequence: 1, credential: Credential::parse("hub").unwrap(), flavor: None, ends_at }
    }

    fn left(ends: &mut Ends, date: &EndDate, clock: &Clock) -> Duration {
        let now = clock.moment();
        ends.note(date, now, clock.now()).due.since(now)
    }

    #[test]
    fn a_jump_of_the_wall_clock_ends_nothing_once_it_was_seen() {
        const HOUR: Duration = Duration::from_secs(3600);
        for hours in [1, -1, 8760, -8760] {
            let (clock, mut ends) = (Clock::default(), Ends::default());
            let it = date(clock.now() + SignedDuration::from_hours(2));
            assert!(left(&mut ends, &it, &clock) > HOUR);
            clock.set_wall_clock_by(SignedDuration::from_hours(hours));
            assert!(left(&mut ends, &it, &clock) > HOUR, "{hours}");
            clock.advance(2 * HOUR);
            assert!(left(&mut ends, &it, &clock).is_zero(), "{hours}");
        }
    }

    #[test]
    fn a_date_of_before_the_process_counts_and_so_does_another_one() {
        let (clock, mut ends) = (Clock::default(), Ends::default());
        assert!(left(&mut ends, &date(clock.now() - SignedDuration::from_secs(1)), &clock).is_zero());
        let later = date(clock.now() + SignedDuration::from_hours(1));
        assert!(left(&mut ends, &later, &clock) > Duration::from_secs(3000));
    }
}
