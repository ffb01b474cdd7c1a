//! What time it is, and how long ago something was.
//!
//! The wall clock may jump, an hour or a year, either way: it stamps what people read. How old something is, is measured
//! by the monotonic clock (`Moment`), which only ever goes on. Tests move both.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

/// A wall clock that went further than this from the monotonic one has jumped.
const TOLERANCE: SignedDuration = SignedDuration::from_secs(60);

/// A point in time of this process, which no jump of the wall clock moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Duration);

impl Moment {
    /// So long after the clock was made.
    pub fn after(duration: Duration) -> Self {
        Self(duration)
    }

    pub fn later(self, by: Duration) -> Self {
        Self(self.0.saturating_add(by))
    }

    /// How much time went by since an earlier moment; zero where it was not earlier.
    pub fn since(self, earlier: Moment) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// The clocks of a process; clones are the same clock.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Hands>);

#[derive(Debug)]
struct Hands {
    made: Instant,
    made_at: Timestamp,
    /// How far tests have set the wall clock, in milliseconds.
    set_by: AtomicI64,
    /// How much time tests have let go by, in milliseconds.
    skipped: AtomicU64,
}

impl Default for Clock {
    fn default() -> Self {
        Self(Arc::new(Hands {
            made: Instant::now(),
            made_at: Timestamp::now(),
            set_by: AtomicI64::new(0),
            skipped: AtomicU64::new(0),
        }))
    }
}

impl Clock {
    /// The wall clock's time: for what people read, and for nothing that ends a server.
    pub fn now(&self) -> Timestamp {
        let skipped = i64::try_from(self.0.skipped.load(Ordering::SeqCst)).unwrap_or(i64::MAX);
        let moved = self.0.set_by.load(Ordering::SeqCst).saturating_add(skipped);
        let now = Timestamp::now();
        now.checked_add(SignedDuration::from_millis(moved)).unwrap_or(now)
    }

    pub fn moment(&self) -> Moment {
        Moment(self.0.made.elapsed() + Duration::from_millis(self.0.skipped.load(Ordering::SeqCst)))
    }

    /// Whether the wall clock was set since the process began, so that it says little about what was stamped before.
    pub fn has_jumped(&self) -> bool {
        let by_wall = self.now().duration_since(self.0.made_at);
        let by_monotonic = SignedDuration::try_from(self.moment().0).unwrap_or(SignedDuration::MAX);
        by_wall.saturating_sub(by_monotonic).abs() > TOLERANCE
    }

    /// Sets the wall clock, as an administrator or NTP does. For tests.
    pub fn set_wall_clock_by(&self, jump: SignedDuration) {
        self.0.set_by.fetch_add(i64::try_from(jump.as_millis()).unwrap_or_default(), Ordering::SeqCst);
    }

    /// Lets time go by. For tests.
    pub fn advance(&self, by: Duration) {
        self.0.skipped.fetch_add(u64::try_from(by.as_millis()).unwrap_or_default(), Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_of_the_wall_clock_makes_nothing_older_or_younger() {
        const YEAR: i64 = 365 * 24;
        for hours in [1, -1, YEAR, -YEAR] {
            let clock = Clock::default();
            let (moment, now) = (clock.moment(), clock.now());
            assert!(!clock.has_jumped());
            clock.set_wall_clock_by(SignedDuration::from_hours(hours));
            assert!(clock.moment().since(moment) < Duration::from_secs(60), "{hours}");
            assert_eq!(clock.now().duration_since(now).round(jiff::Unit::Hour).unwrap().as_hours(), hours);
            assert!(clock.has_jumped(), "{hours}");
        }
    }

    #[test]
    fn time_that_goes_by_is_no_jump() {
        let clock = Clock::default();
        let (moment, now) = (clock.moment(), clock.now());
        clock.advance(Duration::from_secs(3600));
        assert!(clock.moment().since(moment) >= Duration::from_secs(3600));
        assert!(clock.now().duration_since(now) >= SignedDuration::from_hours(1));
        assert!(!clock.has_jumped());
    }
}
