//! Which watches fail, since when and why: how old the cache is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use super::Watched;

/// A watch that fails: what the cache holds of it is of that time.
#[derive(Clone, Debug)]
pub struct WatchFailure {
    pub watched: Watched,
    pub since: Timestamp,
    pub reason: String,
}

#[derive(Clone, Default)]
pub(super) struct Failures(Arc<Mutex<HashMap<Watched, Option<(Timestamp, String)>>>>);

impl Failures {
    pub fn begin(&self, watched: &Watched, reason: &str) {
        let failure = Some((Timestamp::now(), reason.to_owned()));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(watched.clone(), failure);
    }

    /// It works.
    pub fn end(&self, watched: &Watched) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(watched.clone(), None);
    }

    pub fn all(&self) -> Vec<WatchFailure> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failing = known.iter().filter_map(|(watched, failure)| Some((watched, failure.as_ref()?)));
        let failure = |(watched, (since, reason)): (&Watched, &(Timestamp, String))| WatchFailure {
            watched: watched.clone(),
            since: *since,
            reason: reason.clone(),
        };
        failing.map(failure).collect()
    }

    /// Every watch and how many seconds it has failed; 0 while it works.
    pub fn ages(&self) -> Vec<(Watched, f64)> {
        let now = Timestamp::now();
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let age = |since: &Timestamp| now.duration_since(*since).as_secs_f64().max(0.0);
        known.iter().map(|(watched, it)| (watched.clone(), it.as_ref().map_or(0.0, |(since, _)| age(since)))).collect()
    }
}
