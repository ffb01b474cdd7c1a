//! Whether a service runs: the status rule on what the cache holds, confirmed where the answer would end a server.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::Services;
use crate::cluster::watch::workloads::observe_value;
use crate::cluster::{ClusterError, Deadline};
use crate::domain::mark::ServiceTag;
use crate::domain::status::{Failure, MainContainer, PodObservation, Verdict, judge};
use crate::domain::{AppliedObject, Moment, ObjectId};

/// A poll waits this long for a direct read.
const CONFIRM_TIME: Duration = Duration::from_secs(2);
/// How often the events of a pod that waits are read.
const EVENTS_EVERY: Duration = Duration::from_secs(5);

/// Pods whose last events look like `pod_events_to_fail`, and when they were read.
pub type Suspicions = Mutex<HashMap<String, Suspicion>>;

#[derive(Clone, Copy)]
pub struct Suspicion {
    read: Moment,
    /// Since when every reading was bad.
    bad_since: Option<Moment>,
}

/// Why a service is over.
#[derive(Clone, Debug)]
pub enum End {
    Failed(Failure),
    Deleted { kind: String, name: String },
    ScaledToZero { kind: String, name: String },
}

#[derive(Clone, Debug)]
pub enum Judgement {
    Runs,
    /// The cluster was never seen since we started.
    CannotTell,
    Over(End),
}

/// What a judgement needs of a service.
#[derive(Clone, Copy)]
pub struct Judged<'a> {
    pub sequence: i64,
    pub object_id: &'a ObjectId,
    /// What the watch cache files it under.
    pub tag: ServiceTag,
    /// Its workloads, perhaps among others.
    pub objects: &'a [AppliedObject],
}

impl Services {
    pub(super) async fn judge(&self, service: Judged<'_>) -> Judgement {
        if !self.cluster.is_synced(service.objects) {
            return Judgement::CannotTell;
        }
        let information = &self.config.current().services.status_information;
        let grace = Duration::from_secs(information.fatal_grace_seconds);
        let observation = self.cluster.watches().observe(service.tag);
        match judge(&observation, self.clock.moment(), grace) {
            Verdict::Running | Verdict::Waiting(None) => Judgement::Runs,
            Verdict::Failed(failure) => match self.still_fails(service, &failure).await {
                true => Judgement::Over(End::Failed(failure)),
                false => Judgement::Runs,
            },
            Verdict::Waiting(Some(pod)) => match self.events_forbid(&pod).await {
                true => Judgement::Over(End::Failed(Failure::CannotStart(pod))),
                false => Judgement::Runs,
            },
            Verdict::Gone => match self.confirm_gone(service.objects).await {
                Ok(Some(end)) => Judgement::Over(end),
                Ok(None) => {
                    self.is_there_unseen(service).await;
                    Judgement::Runs
                }
                Err(error) => {
                    tracing::debug!(id = %service.object_id, %error, "cannot confirm that the service is gone");
                    Judgement::Runs
                }
            },
        }
    }

    /// Looks at the pod past the cache: during an outage it may have come up unseen, and time alone is no evidence.
    async fn still_fails(&self, service: Judged<'_>, failure: &Failure) -> bool {
        let pod = failure.pod();
        let is_final = pod.phase.is_terminal() && !pod.is_replaced;
        if is_final {
            return true;
        }
        // The successor of a pod that an adopted workload made is known only once it is marked.
        if pod.is_replaced {
            match self.store.service(service.sequence).await {
                Ok(Some(record)) if !self.has_unseen_pods(&record).await => {}
                _ => return false,
            }
        }
        match self.cluster.look_at(pod, Deadline::after(CONFIRM_TIME)).await {
            Ok(Some(now)) => match failure {
                Failure::PodFailed(_) => now.phase.is_terminal(),
                // One that crashed and waits to be started again did not come up since.
                Failure::MainTerminated(_) => {
                    let waits = now.main == MainContainer::Waiting && now.stuck_since.is_some();
                    now.main == MainContainer::Terminated || waits
                }
                Failure::CannotStart(_) => now.main != MainContainer::Running && !now.phase.is_terminal(),
            },
            // A failed pod that was cleared away since; the cache hears of its successor soon.
            Ok(None) => false,
            Err(error) => {
                tracing::debug!(pod = pod.name, %error, "cannot confirm that the pod failed");
                false
            }
        }
    }

    /// Reads the workloads directly: the cache may not have seen them yet. `None` when one is there.
    pub(super) async fn confirm_gone(&self, objects: &[AppliedObject]) -> Result<Option<End>, ClusterError> {
        let deadline = Deadline::after(CONFIRM_TIME);
        let mut end = None;
        for object in objects.iter().filter(|it| it.is_workload) {
            let (kind, name) = (object.kind.clone(), object.name.clone());
            match self.cluster.read(object, deadline).await? {
                None => end = end.or(Some(End::Deleted { kind, name })),
                Some(there) if wants_no_pod(&there) => end = Some(End::ScaledToZero { kind, name }),
                Some(_) => return Ok(None),
            }
        }
        Ok(end)
    }

    /// Whether the pod's last events hold all of `pod_events_to_fail`, and have for as long as the grace period: one
    /// warning that heals fails nothing.
    async fn events_forbid(&self, pod: &PodObservation) -> bool {
        let config = self.config.current();
        let services = &config.services;
        if services.pod_events_to_fail.is_empty() {
            return false;
        }
        let known = self.suspicions.lock().unwrap_or_else(PoisonError::into_inner).get(&pod.uid).copied();
        let bad_since = match known {
            Some(known) if self.clock.moment().since(known.read) < EVENTS_EVERY => known.bad_since,
            _ => {
                let deadline = Deadline::after(CONFIRM_TIME);
                let read = self.cluster.pod_events(&pod.namespace, &pod.name, &pod.uid, deadline).await;
                // A reading that failed is remembered, too: a poll does not wait for the next one.
                let events = read.unwrap_or_default();
                let last = &events[events.len().saturating_sub(services.status_information.pod_events_no)..];
                let wanted = |event_type: &String| last.iter().any(|event| event.event_type == *event_type);
                let is_bad = services.pod_events_to_fail.iter().all(wanted);
                let bad_since =
                    is_bad.then(|| known.and_then(|known| known.bad_since).unwrap_or_else(|| self.clock.moment()));
                self.remember(&pod.uid, bad_since);
                bad_since
            }
        };
        let grace = Duration::from_secs(services.status_information.fatal_grace_seconds);
        bad_since.is_some_and(|since| self.clock.moment().since(since) >= grace)
    }

    fn remember(&self, uid: &str, bad_since: Option<Moment>) {
        let now = self.clock.moment();
        let mut suspicions = self.suspicions.lock().unwrap_or_else(PoisonError::into_inner);
        // Pods that nobody asked for any more.
        suspicions.retain(|_, it| now.since(it.read) < Duration::from_secs(600));
        suspicions.insert(uid.to_owned(), Suspicion { read: now, bad_since });
    }
}

fn wants_no_pod(object: &Value) -> bool {
    observe_value(object).is_some_and(|it| it.desired == Some(0))
}
