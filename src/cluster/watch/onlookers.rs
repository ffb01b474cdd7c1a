//! Who wants to hear of every change of a service's pods while its server comes up. The watch passes each pod by here before
//! most of it goes; nothing is kept, and while nobody looks on this costs one comparison.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{OnceLock, PoisonError, RwLock};

use kube::ResourceExt;
use tokio::sync::mpsc;

use super::pods::phase_of;
use super::trimmed::{ContainerState, Terminated, TrimmedPod};
use crate::domain::mark::{MAIN_CONTAINER_ANNOTATION, SERVICE_LABEL};
use crate::domain::pod_state::{Exit, MainState, PodState};

#[derive(Default)]
pub struct Onlookers {
    count: AtomicUsize,
    services: RwLock<HashSet<String>>,
    listener: OnceLock<mpsc::Sender<PodState>>,
}

impl Onlookers {
    /// Where the pods of the services go that are looked at. A listener that falls behind misses some.
    pub fn listen(&self, listener: mpsc::Sender<PodState>) {
        let _ = self.listener.set(listener);
    }

    pub fn look_at(&self, service: &str) {
        let mut services = self.services.write().unwrap_or_else(PoisonError::into_inner);
        services.insert(service.to_owned());
        self.count.store(services.len(), Ordering::Release);
    }

    pub fn look_away(&self, service: &str) {
        let mut services = self.services.write().unwrap_or_else(PoisonError::into_inner);
        services.remove(service);
        self.count.store(services.len(), Ordering::Release);
    }

    pub(super) fn note(&self, pod: &TrimmedPod) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let Some(listener) = self.listener.get() else { return };
        let Some(service) = pod.labels().get(SERVICE_LABEL) else { return };
        if self.services.read().unwrap_or_else(PoisonError::into_inner).contains(service)
            && let Some(state) = state_of(pod)
        {
            let _ = listener.try_send(state);
        }
    }
}

/// `None` for a pod that does not decide about its service.
pub fn state_of(pod: &TrimmedPod) -> Option<PodState> {
    let main_name = pod.annotations().get(MAIN_CONTAINER_ANNOTATION)?;
    let status = pod.status.as_ref();
    let containers = status.and_then(|it| it.container_statuses.as_deref()).unwrap_or_default();
    let main = containers.iter().find(|it| it.name == *main_name);
    let condition = |kind: &str| {
        let conditions = status.and_then(|it| it.conditions.as_deref()).unwrap_or_default();
        conditions.iter().any(|it| it.kind == kind && it.status == "True")
    };
    let reason = status.and_then(|it| it.reason.clone()).filter(|it| !it.is_empty());
    Some(PodState {
        service: pod.labels().get(SERVICE_LABEL)?.clone(),
        name: pod.name_any(),
        uid: pod.uid().unwrap_or_default(),
        main_name: main_name.clone(),
        phase: phase_of(pod),
        failed_because: reason.map(|it| (it, status.and_then(|it| it.message.clone()).unwrap_or_default())),
        node: pod.spec.as_ref().and_then(|it| it.node_name.clone()).filter(|it| !it.is_empty()),
        main: main.and_then(|it| it.state.as_ref()).map_or(MainState::Unknown, main_state),
        ended_before: main.and_then(|it| it.last_state.as_ref()?.terminated.as_ref()).map(exit),
        is_ready: condition("Ready"),
        is_deleting: pod.metadata.deletion_timestamp.is_some(),
    })
}

fn main_state(state: &ContainerState) -> MainState {
    match state {
        ContainerState { terminated: Some(ended), .. } => MainState::Terminated(exit(ended)),
        ContainerState { running: Some(_), .. } => MainState::Running,
        ContainerState { waiting: Some(waiting), .. } => {
            MainState::Waiting { reason: waiting.reason.clone().unwrap_or_default() }
        }
        _ => MainState::Unknown,
    }
}

fn exit(ended: &Terminated) -> Exit {
    Exit { code: ended.exit_code, reason: ended.reason.clone().unwrap_or_default() }
}
