//! A pod as somebody wants to know it who waits for its server: more than the status rule asks, and kept by nobody.

use super::status::{FATAL_WAITING_REASONS, PodPhase};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodState {
    /// What the watch files it under.
    pub service: String,
    pub name: String,
    pub uid: String,
    /// The container that decides.
    pub main_name: String,
    pub phase: PodPhase,
    /// Why the pod as a whole failed: `Evicted`, `DeadlineExceeded` and the like, with a message.
    pub failed_because: Option<(String, String)>,
    /// The node, once there is one.
    pub node: Option<String>,
    pub main: MainState,
    /// How the main container ended before, if it did.
    pub ended_before: Option<Exit>,
    pub is_ready: bool,
    pub is_deleting: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MainState {
    Unknown,
    Waiting { reason: String },
    Running,
    Terminated(Exit),
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    pub code: i32,
    /// `Error`, `OOMKilled`, `StartError` and the like.
    pub reason: String,
}

impl PodState {
    /// It may be that the server is over, or that it cannot start: the status rule decides.
    pub fn looks_over(&self) -> bool {
        match &self.main {
            _ if self.phase.is_terminal() => true,
            MainState::Terminated(_) => true,
            MainState::Waiting { reason } => FATAL_WAITING_REASONS.contains(&reason.as_str()),
            MainState::Unknown | MainState::Running => false,
        }
    }

    /// Its main container has crashed again and again: the node pauses before it starts it once more.
    pub fn crashes(&self) -> bool {
        let pauses = matches!(&self.main, MainState::Waiting { reason } if reason == "CrashLoopBackOff");
        pauses && self.ended_before.is_some()
    }

    /// How its main container ended last.
    pub fn exit(&self) -> Option<&Exit> {
        match &self.main {
            MainState::Terminated(exit) => Some(exit),
            _ => self.ended_before.as_ref(),
        }
    }
}

/// An event about a pod, as Kubernetes tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodNews {
    pub pod_uid: String,
    /// The container, where it is about one, and whether it is one that runs before the others.
    pub container: Option<(String, bool)>,
    pub reason: String,
    pub message: String,
}
