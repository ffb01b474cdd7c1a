//! How the watches are doing: which fail, since when and why. For `/readyz`, for the log and for recovery.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::Watched;
use crate::domain::{Clock, Moment};

/// One watch as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchHealth {
    pub kind: String,
    pub namespace: String,
    /// Everything was seen at least once.
    pub is_synced: bool,
    /// `None` while it works.
    pub failure: Option<WatchFailure>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchFailure {
    /// How long it has failed without a break.
    pub lasts: Duration,
    /// The last failure, in words that hold no address and no token.
    pub reason: String,
}

#[derive(Default)]
struct State {
    is_synced: bool,
    failure: Option<(Moment, String)>,
}

pub struct Health {
    clock: Clock,
    states: Mutex<BTreeMap<Watched, State>>,
    /// Counts the lists that were complete: each is an occasion to look at everything again.
    resynced: watch::Sender<u64>,
}

impl Health {
    pub fn new(clock: Clock) -> Self {
        Self { clock, states: Mutex::default(), resynced: watch::channel(0).0 }
    }

    fn states(&self) -> MutexGuard<'_, BTreeMap<Watched, State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn begins(&self, watched: &Watched) {
        self.states().entry(watched.clone()).or_default();
    }

    /// True: it worked before.
    pub fn fails(&self, watched: &Watched, reason: String) -> bool {
        let now = self.clock.moment();
        let mut states = self.states();
        let state = states.entry(watched.clone()).or_default();
        let since = state.failure.as_ref().map(|it| it.0);
        state.failure = Some((since.unwrap_or(now), reason));
        since.is_none()
    }

    /// True: it failed before.
    pub fn works(&self, watched: &Watched) -> bool {
        self.states().entry(watched.clone()).or_default().failure.take().is_some()
    }

    pub fn is_complete(&self, watched: &Watched) {
        self.states().entry(watched.clone()).or_default().is_synced = true;
        self.resynced.send_modify(|count| *count += 1);
    }

    pub fn resynced(&self) -> watch::Receiver<u64> {
        self.resynced.subscribe()
    }

    pub fn all(&self) -> Vec<WatchHealth> {
        let now = self.clock.moment();
        let health = |(watched, state): (&Watched, &State)| WatchHealth {
            kind: watched.kind.clone(),
            namespace: watched.namespace.clone(),
            is_synced: state.is_synced,
            failure: state
                .failure
                .as_ref()
                .map(|(since, reason)| WatchFailure { lasts: now.since(*since), reason: reason.clone() }),
        };
        self.states().iter().map(health).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_with_its_whole_length_until_it_is_over() {
        let clock = Clock::default();
        let health = Health::new(clock.clone());
        let pods = Watched::pods("n");
        health.begins(&pods);
        assert!(health.fails(&pods, "first".to_owned()));
        clock.advance(Duration::from_secs(100));
        assert!(!health.fails(&pods, "second".to_owned()));
        let failure = health.all().remove(0).failure.unwrap();
        assert!(failure.lasts >= Duration::from_secs(100) && failure.reason == "second", "{failure:?}");
        assert!(health.works(&pods));
        assert_eq!(health.all().remove(0).failure, None);
    }
}
