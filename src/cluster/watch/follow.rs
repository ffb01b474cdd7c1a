//! Keeps an index in step with one watch, through every outage.

use std::collections::HashSet;
use std::pin::{Pin, pin};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{Stream, StreamExt, stream};
use kube::ResourceExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{Error, Event};
use tokio::task::JoinSet;

use super::changes::Changes;
use super::health::Health;
use super::index::Missing;
use super::{Shared, Watched};
use crate::cluster::ClusterError;
use crate::domain::mark::{SERVICE_LABEL, ServiceTag};

const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// After an outage everything is fresh again within a few seconds.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// Direct reads that confirm a list, at a time.
const READS_AT_ONCE: usize = 8;
/// Before a list that was wrong is asked for again, and before a read that failed is.
const CONFIRM_PAUSE: Duration = Duration::from_secs(2);

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

fn tag_of(object: &impl ResourceExt) -> Option<ServiceTag> {
    ServiceTag::parse(object.labels().get(SERVICE_LABEL)?)
}

/// Whether an object that a list lacked is there after all, by a direct read.
pub type IsThere = Arc<dyn Fn(Missing) -> BoxFuture<'static, Result<bool, ClusterError>> + Send + Sync>;

/// What a watch is on and what it feeds.
pub struct Follower<T> {
    pub watched: Watched,
    /// Of the requests that the watch makes.
    pub path: String,
    pub index: Shared<T>,
    pub health: Arc<Health>,
    /// Who waits for a change of a service.
    pub changes: Arc<Changes<ServiceTag>>,
    pub is_there: IsThere,
    pub shrunken_percent: u8,
}

impl<T: Clone + Send + Sync + 'static> Follower<T> {
    /// Follows a watch for ever. `observe` turns an object into what is kept; it sees what was kept of it before.
    pub async fn follow<K, S>(self, watch: impl Fn() -> S, observe: impl Fn(&K, Option<&T>) -> Option<T>)
    where
        K: ResourceExt,
        S: Stream<Item = Result<Event<K>, Error>> + Send,
    {
        self.health.begins(&self.watched, &self.path);
        loop {
            let mut stream = pin!(watch().backoff(Pause::default()));
            self.follow_until_wrong(stream.as_mut(), &observe).await;
            tracing::warn!(
                kind = self.watched.kind,
                namespace = self.watched.namespace,
                "the API server's list lacked objects that are there; asking for another"
            );
            tokio::time::sleep(CONFIRM_PAUSE).await;
        }
    }

    /// Ends when a list turned out to be wrong.
    async fn follow_until_wrong<K, S>(&self, mut stream: Pin<&mut S>, observe: &impl Fn(&K, Option<&T>) -> Option<T>)
    where
        K: ResourceExt,
        S: Stream<Item = Result<Event<K>, Error>> + Send,
    {
        let mut seen = HashSet::new();
        let mut confirmation = JoinSet::new();
        loop {
            tokio::select! {
                Some(is_right) = confirmation.join_next() => if !matches!(is_right, Ok(true)) { return },
                event = stream.next() => match event {
                    None => return,
                    Some(Err(error)) => self.note_failure(error),
                    Some(Ok(event)) => {
                        let missing = self.take(event, &mut seen, observe);
                        if !missing.is_empty() {
                            confirmation.abort_all();
                            confirmation = JoinSet::new();
                            confirmation.spawn(self.confirm(missing));
                        }
                    }
                },
            }
        }
    }

    fn note_failure(&self, error: Error) {
        let (kind, namespace) = (&self.watched.kind, &self.watched.namespace);
        let error = match error {
            Error::InitialListFailed(error) | Error::WatchStartFailed(error) | Error::WatchFailed(error) => {
                ClusterError::from(error)
            }
            Error::WatchError(status) => ClusterError::Api(status),
            // An item of a list without a version: nothing that anybody could ask for again.
            other => {
                tracing::debug!(kind, namespace, error = %other, "watch answered strangely");
                return;
            }
        };
        metrics::counter!("k8smgr_watch_failures_total").increment(1);
        // Once an outage: the watch tries again for as long as it takes.
        if self.health.fails(&self.watched, error.to_string()) {
            tracing::warn!(kind, namespace, %error, "watch failed");
        }
    }

    /// Gives back what a complete list lacked beyond belief.
    fn take<K: ResourceExt>(
        &self,
        event: Event<K>,
        seen: &mut HashSet<String>,
        observe: &impl Fn(&K, Option<&T>) -> Option<T>,
    ) -> Vec<Missing> {
        // A new list that was only begun is no answer yet.
        if !matches!(event, Event::Init) && self.health.works(&self.watched) {
            tracing::info!(kind = self.watched.kind, namespace = self.watched.namespace, "watch is back");
        }
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        let mut keep = |object: &K| {
            let (Some(uid), Some(service)) = (object.uid(), tag_of(object)) else { return };
            match observe(object, index.get(&uid)) {
                Some(value) => index.put(&self.watched, &uid, &object.name_any(), service, value),
                None => index.remove(&uid),
            }
            // Whoever hears of it waits for the lock, and so sees it.
            self.changes.tell(&service);
        };
        match event {
            Event::Init => seen.clear(),
            Event::InitApply(object) => {
                seen.extend(object.uid());
                keep(&object);
            }
            Event::InitDone => {
                let missing = index.finish_list(&self.watched, seen, self.shrunken_percent);
                drop(index);
                self.changes.tell_all();
                self.health.is_complete(&self.watched);
                return missing;
            }
            Event::Apply(object) => keep(&object),
            Event::Delete(object) => {
                if let Some(uid) = object.uid() {
                    index.remove(&uid);
                }
                if let Some(service) = tag_of(&object) {
                    self.changes.tell(&service);
                }
            }
        }
        Vec::new()
    }

    /// Reads one by one what a list lacked, for as long as it takes. What is gone is taken away; what is there tells that
    /// the list was wrong (false).
    fn confirm(&self, missing: Vec<Missing>) -> impl Future<Output = bool> + Send + 'static {
        let (index, is_there, watched) = (self.index.clone(), self.is_there.clone(), self.watched.clone());
        let health = self.health.clone();
        async move {
            let (kind, namespace, count) = (&watched.kind, &watched.namespace, missing.len());
            tracing::info!(kind, namespace, count, "a list lacks much of what was there; reading it one by one");
            let mut left = missing;
            let mut is_right = true;
            loop {
                let reads = stream::iter(left).map(|it| async { (is_there(it.clone()).await, it) });
                let read: Vec<_> = reads.buffer_unordered(READS_AT_ONCE).collect().await;
                left = Vec::new();
                for (answer, it) in read {
                    match answer {
                        Ok(true) => is_right = false,
                        Ok(false) => index.write().unwrap_or_else(PoisonError::into_inner).remove(&it.uid),
                        Err(_) => left.push(it),
                    }
                }
                if left.is_empty() {
                    // What is certainly gone by now is a reason to look at the records.
                    health.is_complete(&watched);
                    return is_right;
                }
                tokio::time::sleep(CONFIRM_PAUSE).await;
            }
        }
    }
}
