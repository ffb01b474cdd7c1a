//! The watch cache: the pods and workloads that carry our label, as last told by the API server.
//!
//! Answers from memory alone. What it last knew stays during an outage; whether it ever knew is asked with `is_synced`.

mod changes;
mod follow;
mod health;
mod index;
mod onlookers;
mod pods;
mod trimmed;
pub mod workloads;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use kube::{Api, Client, runtime::watcher};
use tokio::sync::watch;
use tokio::task::AbortHandle;

pub use self::changes::Changes;
use self::follow::{Follower, IsThere};
use self::health::Health;
pub use self::health::{WatchFailure, WatchHealth};
use self::index::Index;
pub use self::onlookers::{Onlookers, state_of};
use self::trimmed::TrimmedWorkload;
pub(super) use self::trimmed::{TrimmedPod, pods as trimmed_pods};
use super::calls::call;
use super::resources::Known;
use super::{Cluster, ClusterError, Deadline};
use crate::domain::mark::{INSTALLATION_LABEL, MAIN_ROLE, ROLE_LABEL, ServiceTag};
use crate::domain::status::{Observation, PodObservation, WorkloadObservation};
use crate::domain::{AppliedObject, Clock, Moment};

/// What a watch is on: a kind in a namespace. Pods are one of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Watched {
    pub api_version: String,
    pub kind: String,
    pub namespace: String,
}

impl Watched {
    pub fn pods(namespace: &str) -> Self {
        Self { api_version: "v1".to_owned(), kind: "Pod".to_owned(), namespace: namespace.to_owned() }
    }
}

/// Shorter than the connection's read time-out, which is how a dead connection is noticed.
const WATCH_SECONDS: u32 = 9;
/// How long a watch is taken to be right, first and at the longest, before it may be begun anew.
const FIRST_BELIEF: Duration = Duration::from_secs(5);
const LONGEST_BELIEF: Duration = Duration::from_secs(300);
/// For one direct read of what a list lacked.
const READ_TIME: Duration = Duration::from_secs(10);

fn watch_config(selector: &Selector) -> watcher::Config {
    let labels: Vec<_> = selector.iter().map(|(label, value)| format!("{label}={value}")).collect();
    watcher::Config::default().labels(&labels.join(",")).timeout(WATCH_SECONDS)
}

/// Labels that an object must have.
type Selector = Vec<(&'static str, String)>;

type Shared<T> = Arc<RwLock<Index<T>>>;

struct Task {
    handle: AbortHandle,
    /// Whether another one is to take its place.
    is_over: bool,
    begun: Moment,
    /// It is not begun anew before.
    believed_for: Duration,
}

pub struct Watches {
    client: Client,
    installation: String,
    pods: Shared<PodObservation>,
    workloads: Shared<WorkloadObservation>,
    tasks: Mutex<HashMap<Watched, Task>>,
    health: Arc<Health>,
    onlookers: Arc<Onlookers>,
    /// By what a service is filed under.
    changes: Arc<Changes<ServiceTag>>,
    clock: Clock,
    shrunken_percent: u8,
}

impl Watches {
    pub(super) fn new(client: Client, installation: &str, clock: Clock, shrunken_percent: u8) -> Self {
        Self {
            health: Arc::new(Health::new(clock.clone())),
            onlookers: Arc::default(),
            changes: Arc::default(),
            clock,
            shrunken_percent,
            client,
            installation: installation.to_owned(),
            pods: Shared::default(),
            workloads: Shared::default(),
            tasks: Mutex::default(),
        }
    }

    /// What is known of a service.
    pub fn observe(&self, service: ServiceTag) -> Observation {
        Observation { pods: read(&self.pods, service), workloads: read(&self.workloads, service) }
    }

    /// Whether everything of this kind in this namespace was seen once.
    pub fn is_synced(&self, watched: &Watched) -> bool {
        let pods = self.pods.read().unwrap_or_else(PoisonError::into_inner);
        let workloads = self.workloads.read().unwrap_or_else(PoisonError::into_inner);
        pods.is_synced(watched) || workloads.is_synced(watched)
    }

    /// Whether all of this was seen once.
    pub fn are_synced(&self, watched: &[Watched]) -> bool {
        watched.iter().all(|it| self.is_synced(it))
    }

    /// Whether a pod of this service runs its main container. Copies nothing: most polls ask no more.
    pub fn serves(&self, service: ServiceTag) -> bool {
        let pods = self.pods.read().unwrap_or_else(PoisonError::into_inner);
        pods.any_of_service(service, PodObservation::serves)
    }

    pub fn watch_pods(&self, namespace: &str) {
        let watched = Watched::pods(namespace);
        let selector = vec![(INSTALLATION_LABEL, self.installation.clone()), (ROLE_LABEL, MAIN_ROLE.to_owned())];
        self.begin(watched.clone(), || {
            let api: Api<TrimmedPod> = Api::namespaced_with(self.client.clone(), namespace, &trimmed::pods());
            let is_there = is_there(api.clone(), selector.clone());
            let follower = self.follower(watched, api.resource_url(), self.pods.clone(), is_there);
            let (clock, onlookers) = (self.clock.clone(), self.onlookers.clone());
            let watch = move || watcher(api.clone(), watch_config(&selector));
            let observe = move |pod: &TrimmedPod, before: Option<&PodObservation>| {
                onlookers.note(pod);
                pods::observe_and_time(pod, before, &clock)
            };
            tokio::spawn(follower.follow(watch, observe)).abort_handle()
        });
    }

    fn watch_workloads(&self, known: &Known, watched: Watched) {
        let selector = vec![(INSTALLATION_LABEL, self.installation.clone())];
        self.begin(watched.clone(), || {
            let api: Api<TrimmedWorkload> =
                Api::namespaced_with(self.client.clone(), &watched.namespace, &known.resource);
            let is_there = is_there(api.clone(), selector.clone());
            let follower = self.follower(watched, api.resource_url(), self.workloads.clone(), is_there);
            let watch = move || watcher(api.clone(), watch_config(&selector));
            tokio::spawn(follower.follow(watch, workloads::observe)).abort_handle()
        });
    }

    fn follower<T>(&self, watched: Watched, path: &str, index: Shared<T>, is_there: IsThere) -> Follower<T> {
        let (path, health, changes) = (path.to_owned(), self.health.clone(), self.changes.clone());
        Follower { watched, path, index, health, changes, is_there, shrunken_percent: self.shrunken_percent }
    }

    /// Who hears of the pods of starts under way.
    pub fn onlookers(&self) -> &Onlookers {
        &self.onlookers
    }

    /// Whoever waits for a change of a service's pods or workloads.
    pub fn changes(&self) -> &Changes<ServiceTag> {
        &self.changes
    }

    /// How every watch is doing.
    pub fn health(&self) -> Vec<WatchHealth> {
        self.health.all()
    }

    /// Changes whenever a watch has seen everything anew.
    pub fn resynced(&self) -> watch::Receiver<u64> {
        self.health.resynced()
    }

    /// Whether all that is watched was seen, and none fails.
    pub fn are_well(&self) -> bool {
        self.health.all().iter().all(|it| it.is_synced && it.failure.is_none())
    }

    fn begin(&self, watched: Watched, spawn: impl FnOnce() -> AbortHandle) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let believed_for = match tasks.get(&watched) {
            Some(task) if !task.is_over => return,
            Some(task) => (task.believed_for * 2).min(LONGEST_BELIEF),
            None => FIRST_BELIEF,
        };
        let begun = self.clock.moment();
        tasks.insert(watched, Task { handle: spawn(), is_over: false, begun, believed_for });
    }

    /// Ends a watch whose list was wrong. Where that does not help, it is done less and less often.
    fn end_wrong(&self, watched: &Watched) {
        let now = self.clock.moment();
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = tasks.get_mut(watched).filter(|it| now.since(it.begun) >= it.believed_for) {
            task.handle.abort();
            task.is_over = true;
        }
    }
}

/// Reads an object past every cache: there, the same one, and still ours.
fn is_there<K>(api: Api<K>, selector: Selector) -> IsThere
where
    K: Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
{
    Arc::new(move |missing| {
        let (api, selector) = (api.clone(), selector.clone());
        Box::pin(async move {
            let found = call(Deadline::after(READ_TIME), || api.get_metadata_opt(&missing.name)).await?;
            Ok(found.is_some_and(|it| {
                let has = |(label, value): &(&str, String)| {
                    it.metadata.labels.as_ref().and_then(|it| it.get(*label)) == Some(value)
                };
                it.metadata.uid.as_ref() == Some(&missing.uid) && selector.iter().all(has)
            }))
        })
    })
}

impl Drop for Watches {
    fn drop(&mut self) {
        for (_, task) in self.tasks.lock().unwrap_or_else(PoisonError::into_inner).drain() {
            task.handle.abort();
        }
    }
}

fn read<T: Clone>(index: &Shared<T>, service: ServiceTag) -> Vec<T> {
    index.read().unwrap_or_else(PoisonError::into_inner).of_service(service)
}

impl Cluster {
    /// Begins to watch what decides about a service, where that is not watched yet.
    pub async fn watch(&self, objects: &[AppliedObject], deadline: Deadline) -> Result<(), ClusterError> {
        for object in objects.iter().filter(|it| it.is_workload) {
            let Some(namespace) = &object.namespace else { continue };
            self.watches.watch_pods(namespace);
            if object.kind != "Pod" {
                let known = self.resource(&object.api_version, &object.kind, deadline).await?;
                self.watches.watch_workloads(&known, watched(object, namespace));
            }
        }
        Ok(())
    }

    /// Begins the watches that a service needs anew, from a new list: they do not know of it.
    pub async fn watch_anew(&self, objects: &[AppliedObject], deadline: Deadline) -> Result<(), ClusterError> {
        for object in objects.iter().filter(|it| it.is_workload) {
            if let Some(namespace) = &object.namespace {
                self.watches.end_wrong(&Watched::pods(namespace));
                self.watches.end_wrong(&watched(object, namespace));
            }
        }
        self.watch(objects, deadline).await
    }

    /// The pod as it is now, past the cache; `None` when it is gone.
    pub async fn look_at(
        &self,
        pod: &PodObservation,
        deadline: Deadline,
    ) -> Result<Option<PodObservation>, ClusterError> {
        let api: Api<TrimmedPod> = Api::namespaced_with(self.client.clone(), &pod.namespace, &trimmed::pods());
        let found = call(deadline, || api.get_opt(&pod.name)).await?;
        Ok(found.and_then(|it| pods::observe(&it, Some(pod), &self.watches.clock)).filter(|it| it.uid == pod.uid))
    }

    /// Whether the cache has seen all that decides about a service.
    pub fn is_synced(&self, objects: &[AppliedObject]) -> bool {
        self.watches.are_synced(&watched_of(objects))
    }
}

/// What decides about a service with these objects.
pub fn watched_of(objects: &[AppliedObject]) -> Vec<Watched> {
    let mut all = Vec::new();
    for object in objects.iter().filter(|it| it.is_workload) {
        let Some(namespace) = &object.namespace else { continue };
        for it in [watched(object, namespace), Watched::pods(namespace)] {
            if !all.contains(&it) {
                all.push(it);
            }
        }
    }
    all
}

fn watched(object: &AppliedObject, namespace: &str) -> Watched {
    Watched { api_version: object.api_version.clone(), kind: object.kind.clone(), namespace: namespace.to_owned() }
}
