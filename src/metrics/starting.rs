//! The time from a POST until the main container runs, which the watch sees long after the POST was answered.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Who does not run by then is not waited for any more.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// By the label value of the service: when its POST came.
static STARTING: Mutex<Option<HashMap<String, Instant>>> = Mutex::new(None);

fn with<T>(work: impl FnOnce(&mut HashMap<String, Instant>) -> T) -> T {
    work(STARTING.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default())
}

/// A start was written down; `posted` is when it was asked for.
pub fn started(service: &str, posted: Instant) {
    with(|starting| {
        starting.retain(|_, posted| posted.elapsed() < LONGEST);
        starting.insert(service.to_owned(), posted);
    });
}

/// The watch sees the main container of a service run: the first time counts.
pub fn is_running(service: &str) {
    if let Some(posted) = with(|starting| starting.remove(service)) {
        metrics::histogram!("k8smgr_start_running_seconds").record(posted.elapsed().as_secs_f64());
    }
}

/// A start that failed or was stopped.
pub fn gave_up(service: &str) {
    with(|starting| starting.remove(service));
}
