//! Keeps an index in step with one watch, through every outage.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::PoisonError;

use futures::{Stream, StreamExt};
use kube::ResourceExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Error, Event};

use super::{Shared, Watched};
use crate::domain::mark::SERVICE_LABEL;

/// Follows a watch for ever. `observe` turns an object into what is kept; it sees what was kept of it before.
pub async fn follow<K, T>(
    stream: impl Stream<Item = Result<Event<K>, Error>> + Send,
    watched: Watched,
    index: Shared<T>,
    observe: impl Fn(&K, Option<&T>) -> Option<T>,
) where
    K: ResourceExt,
    T: Clone,
{
    let mut stream = pin!(stream.default_backoff());
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
                is_failing = true;
                continue;
            }
        };
        if is_failing {
            tracing::info!(kind = watched.kind, namespace = watched.namespace, "watch is back");
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
