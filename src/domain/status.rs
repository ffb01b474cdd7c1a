//! The status rule: what the pods and workloads of a service mean for the hub.
//!
//! `running: false` ends a user's server for good, so it needs positive evidence; whatever may still heal counts as
//! running. One function from data to data; the clock is an argument.

use std::time::Duration;

use jiff::Timestamp;

use super::Moment;

/// The waiting reasons that do not heal by themselves. The kubelet alternates between some of them.
pub const FATAL_WAITING_REASONS: [&str; 8] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "CrashLoopBackOff",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodPhase {
    Pending,
    Running,
    Succeeded,
    Failed,
    Unknown,
}

impl PodPhase {
    pub fn is_terminal(self) -> bool {
        matches!(self, PodPhase::Succeeded | PodPhase::Failed | PodPhase::Unknown)
    }
}

/// The state of the main container as the kubelet tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MainContainer {
    /// No state yet, or the pod has no container of that name.
    Unknown,
    Waiting,
    Running,
    Terminated,
}

/// One pod that counts for the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodObservation {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub created: Timestamp,
    pub phase: PodPhase,
    /// The container that decides.
    pub main_name: String,
    pub main: MainContainer,
    /// Its main container is ready for its users, as far as its probes say.
    pub is_ready: bool,
    /// How the main container ended, or ended last before it was started again.
    pub exit_code: Option<i32>,
    /// Since when the main or an init container waits for one of `FATAL_WAITING_REASONS`, as far as we saw it.
    pub stuck_since: Option<Moment>,
    /// Since when the pod is terminal, as far as we saw it.
    pub terminal_since: Option<Moment>,
    /// A controller (ReplicaSet, StatefulSet) makes a new pod in its place; a Job's or bare pod is final.
    pub is_replaced: bool,
    pub is_deleting: bool,
}

impl PodObservation {
    /// Its main container runs: whatever the others do, the service does.
    pub fn serves(&self) -> bool {
        !self.is_deleting && !self.phase.is_terminal() && self.main == MainContainer::Running
    }
}

/// One workload that runs the main container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadObservation {
    /// How many pods it wants; `None` where the kind has no such number.
    pub desired: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Observation {
    pub pods: Vec<PodObservation>,
    pub workloads: Vec<WorkloadObservation>,
}

/// Why a service does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The pod's phase is Failed, Unknown or Succeeded, all told as Failed.
    PodFailed(PodObservation),
    MainTerminated(PodObservation),
    /// A container waits for something that does not come.
    CannotStart(PodObservation),
}

impl Failure {
    pub fn pod(&self) -> &PodObservation {
        match self {
            Failure::PodFailed(pod) | Failure::MainTerminated(pod) | Failure::CannotStart(pod) => pod,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Running,
    /// Not up yet, but nothing says that it will not be. The pod is the one to look at, where there is one.
    Waiting(Option<PodObservation>),
    Failed(Failure),
    /// There is no pod, and no workload that would make one. To be confirmed by a direct read before anybody is told.
    Gone,
}

/// Judges by the newest pod. An older one counts where it runs (it serves the user while a new one does not come up), and
/// where replacement after replacement failed.
pub fn judge(observation: &Observation, now: Moment, grace: Duration) -> Verdict {
    let newest = observation.pods.iter().filter(|pod| !pod.is_deleting).max_by_key(|pod| (pod.created, &pod.name));
    let Some(pod) = newest else { return without_pod(observation) };
    if observation.pods.iter().any(PodObservation::serves) {
        return Verdict::Running;
    }
    let past_grace = |since: Option<Moment>| since.is_some_and(|since| now.since(since) >= grace);
    let failed_before = observation.pods.iter().filter(|it| it.phase.is_terminal() && it.uid != pod.uid);

    if pod.phase.is_terminal() {
        // The controller is about to replace an evicted pod: one such pod alone is no evidence until nothing came.
        let may_heal = pod.is_replaced && pod.phase == PodPhase::Failed && failed_before.count() == 0;
        if may_heal && !past_grace(pod.terminal_since) {
            return Verdict::Waiting(Some(pod.clone()));
        }
        return Verdict::Failed(Failure::PodFailed(pod.clone()));
    }
    match pod.main {
        MainContainer::Terminated => Verdict::Failed(Failure::MainTerminated(pod.clone())),
        MainContainer::Running | MainContainer::Waiting | MainContainer::Unknown if past_grace(pod.stuck_since) => {
            Verdict::Failed(Failure::CannotStart(pod.clone()))
        }
        MainContainer::Running | MainContainer::Waiting | MainContainer::Unknown => {
            match failed_before.max_by_key(|it| (it.created, &it.name)) {
                // Two in a row: the next one will not do better.
                Some(last) if observation.pods.iter().filter(|it| it.phase.is_terminal()).count() > 1 => {
                    Verdict::Failed(Failure::PodFailed(last.clone()))
                }
                _ => Verdict::Waiting(Some(pod.clone())),
            }
        }
    }
}

fn without_pod(observation: &Observation) -> Verdict {
    let makes_pods = |it: &WorkloadObservation| it.desired.is_none_or(|desired| desired > 0);
    if observation.workloads.iter().any(makes_pods) || observation.pods.iter().any(|pod| pod.is_deleting) {
        Verdict::Waiting(None)
    } else {
        Verdict::Gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000 + second).unwrap()
    }

    fn moment(second: u64) -> Moment {
        Moment::after(Duration::from_secs(1_000 + second))
    }

    fn pod(name: &str, created: u32, phase: PodPhase, main: MainContainer) -> PodObservation {
        PodObservation {
            namespace: "n".into(),
            name: name.into(),
            uid: name.into(),
            created: at(created.into()),
            phase,
            main_name: "main".into(),
            main,
            is_ready: main == MainContainer::Running,
            exit_code: None,
            stuck_since: None,
            terminal_since: phase.is_terminal().then(|| moment(created.into())),
            is_replaced: true,
            is_deleting: false,
        }
    }

    fn verdict(pods: Vec<PodObservation>, desired: &[Option<i64>]) -> String {
        let workloads = desired.iter().map(|&desired| WorkloadObservation { desired }).collect();
        match judge(&Observation { pods, workloads }, moment(100), Duration::from_secs(30)) {
            Verdict::Running => "running".into(),
            Verdict::Waiting(_) => "waiting".into(),
            Verdict::Gone => "gone".into(),
            Verdict::Failed(Failure::PodFailed(pod)) => format!("failed {}", pod.name),
            Verdict::Failed(Failure::MainTerminated(pod)) => format!("terminated {}", pod.name),
            Verdict::Failed(Failure::CannotStart(pod)) => format!("cannot start {}", pod.name),
        }
    }

    #[test]
    fn the_rule_as_a_table() {
        use MainContainer::{Running, Terminated, Unknown, Waiting};
        use PodPhase::{Failed, Pending, Succeeded};
        let one = |name, created, phase, main| vec![pod(name, created, phase, main)];
        let running = PodPhase::Running;
        let bare = |phase| vec![PodObservation { is_replaced: false, ..pod("a", 99, phase, Terminated) }];
        let stuck = |since| vec![PodObservation { stuck_since: Some(moment(since)), ..pod("a", 1, Pending, Waiting) }];
        let deleting = |main| vec![PodObservation { is_deleting: true, ..pod("a", 1, running, main) }];
        let two = |first: PodObservation, second: PodObservation| vec![first, second];
        for (case, pods, desired, expected) in [
            ("main runs", one("a", 1, running, Running), &[Some(1)][..], "running"),
            ("not scheduled", one("a", 1, Pending, Unknown), &[Some(1)], "waiting"),
            ("pulling", one("a", 1, Pending, Waiting), &[Some(1)], "waiting"),
            ("main terminated", one("a", 1, running, Terminated), &[Some(1)], "terminated a"),
            ("bare pod failed", bare(Failed), &[Some(0)], "failed a"),
            ("bare pod done", bare(Succeeded), &[], "failed a"),
            ("done under a deployment", one("a", 99, Succeeded, Terminated), &[Some(1)], "failed a"),
            ("stuck for long", stuck(1), &[Some(1)], "cannot start a"),
            ("stuck just now", stuck(90), &[Some(1)], "waiting"),
            ("evicted just now", one("a", 99, Failed, Running), &[Some(1)], "waiting"),
            ("evicted, never replaced", one("a", 1, Failed, Running), &[Some(1)], "failed a"),
            (
                "evicted and replaced",
                two(pod("a", 1, Failed, Running), pod("b", 2, running, Running)),
                &[Some(1)],
                "running",
            ),
            (
                "replacement pulls",
                two(pod("a", 1, Failed, Running), pod("b", 2, Pending, Waiting)),
                &[Some(1)],
                "waiting",
            ),
            (
                "replacement failed too",
                two(pod("a", 98, Failed, Terminated), pod("b", 99, Failed, Terminated)),
                &[Some(1)],
                "failed b",
            ),
            (
                "two failed, a third waits",
                vec![
                    pod("a", 97, Failed, Terminated),
                    pod("b", 98, Failed, Terminated),
                    pod("c", 99, Pending, Waiting),
                ],
                &[Some(1)],
                "failed b",
            ),
            (
                "two replicas, by the newest",
                two(pod("a", 1, Pending, Waiting), pod("b", 2, running, Running)),
                &[Some(2)],
                "running",
            ),
            (
                "an update that cannot start, the old pod serves",
                vec![
                    pod("a", 1, running, Running),
                    PodObservation { stuck_since: Some(moment(1)), ..pod("b", 2, Pending, Waiting) },
                ],
                &[Some(1)],
                "running",
            ),
            ("no pod yet", vec![], &[Some(1)], "waiting"),
            ("no pod yet, custom kind", vec![], &[None], "waiting"),
            ("scaled to zero", vec![], &[Some(0)], "gone"),
            ("scaled to zero, pod still ends", deleting(Running), &[Some(0)], "waiting"),
            ("workload gone", vec![], &[], "gone"),
            ("pod deleted, to be replaced", deleting(Running), &[Some(1)], "waiting"),
        ] {
            assert_eq!(verdict(pods, desired), expected, "{case}");
        }
    }
}
