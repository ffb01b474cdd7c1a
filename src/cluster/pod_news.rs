//! What Kubernetes says about pods while servers come up: one watch a namespace, from now on, for as long as it is wanted.
//!
//! The events that are there already are not listed: in a large namespace there are many thousands of them.

use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, pin_mut};
use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::{ListParams, WatchEvent, WatchParams};

use super::calls::{Deadline, call};
use super::watch::{TrimmedPod, state_of, trimmed_pods};
use super::{Cluster, ClusterError};
use crate::domain::mark::SERVICE_LABEL;
use crate::domain::pod_state::{PodNews, PodState};

/// Of the kind of object that is looked at.
const ABOUT_PODS: &str = "involvedObject.kind=Pod";
/// Shorter than the connection's read time-out, which is how a dead connection is noticed.
const WATCH_SECONDS: u32 = 9;
/// A watch that ends sooner did not work.
const SHORTEST: Duration = Duration::from_secs(1);
const LIST_TIME: Duration = Duration::from_secs(5);
/// After a failure. Events are only news: what is missed meanwhile is not asked for.
const PAUSE: Duration = Duration::from_secs(5);
/// Where the right to watch events is missing.
const LONG_PAUSE: Duration = Duration::from_secs(300);

impl Cluster {
    /// Tells all that is said about pods of a namespace, until it is dropped.
    pub async fn tell_pod_news(&self, namespace: &str, tell: impl Fn(PodNews)) {
        let events: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let mut is_told = false;
        loop {
            match follow(&events, &tell).await {
                // Whatever the reason is, an API server that says so is not asked at once.
                Ok(()) => tokio::time::sleep(PAUSE).await,
                Err(error) => {
                    let is_forbidden = error.is_forbidden();
                    if !is_told && is_forbidden {
                        is_told = true;
                        tracing::warn!(
                            namespace, %error,
                            "users do not see why their servers wait: grant list and watch on events (k8smgr check --rbac)"
                        );
                    } else {
                        tracing::debug!(namespace, %error, "events are watched again");
                    }
                    tokio::time::sleep(if is_forbidden { LONG_PAUSE } else { PAUSE }).await;
                }
            }
        }
    }

    /// The pods of one service as they are now.
    pub async fn pod_states(
        &self,
        namespace: &str,
        service: &str,
        deadline: Deadline,
    ) -> Result<Vec<PodState>, ClusterError> {
        let pods: Api<TrimmedPod> = Api::namespaced_with(self.client.clone(), namespace, &trimmed_pods());
        let parameters = ListParams::default().labels(&format!("{SERVICE_LABEL}={service}"));
        let found = call(deadline, || pods.list(&parameters)).await?;
        Ok(found.items.iter().filter_map(state_of).collect())
    }
}

/// From the newest version on, for as long as the API server tells.
async fn follow(events: &Api<Event>, tell: &impl Fn(PodNews)) -> Result<(), ClusterError> {
    let newest = ListParams::default().fields(ABOUT_PODS).limit(1);
    let listed = call(Deadline::after(LIST_TIME), || events.list_metadata(&newest)).await?;
    let mut version = listed.metadata.resource_version.unwrap_or_default();
    let parameters = WatchParams::default().fields(ABOUT_PODS).timeout(WATCH_SECONDS);
    loop {
        let begun = Instant::now();
        let stream = events.watch(&parameters, &version).await.map_err(ClusterError::from)?.fuse();
        pin_mut!(stream);
        while let Some(event) = stream.try_next().await.map_err(ClusterError::from)? {
            match event {
                WatchEvent::Added(event) | WatchEvent::Modified(event) => {
                    if let Some(seen) = &event.metadata.resource_version {
                        version.clone_from(seen);
                    }
                    news(event).into_iter().for_each(tell);
                }
                WatchEvent::Bookmark(bookmark) => version = bookmark.metadata.resource_version,
                WatchEvent::Deleted(_) => {}
                // The version is too old: from the newest one again.
                WatchEvent::Error(_) => return Ok(()),
            }
        }
        if begun.elapsed() < SHORTEST {
            return Ok(());
        }
    }
}

fn news(event: Event) -> Option<PodNews> {
    let about = event.involved_object;
    Some(PodNews {
        pod_uid: about.uid?,
        container: about.field_path.as_deref().and_then(container),
        reason: event.reason.unwrap_or_default(),
        message: event.message.unwrap_or_default(),
    })
}

/// `spec.containers{main}`, `spec.initContainers{main}`.
fn container(path: &str) -> Option<(String, bool)> {
    let (list, name) = path.strip_suffix('}')?.split_once('{')?;
    Some((name.to_owned(), list == "spec.initContainers"))
}
