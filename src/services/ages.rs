//! How long this process has known a record as it is. No jump of the wall clock makes a record older or younger.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::domain::{Clock, Moment, ServiceState};

type Key = (i64, ServiceState);

#[derive(Default)]
pub struct Ages {
    seen: Mutex<HashMap<Key, Moment>>,
}

impl Ages {
    fn seen(&self) -> MutexGuard<'_, HashMap<Key, Moment>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For how long a record has been seen in this state; the first time: zero.
    pub fn seen_for(&self, sequence: i64, state: ServiceState, clock: &Clock) -> Duration {
        let now = clock.moment();
        now.since(*self.seen().entry((sequence, state)).or_insert(now))
    }

    /// Whether a record has been in this state for at least so long. Its stamp counts as long as the wall clock can be
    /// trusted; after a jump only what was seen does.
    pub fn is_past(&self, limit: Duration, key: (i64, ServiceState), stamp: Timestamp, clock: &Clock) -> bool {
        if self.seen_for(key.0, key.1, clock) >= limit {
            return true;
        }
        let limit = SignedDuration::try_from(limit).unwrap_or(SignedDuration::MAX);
        !clock.has_jumped() && clock.now().duration_since(stamp) >= limit
    }

    pub fn forget(&self, sequence: i64) {
        let mut seen = self.seen();
        for state in ServiceState::ALL {
            seen.remove(&(sequence, state));
        }
    }

    /// Forgets the records in this state that are no more.
    pub fn retain(&self, state: ServiceState, present: &HashSet<i64>) {
        self.seen().retain(|(sequence, its_state), _| *its_state != state || present.contains(sequence));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(3600);
    const KEY: Key = (1, ServiceState::Ended);

    #[test]
    fn jumps_of_an_hour_and_a_year_change_no_age() {
        for hours in [1, -1, 8760, -8760] {
            let (ages, clock) = (Ages::default(), Clock::default());
            let stamp = clock.now();
            assert!(!ages.is_past(LIMIT, KEY, stamp, &clock));
            clock.set_wall_clock_by(SignedDuration::from_hours(hours));
            assert!(!ages.is_past(LIMIT, KEY, stamp, &clock), "{hours}");
            clock.advance(LIMIT);
            assert!(ages.is_past(LIMIT, KEY, stamp, &clock), "{hours}");
        }
    }

    #[test]
    fn a_stamp_from_before_the_process_counts_while_the_clock_is_right() {
        let (ages, clock) = (Ages::default(), Clock::default());
        let stamp = clock.now() - SignedDuration::from_hours(2);
        assert!(ages.is_past(LIMIT, KEY, stamp, &clock));
    }

    #[test]
    fn a_record_that_is_gone_is_forgotten() {
        let (ages, clock) = (Ages::default(), Clock::default());
        ages.seen_for(1, ServiceState::Ended, &clock);
        clock.advance(LIMIT);
        ages.retain(ServiceState::Ended, &HashSet::new());
        assert!(ages.seen_for(1, ServiceState::Ended, &clock) < LIMIT);
        clock.advance(LIMIT);
        ages.forget(1);
        assert!(ages.seen().is_empty());
    }
}
