//! The watch cache: the pods and workloads that carry our label, as last told by the API server.
//!
//! Answers from memory alone. What it last knew stays during an outage; whether it ever knew is asked with `is_synced`.

mod failures;
mod follow;
mod index;
mod pods;
pub mod workloads;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, api::DynamicObject, runtime::watcher};
use tokio::task::AbortHandle;

pub use self::failures::WatchFailure;

use self::failures::Failures;
use self::index::Index;
use super::calls::call;
use super::resources::Known;
use super::{Cluster, ClusterError, Deadline};
use crate::domain::AppliedObject;
use crate::domain::mark::{INSTALLATION_LABEL, MAIN_ROLE, ROLE_LABEL};
use crate::domain::status::{Observation, PodObservation, WorkloadObservation};

/// What a watch is on: a kind in a namespace. Pods are one of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
const WATCH_SECONDS: u32 = 25;

fn watch_config(selector: &str) -> watcher::Config {
    watcher::Config::default().labels(selector).timeout(WATCH_SECONDS)
}

type Shared<T> = Arc<RwLock<Index<T>>>;

pub struct Watches {
    client: Client,
    installation: String,
    pods: Shared<PodObservation>,
    workloads: Shared<WorkloadObservation>,
    failures: Failures,
    tasks: Mutex<HashMap<Watched, AbortHandle>>,
}

impl Watches {
    pub(super) fn new(client: Client, installation: &str) -> Self {
        Self {
            client,
            installation: installation.to_owned(),
            pods: Shared::default(),
            workloads: Shared::default(),
            failures: Failures::default(),
            tasks: Mutex::default(),
        }
    }

    /// What is known of the service with this label value.
    pub fn observe(&self, service: &str) -> Observation {
        Observation { pods: read(&self.pods, service), workloads: read(&self.workloads, service) }
    }

    /// Whether everything of this kind in this namespace was seen once.
    pub fn is_synced(&self, watched: &Watched) -> bool {
        let pods = self.pods.read().unwrap_or_else(PoisonError::into_inner);
        let workloads = self.workloads.read().unwrap_or_else(PoisonError::into_inner);
        pods.is_synced(watched) || workloads.is_synced(watched)
    }

    /// The watches that fail: what is known of these is as old as their failure.
    pub fn failures(&self) -> Vec<WatchFailure> {
        self.failures.all()
    }

    /// Every watch that was heard of, and for how many seconds it has failed.
    pub fn ages(&self) -> Vec<(Watched, f64)> {
        self.failures.ages()
    }

    pub fn watch_pods(&self, namespace: &str) {
        let watched = Watched::pods(namespace);
        let selector = format!("{INSTALLATION_LABEL}={},{ROLE_LABEL}={MAIN_ROLE}", self.installation);
        self.begin(watched.clone(), || {
            let api = Api::namespaced(self.client.clone(), namespace);
            self.failures.begin_watch(&watched, api.resource_url());
            let stream = watcher(api, watch_config(&selector));
            tokio::spawn(follow::follow(
                stream,
                watched,
                self.pods.clone(),
                self.failures.clone(),
                pods::observe_and_time,
            ))
            .abort_handle()
        });
    }

    fn watch_workloads(&self, known: &Known, watched: Watched) {
        let selector = format!("{INSTALLATION_LABEL}={}", self.installation);
        self.begin(watched.clone(), || {
            let api: Api<DynamicObject> = known.api(&self.client, Some(&watched.namespace));
            self.failures.begin_watch(&watched, api.resource_url());
            let stream = watcher(api, watch_config(&selector));
            tokio::spawn(follow::follow(
                stream,
                watched,
                self.workloads.clone(),
                self.failures.clone(),
                workloads::observe,
            ))
            .abort_handle()
        });
    }

    fn begin(&self, watched: Watched, spawn: impl FnOnce() -> AbortHandle) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).entry(watched).or_insert_with(spawn);
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        for (_, task) in self.tasks.lock().unwrap_or_else(PoisonError::into_inner).drain() {
            task.abort();
        }
    }
}

fn read<T: Clone>(index: &Shared<T>, service: &str) -> Vec<T> {
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

    /// The pod as it is now, past the cache; `None` when it is gone.
    pub async fn look_at(
        &self,
        pod: &PodObservation,
        deadline: Deadline,
    ) -> Result<Option<PodObservation>, ClusterError> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace);
        let found = call(deadline, || api.get_opt(&pod.name)).await?;
        Ok(found.and_then(|it| pods::observe(&it, Some(pod))).filter(|it| it.uid == pod.uid))
    }

    /// Whether the cache has seen all that decides about a service.
    pub fn is_synced(&self, objects: &[AppliedObject]) -> bool {
        objects.iter().filter(|it| it.is_workload).all(|object| {
            object.namespace.as_ref().is_none_or(|namespace| {
                self.watches.is_synced(&watched(object, namespace)) && self.watches.is_synced(&Watched::pods(namespace))
            })
        })
    }
}

fn watched(object: &AppliedObject, namespace: &str) -> Watched {
    Watched { api_version: object.api_version.clone(), kind: object.kind.clone(), namespace: namespace.to_owned() }
}
