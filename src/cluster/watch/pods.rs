//! A pod, trimmed to what the status rule asks.

use kube::ResourceExt;

use super::trimmed::{ContainerState, ContainerStatus, TrimmedPod};
use crate::domain::Clock;
use crate::domain::mark::{MAIN_CONTAINER_ANNOTATION, SERVICE_LABEL};
use crate::domain::status::{FATAL_WAITING_REASONS, MainContainer, PodObservation, PodPhase};

/// Controllers that make a new pod in place of a failed one.
const REPLACING_CONTROLLERS: [&str; 5] = ["ReplicaSet", "StatefulSet", "ReplicationController", "DaemonSet", "Job"];

/// The same for the watch, which is what tells when a start has come up.
pub fn observe_and_time(pod: &TrimmedPod, before: Option<&PodObservation>, clock: &Clock) -> Option<PodObservation> {
    let seen = observe(pod, before, clock)?;
    let ran = before.is_some_and(|it| it.main == MainContainer::Running);
    if let (MainContainer::Running, false, Some(service)) = (seen.main, ran, pod.labels().get(SERVICE_LABEL)) {
        crate::metrics::is_running(service);
    }
    Some(seen)
}

pub fn observe(pod: &TrimmedPod, before: Option<&PodObservation>, clock: &Clock) -> Option<PodObservation> {
    let now = clock.moment();
    let status = pod.status.as_ref();
    let phase = phase_of(pod);
    let containers = status.and_then(|it| it.container_statuses.as_deref()).unwrap_or_default();
    let init_containers = status.and_then(|it| it.init_container_statuses.as_deref()).unwrap_or_default();
    let main_name = pod.annotations().get(MAIN_CONTAINER_ANNOTATION)?;
    let main = containers.iter().find(|it| it.name == *main_name);
    let is_stuck = main.into_iter().chain(init_containers).any(waits_in_vain);
    let is_replaced = pod.owner_references().iter().any(|owner| REPLACING_CONTROLLERS.contains(&owner.kind.as_str()));
    Some(PodObservation {
        namespace: pod.namespace().unwrap_or_default(),
        name: pod.name_any(),
        uid: pod.uid().unwrap_or_default(),
        created: pod.creation_timestamp().map_or_else(|| clock.now(), |it| it.0),
        phase,
        main_name: main_name.clone(),
        main: main.and_then(|it| it.state.as_ref()).map_or(MainContainer::Unknown, main_state),
        is_ready: main.is_some_and(|it| it.ready),
        exit_code: main.and_then(exit_code),
        stuck_since: is_stuck.then(|| before.and_then(|it| it.stuck_since).unwrap_or(now)),
        terminal_since: phase.is_terminal().then(|| before.and_then(|it| it.terminal_since).unwrap_or(now)),
        is_replaced,
        is_deleting: pod.metadata.deletion_timestamp.is_some(),
    })
}

pub fn phase_of(pod: &TrimmedPod) -> PodPhase {
    match pod.status.as_ref().and_then(|it| it.phase.as_deref()) {
        Some("Running") => PodPhase::Running,
        Some("Succeeded") => PodPhase::Succeeded,
        Some("Failed") => PodPhase::Failed,
        Some("Unknown") => PodPhase::Unknown,
        _ => PodPhase::Pending,
    }
}

fn main_state(state: &ContainerState) -> MainContainer {
    if state.terminated.is_some() {
        MainContainer::Terminated
    } else if state.running.is_some() {
        MainContainer::Running
    } else if state.waiting.is_some() {
        MainContainer::Waiting
    } else {
        MainContainer::Unknown
    }
}

fn exit_code(main: &ContainerStatus) -> Option<i32> {
    let ended = |state: &Option<ContainerState>| Some(state.as_ref()?.terminated.as_ref()?.exit_code);
    ended(&main.state).or_else(|| ended(&main.last_state))
}

fn waits_in_vain(container: &ContainerStatus) -> bool {
    let waiting = container.state.as_ref().and_then(|it| it.waiting.as_ref());
    waiting.and_then(|it| it.reason.as_deref()).is_some_and(|reason| FATAL_WAITING_REASONS.contains(&reason))
}
