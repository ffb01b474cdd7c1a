//! The story of one start, from what the watches on pods and on events tell: each step once, in order. Pure; the caller brings
//! the time.
//!
//! Two watches tell of the same things and neither waits for the other. So what came is held for a moment, and told in the
//! order of the way; what comes after a later step was told is not news any more.

use std::time::Duration;

use super::steps::{Step, Values};
use crate::domain::Moment;
use crate::domain::pod_state::{Exit, MainState, PodNews, PodState};

/// Events of a pod come in order, but for those of other components.
const HOLD: Duration = Duration::from_millis(300);
/// A pod's state may be seen before the events that led to it.
const HOLD_OF_STATES: Duration = Duration::from_millis(1000);
/// What was said of one start is remembered, so that it is not said again; after so much nothing but the way is told.
const MOST_NOTES: usize = 24;

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub step: Step,
    pub values: Values,
    pub noted: Moment,
    is_event: bool,
    /// Of which pod in turn.
    turn: usize,
}

#[derive(Default)]
pub struct Story {
    /// The pod that it is about, as it was last seen.
    pod: Option<PodState>,
    /// Pods that had to make room.
    earlier: Vec<String>,
    reached: Option<Step>,
    notes: Vec<(Step, Values)>,
    waiting: Vec<Line>,
}

impl Story {
    pub fn pod(&self) -> Option<&PodState> {
        self.pod.as_ref()
    }

    pub fn is_ready(&self) -> bool {
        self.reached == Some(Step::Ready)
    }

    /// The steps are told: what is left to hear of is its end.
    pub fn rest(&mut self) {
        self.notes = Vec::new();
        self.waiting = Vec::new();
    }

    /// The pod has changed.
    pub fn see_pod(&mut self, pod: &PodState, now: Moment) {
        if self.earlier.contains(&pod.uid) {
            return;
        }
        if let Some(before) = &self.pod
            && before.uid != pod.uid
        {
            if pod.is_deleting || self.earlier.len() >= MOST_NOTES {
                return;
            }
            // Another one takes its place, and goes the same way.
            self.earlier.push(before.uid.clone());
            self.reached = None;
        }
        if let Some(node) = &pod.node {
            self.note(Step::Scheduled, Values { node: node.clone(), ..Values::default() }, now, false);
        }
        if let (Some(exit), MainState::Running | MainState::Waiting { .. }) = (&pod.ended_before, &pod.main) {
            self.note(Step::Restarted, Values { exit: Some(exit.clone()), ..Values::default() }, now, false);
        }
        if pod.main == MainState::Running {
            self.note(Step::Started, Values::default(), now, false);
            if pod.is_ready {
                self.note(Step::Ready, Values::default(), now, false);
            }
        }
        if let Some((_, message)) = pod.failed_because.as_ref().filter(|(reason, _)| reason == "Evicted") {
            self.note(Step::Evicted, Values { message: message.clone(), ..Values::default() }, now, false);
        }
        self.pod = Some(pod.clone());
    }

    /// Kubernetes says something about the pod.
    pub fn see_news(&mut self, news: &PodNews, now: Moment) {
        let container = news.container.as_ref().map(|(name, _)| name.clone()).unwrap_or_default();
        let is_first = news.container.as_ref().is_some_and(|(_, is_first)| *is_first);
        let main = self.pod.as_ref().map(|it| it.main_name.as_str()).unwrap_or_default();
        let is_main = !is_first && (container.is_empty() || container == main);
        let message = news.message.clone();
        let with_message = Values { message: message.clone(), container: container.clone(), ..Values::default() };
        let (step, values) = match news.reason.as_str() {
            "FailedScheduling" => (Step::Unschedulable, with_message),
            "Scheduled" => {
                let node = message.rsplit(' ').next().unwrap_or_default().to_owned();
                (Step::Scheduled, Values { node, ..Values::default() })
            }
            "FailedMount" | "FailedAttachVolume" => (Step::Volume, with_message),
            "Pulling" if is_main => (Step::Pulling, Values { image: quoted(&message), container, ..Values::default() }),
            "Pulled" if is_main => (Step::Pulled, Values { image: quoted(&message), container, ..Values::default() }),
            "Created" if is_main => (Step::Created, Values { container, ..Values::default() }),
            "Started" if is_main => (Step::Started, Values { container, ..Values::default() }),
            "Started" if is_first => (Step::Preparing, Values { container, ..Values::default() }),
            // What only names the state comes beside what says why.
            "Failed" if message.starts_with("Error: ErrImage") || message.starts_with("Error: ImagePull") => return,
            "Failed" if message.contains("pull image") => (Step::PullFailed, with_message),
            "ErrImageNeverPull" | "InspectFailed" => (Step::PullFailed, with_message),
            "Failed" | "FailedCreatePodSandBox" | "FailedPostStartHook" => (Step::Trouble, with_message),
            "Evicted" | "Preempted" | "TaintManagerEviction" => (Step::Evicted, with_message),
            _ => return,
        };
        self.note(step, values, now, true);
    }

    fn note(&mut self, step: Step, values: Values, now: Moment, is_event: bool) {
        let turn = self.earlier.len();
        if step.is_of_the_way() {
            if self.reached.is_some_and(|reached| reached >= step) {
                return;
            }
            match self.waiting.iter_mut().find(|it| it.place() == (turn, step)) {
                // The other watch told it first.
                Some(waiting) => waiting.is_event |= is_event,
                None => self.waiting.push(Line { step, values, noted: now, is_event, turn }),
            }
        } else if self.notes.len() < MOST_NOTES && !self.notes.iter().any(|it| (it.0, &it.1) == (step, &values)) {
            self.notes.push((step, values.clone()));
            self.waiting.push(Line { step, values, noted: now, is_event, turn });
        }
    }

    /// What may be told by now, in order. `all`: the start is over, and nothing is waited for.
    pub fn take(&mut self, now: Moment, all: bool) -> Vec<Line> {
        let is_settled = |it: &&Line| all || now >= it.settles();
        let Some(furthest) = self.waiting.iter().filter(is_settled).map(Line::place).max() else { return Vec::new() };
        let (mut told, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|it| it.place() <= furthest);
        self.waiting = left;
        told.sort_by_key(Line::place);
        let turn = self.earlier.len();
        let of_this_pod = told.iter().filter(|it| it.turn == turn && it.step.is_of_the_way());
        self.reached = self.reached.max(of_this_pod.map(|it| it.step).max());
        told
    }

    /// How the main container ended, as far as anybody saw.
    pub fn exit(&self) -> Option<&Exit> {
        self.pod.as_ref().and_then(PodState::exit)
    }
}

impl Line {
    fn place(&self) -> (usize, Step) {
        (self.turn, self.step)
    }

    fn settles(&self) -> Moment {
        self.noted.later(if self.is_event { HOLD } else { HOLD_OF_STATES })
    }
}

/// What stands in quotes: `Pulling image "x"`.
fn quoted(message: &str) -> String {
    message.split('"').nth(1).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::status::PodPhase;

    fn at(milliseconds: u64) -> Moment {
        Moment::after(Duration::from_millis(milliseconds))
    }

    fn pod(uid: &str, main: MainState) -> PodState {
        PodState {
            service: "s".to_owned(),
            name: uid.to_owned(),
            uid: uid.to_owned(),
            main_name: "main".to_owned(),
            phase: PodPhase::Pending,
            failed_because: None,
            node: None,
            main,
            ended_before: None,
            is_ready: false,
            is_deleting: false,
        }
    }

    fn news(container: &str, reason: &str, message: &str) -> PodNews {
        let container = match container {
            "" => None,
            it => Some((it.to_owned(), it.starts_with("init"))),
        };
        PodNews { pod_uid: "a".to_owned(), container, reason: reason.to_owned(), message: message.to_owned() }
    }

    fn steps(lines: Vec<Line>) -> Vec<Step> {
        lines.into_iter().map(|it| it.step).collect()
    }

    #[test]
    fn the_way_is_told_in_order_whichever_watch_is_first() {
        let mut story = Story::default();
        story.see_pod(&pod("a", MainState::Unknown), at(0));
        // The state first, and the events after it.
        let mut running = pod("a", MainState::Running);
        (running.node, running.is_ready) = (Some("node1".to_owned()), true);
        story.see_pod(&running, at(10));
        for (container, reason, message) in [
            ("", "Scheduled", "Successfully assigned labs/pod to node1"),
            ("init", "Started", "Started container init"),
            ("main", "Pulling", "Pulling image \"x/run:1\""),
            ("side", "Started", "Started container side"),
            ("main", "Pulled", "Successfully pulled image \"x/run:1\" in 2s"),
            ("main", "Created", "Created container main"),
            ("main", "Started", "Started container main"),
        ] {
            story.see_news(&news(container, reason, message), at(100));
        }
        assert_eq!(steps(story.take(at(300), false)), []);
        let told = story.take(at(400), false);
        assert_eq!(told[2].values.image, "x/run:1");
        let way = [Step::Scheduled, Step::Preparing, Step::Pulling, Step::Pulled, Step::Created, Step::Started];
        assert_eq!(steps(told), way);
        assert_eq!(steps(story.take(at(900), false)), []);
        assert_eq!(steps(story.take(at(1010), false)), [Step::Ready]);
        assert!(story.is_ready());
        // Told once, and nothing that lies behind.
        story.see_news(&news("main", "Pulled", ""), at(2000));
        story.see_pod(&running, at(2000));
        assert_eq!(steps(story.take(at(9000), true)), []);
    }

    #[test]
    fn what_goes_wrong_is_told_once_with_its_message() {
        let mut story = Story::default();
        story.see_pod(&pod("a", MainState::Waiting { reason: "ContainerCreating".to_owned() }), at(0));
        for moment in [0, 400, 800] {
            story.see_news(&news("", "FailedScheduling", "0/3 nodes are available"), at(moment));
            story.see_news(&news("main", "Failed", "Failed to pull image \"x\": <b>not found</b>"), at(moment));
            story.see_news(&news("main", "Failed", "Error: ErrImagePull"), at(moment));
            story.see_news(&news("main", "BackOff", "Back-off pulling image"), at(moment));
        }
        let told = story.take(at(2000), false);
        assert_eq!(told[1].values.message, "Failed to pull image \"x\": <b>not found</b>");
        assert_eq!(steps(told), [Step::Unschedulable, Step::PullFailed]);
        for number in 0..100 {
            story.see_news(&news("", "FailedMount", &format!("volume {number}")), at(3000));
        }
        assert_eq!(story.take(at(9000), false).len(), MOST_NOTES - 2, "bounded");
    }

    #[test]
    fn a_pod_in_place_of_another_goes_the_way_again() {
        let mut story = Story::default();
        let mut first = pod("a", MainState::Running);
        first.node = Some("node1".to_owned());
        story.see_pod(&first, at(0));
        assert_eq!(steps(story.take(at(1000), false)), [Step::Scheduled, Step::Started]);
        first.failed_because = Some(("Evicted".to_owned(), "The node was low on memory".to_owned()));
        story.see_pod(&first, at(2000));
        let mut second = pod("b", MainState::Unknown);
        second.node = Some("node2".to_owned());
        story.see_pod(&second, at(2500));
        // What the first one still does is no news.
        story.see_pod(&first, at(2600));
        assert_eq!(steps(story.take(at(9000), false)), [Step::Evicted, Step::Scheduled]);
        assert_eq!(story.pod().unwrap().uid, "b");
    }

    #[test]
    fn a_restart_says_how_it_ended() {
        let mut story = Story::default();
        let mut crashed = pod("a", MainState::Waiting { reason: "CrashLoopBackOff".to_owned() });
        crashed.ended_before = Some(Exit { code: 3, reason: "Error".to_owned() });
        assert!(crashed.looks_over());
        story.see_pod(&crashed, at(0));
        let told = story.take(at(0), true);
        assert_eq!((told[0].step, told[0].values.exit.clone()), (Step::Restarted, crashed.ended_before.clone()));
        assert_eq!(story.exit(), crashed.ended_before.as_ref());
    }
}
