//! Keeps an index in step with one watch, through every outage.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::PoisonError;
use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::ResourceExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{Error, Event};

use super::failures::Failures;
use super::{Shared, Watched};
use crate::domain::mark::SERVICE_LABEL;

const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// After an outage everything is fresh again within a few seconds.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// How long a failed watch waits before it is tried again: twice as long each time.
struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Self(FIRST_PAUSE)
    }
}

impl Iterator for Pause {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = self.0;
        self.0 = (pause * 2).min(LONGEST_PAUSE);
        Some(pause)
    }
}

impl Backoff for Pause {
    fn reset(&mut self) {
        self.0 = FIRST_PAUSE;
    }
}

/// Follows a watch for ever. `observe` turns an object into what is kept; it sees what was kept of it before.
pub async fn follow<K, T>(
    stream: impl Stream<Item = Result<Event<K>, Error>> + Send,
    watched: Watched,
    index: Shared<T>,
    failures: Failures,
    observe: impl Fn(&K, Option<&T>) -> Option<T>,
) where
    K: ResourceExt,
    T: Clone,
{
    let mut stream = pin!(stream.backoff(Pause::default()));
    let mut seen = HashSet::new();
    let mut is_failing = false;
    while let Some(event) = stream.next().await {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                // Once an outage: the watch tries again for as long as it takes.
                if !is_failing {
                    tracing::warn!(kind = watched.kind, namespace = watched.namespace, %error, "watch failed");
                }
                failures.failed(&watched, &error.to_string());
                is_failing = true;
                continue;
            }
        };
        // A new list that was only begun is no answer yet.
        if is_failing && !matches!(event, Event::Init) {
            tracing::info!(kind = watched.kind, namespace = watched.namespace, "watch is back");
            failures.works(&watched);
            is_failing = false;
        }
        let mut index = index.write().unwrap_or_else(PoisonError::into_inner);
        let mut keep = |object: &K| {
            let (Some(uid), Some(service)) = (object.uid(), object.labels().get(SERVICE_LABEL)) else { return };
            match observe(object, index.get(&uid)) {
                Some(value) => index.put(&watched, &uid, service, value),
                None => index.remove(&uid),
            }
        };
        match event {
            Event::Init => seen.clear(),
            Event::InitApply(object) => {
                seen.extend(object.uid());
                keep(&object);
            }
            Event::InitDone => index.finish_list(&watched, &seen),
            Event::Apply(object) => keep(&object),
            Event::Delete(object) => {
                if let Some(uid) = object.uid() {
                    index.remove(&uid);
                }
            }
        }
    }
}
