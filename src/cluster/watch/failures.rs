//! Which watches fail, since when and why: how old the cache is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use jiff::Timestamp;

use super::Watched;
use crate::cluster::requests::watch_was_taken_up;

/// A watch that fails: what the cache holds of it is of that time.
#[derive(Clone, Debug)]
pub struct WatchFailure {
    pub watched: Watched,
    pub since: Timestamp,
    pub reason: String,
}

struct State {
    /// Of the requests that the watch makes.
    path: String,
    failure: Option<Failure>,
}

#[derive(Clone)]
struct Failure {
    since: Timestamp,
    last: Instant,
    reason: String,
}

impl State {
    /// A watch that was taken up again and has seen nothing yet works.
    fn failure(&self) -> Option<&Failure> {
        let taken_up = watch_was_taken_up(&self.path);
        self.failure.as_ref().filter(|it| taken_up.is_none_or(|taken_up| taken_up < it.last))
    }
}

#[derive(Clone, Default)]
pub(super) struct Failures(Arc<Mutex<HashMap<Watched, State>>>);

impl Failures {
    fn states(&self) -> MutexGuard<'_, HashMap<Watched, State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn begin_watch(&self, watched: &Watched, path: &str) {
        self.states().insert(watched.clone(), State { path: path.to_owned(), failure: None });
    }

    pub fn failed(&self, watched: &Watched, reason: &str) {
        if let Some(state) = self.states().get_mut(watched) {
            let since = state.failure().map_or_else(Timestamp::now, |it| it.since);
            state.failure = Some(Failure { since, last: Instant::now(), reason: reason.to_owned() });
        }
    }

    pub fn works(&self, watched: &Watched) {
        if let Some(state) = self.states().get_mut(watched) {
            state.failure = None;
        }
    }

    pub fn all(&self) -> Vec<WatchFailure> {
        let states = self.states();
        let failing = states.iter().filter_map(|(watched, state)| Some((watched, state.failure()?)));
        let failure = |(watched, failure): (&Watched, &Failure)| WatchFailure {
            watched: watched.clone(),
            since: failure.since,
            reason: failure.reason.clone(),
        };
        failing.map(failure).collect()
    }

    /// Every watch and how many seconds it has failed; 0 while it works.
    pub fn ages(&self) -> Vec<(Watched, f64)> {
        let now = Timestamp::now();
        let age = |failure: &Failure| now.duration_since(failure.since).as_secs_f64().max(0.0);
        let states = self.states();
        states.iter().map(|(watched, state)| (watched.clone(), state.failure().map_or(0.0, age))).collect()
    }
}
