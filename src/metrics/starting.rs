//! The time from a POST until the main container runs, which the watch sees long after the POST was answered.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Who does not run by then is not waited for any more.
const LONGEST: Duration = Duration::from_secs(60 * 60);
/// Between looks for those: each goes through all of them.
const ROUND: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Starting {
    /// By the label value of the service: when its POST came.
    posted: HashMap<String, Instant>,
    looked_through: Option<Instant>,
}

static STARTING: Mutex<Option<Starting>> = Mutex::new(None);

fn with<T>(work: impl FnOnce(&mut Starting) -> T) -> T {
    work(STARTING.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default())
}

impl Starting {
    fn begin(&mut self, service: &str, posted: Instant, now: Instant) {
        if self.looked_through.is_none_or(|last| now.duration_since(last) >= ROUND) {
            self.looked_through = Some(now);
            self.posted.retain(|_, posted| now.duration_since(*posted) < LONGEST);
        }
        self.posted.insert(service.to_owned(), posted);
    }
}

/// A start was written down; `posted` is when it was asked for.
pub fn started(service: &str, posted: Instant) {
    with(|starting| starting.begin(service, posted, Instant::now()));
}

/// The watch sees the main container of a service run: the first time counts.
pub fn is_running(service: &str) {
    if let Some(posted) = with(|starting| starting.posted.remove(service)) {
        metrics::histogram!("k8smgr_start_running_seconds").record(posted.elapsed().as_secs_f64());
    }
}

/// How many were not seen to run yet.
pub fn not_running() -> usize {
    with(|starting| starting.posted.len())
}

/// A start that failed, or a service that is removed: it may never have run.
pub fn gave_up(service: &str) {
    with(|starting| starting.posted.remove(service));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_never_runs_is_not_kept_for_ever() {
        let mut starting = Starting::default();
        let now = Instant::now();
        starting.begin("one", now, now);
        starting.begin("two", now + ROUND, now + ROUND);
        assert_eq!(starting.posted.len(), 2);
        starting.begin("three", now + LONGEST, now + LONGEST);
        let mut left: Vec<_> = starting.posted.keys().map(String::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["three", "two"]);
    }
}
