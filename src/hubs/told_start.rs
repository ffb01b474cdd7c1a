//! One start that is told to its hub: its story, what waits to be sent, and how often that failed. Bounded; the caller brings
//! the time and sends.

use std::collections::VecDeque;
use std::time::Duration;

use http::StatusCode;
use serde_json::json;

use super::destination::Destination;
use super::steps::{failure_html, html, without_tags};
use super::story::Story;
use crate::config::ProgressMessages;
use crate::domain::Moment;
use crate::domain::news::StartUnderWay;
use crate::domain::pod_state::{MainState, PodState};
use crate::domain::record::Details;

/// At most five a second.
const BETWEEN_EVENTS: Duration = Duration::from_millis(200);
/// OutpostSpawner cancels the start at `failed`, shows nothing of that event, and looks for news once a second: what it is to show
/// comes before, by more than that.
const BEFORE_THE_CANCELLING: Duration = Duration::from_millis(1500);
/// A hub writes down that its start was taken before it takes news of it.
const AFTER_THE_ANSWER: Duration = Duration::from_millis(300);
/// Older news give way.
const MOST_WAITING: usize = 16;
/// Attempts with growing pauses: of a step, and of the end.
const ATTEMPTS: u32 = 4;
const LAST_ATTEMPTS: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// Afterwards a server that ends is the hub's to find by polling.
const QUIET: Duration = BEGINNING;
/// Hubs wait about as long for a server to answer, and poll it only then. Who crashes again and again within it has never
/// come up.
const BEGINNING: Duration = Duration::from_secs(120);
/// A start that takes longer is not told any more.
const LONGEST: Duration = Duration::from_secs(2 * 3600);
/// What Outpost's hubs are told first.
const REQUESTED: &str = "Server requested";
/// Between suspicions, as long as it looks over.
const SUSPICION: Duration = Duration::from_secs(2);

pub struct ToldStart {
    pub start: StartUnderWay,
    pub destination: Destination,
    pub story: Story,
    began: Moment,
    /// How long it was under way before `began`: another process saw that.
    head_start: Duration,
    /// When its hub was answered; nothing is told before. Outpost's hubs listen from the beginning on.
    answered: Option<Moment>,
    /// Its hub waits with its request until the server is up, and is told of a failure by the answer.
    is_awaited: bool,
    waiting: VecDeque<String>,
    progress: u8,
    is_sending: bool,
    not_before: Moment,
    failures: u32,
    has_ended: bool,
    /// When its main container was first seen to run.
    ran: Option<Moment>,
    ready: Option<Moment>,
    suspected: Option<Moment>,
}

/// What becomes of a start after an attempt to tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    GoOn,
    /// What waited was given up; what comes is told again.
    GaveUp,
    /// There is nothing more to tell.
    Over,
}

impl ToldStart {
    pub fn new(
        start: StartUnderWay,
        destination: Destination,
        began: Moment,
        head_start: Duration,
        is_awaited: bool,
    ) -> Self {
        let mut waiting = VecDeque::new();
        if start.is_of_outpost && head_start.is_zero() {
            waiting.push_back(event(true, 0, false, REQUESTED, REQUESTED));
        }
        Self {
            answered: start.is_of_outpost.then_some(began),
            is_awaited,
            start,
            destination,
            story: Story::default(),
            began,
            head_start,
            waiting,
            progress: 0,
            is_sending: false,
            not_before: began,
            failures: 0,
            has_ended: false,
            ran: None,
            ready: None,
            suspected: None,
        }
    }

    pub fn was_answered(&mut self, now: Moment) {
        if self.answered.is_none() {
            self.answered = Some(now);
            self.not_before = now.later(AFTER_THE_ANSWER);
        }
    }

    /// Its server is up, and nobody waits for an answer that would tell a failure.
    pub fn is_no_longer_awaited(&mut self) {
        self.is_awaited = false;
    }

    /// It ended, and its hub still waits for the answer, so that it can be told why: also when all of it is removed by then.
    pub fn has_last_words(&self) -> bool {
        self.has_ended && self.is_awaited && !self.waiting.is_empty()
    }

    /// Whether it may be forgotten.
    pub fn is_old(&self, now: Moment) -> bool {
        let is_quiet = self.ready.is_some_and(|ready| now.since(ready) >= QUIET);
        (is_quiet && self.waiting.is_empty()) || now.since(self.began) >= LONGEST
    }

    /// Whether anybody still waits for the server, so that steps are news.
    pub fn is_on_its_way(&self) -> bool {
        self.ready.is_none() && !self.has_ended
    }

    /// True, now and then, while it looks as though it were over.
    pub fn is_suspicious(&mut self, now: Moment) -> bool {
        let looks_over =
            self.answered.is_some() && !self.has_ended && self.story.pod().is_some_and(|it| it.looks_over());
        let is_due = self.suspected.is_none_or(|suspected| now.since(suspected) >= SUSPICION);
        if looks_over && is_due {
            self.suspected = Some(now);
        }
        looks_over && is_due
    }

    /// It crashes again and again from the beginning: a pod without a readiness probe is ready as soon as it runs.
    pub fn has_crashed(&self, now: Moment) -> bool {
        // Of one that is told from its middle on it is not known how long it ran.
        let is_new = self.head_start < BEGINNING
            && self.ran.or(self.ready).is_none_or(|began_to_run| now.since(began_to_run) < BEGINNING);
        is_new && self.story.pod().is_some_and(PodState::crashes)
    }

    /// It changed: what is suspected is looked at again at once.
    pub fn has_changed(&mut self) {
        self.suspected = None;
    }

    /// Puts what is settled of the story into words.
    pub fn tell(&mut self, now: Moment, messages: &ProgressMessages) {
        if self.ran.is_none() && self.story.pod().is_some_and(|it| it.main == MainState::Running) {
            self.ran = Some(now);
        }
        self.tell_story(now, false, messages);
        if self.story.is_ready() && self.ready.is_none() {
            self.ready = Some(now);
            self.story.rest();
        }
    }

    fn tell_story(&mut self, now: Moment, all: bool, messages: &ProgressMessages) {
        for line in self.story.take(now, all) {
            self.progress = self.progress.max(line.step.progress());
            if let Some(html) = html(line.step, &line.values, self.head_start + line.noted.since(self.began), messages)
            {
                let message = without_tags(&html);
                self.push(event(self.start.is_of_outpost, self.progress, false, &message, &html));
            }
        }
    }

    /// It is over, and why: told after what led there.
    pub fn end(&mut self, details: &Details, now: Moment, messages: &ProgressMessages) {
        if self.has_ended {
            return;
        }
        self.tell_story(now, true, messages);
        self.has_ended = true;
        let (summary, html) =
            failure_html(details, self.story.exit(), self.head_start + now.since(self.began), messages);
        let message = without_tags(&summary);
        if self.start.is_of_outpost {
            self.push(event(true, 99, false, &message, &html));
        }
        // It lets the hub cancel a start that it waits for, before it has read our answer with the reason.
        if !self.is_awaited {
            self.push(event(self.start.is_of_outpost, 100, true, &message, &html));
        }
        // The hub was answered, or the end would not be told; failures so far were of less.
        self.was_answered(now);
        self.failures = 0;
        self.not_before = self.not_before.min(now.later(AFTER_THE_ANSWER));
    }

    fn push(&mut self, event: String) {
        if self.waiting.len() >= MOST_WAITING {
            // The first may be on its way.
            self.waiting.remove(usize::from(self.is_sending));
        }
        self.waiting.push_back(event);
    }

    pub fn wants_to_send(&self, now: Moment) -> bool {
        !self.is_sending && self.answered.is_some() && now >= self.not_before && !self.waiting.is_empty()
    }

    /// What to send now. It stays until `was_sent`.
    pub fn next(&mut self) -> Option<String> {
        let event = self.waiting.front()?.clone();
        self.is_sending = true;
        Some(event)
    }

    /// `None`: no answer.
    pub fn was_sent(&mut self, answer: Option<StatusCode>, now: Moment) -> Next {
        self.is_sending = false;
        match answer {
            Some(status) if status.is_success() => {
                self.failures = 0;
                self.waiting.pop_front();
                let is_cancelled_next =
                    self.has_ended && self.start.is_of_outpost && !self.is_awaited && self.waiting.len() == 1;
                self.not_before = now.later(if is_cancelled_next { BEFORE_THE_CANCELLING } else { BETWEEN_EVENTS });
                if self.has_ended && self.waiting.is_empty() { Next::Over } else { Next::GoOn }
            }
            Some(status) if refuses(status) => Next::Over,
            _ => {
                self.failures += 1;
                let pause = FIRST_PAUSE * 2_u32.saturating_pow(self.failures - 1).min(64);
                self.not_before = now.later(pause.min(LONGEST_PAUSE));
                match self.failures >= if self.has_ended { LAST_ATTEMPTS } else { ATTEMPTS } {
                    false => Next::GoOn,
                    true if self.has_ended => Next::Over,
                    true => {
                        self.waiting.clear();
                        Next::GaveUp
                    }
                }
            }
        }
    }
}

/// What the hub says will not change for this start: its token is not taken, or there is no such server or no such page.
pub fn refuses(status: StatusCode) -> bool {
    let may_pass = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    (status.is_client_error() && !may_pass) || status.is_redirection()
}

/// As BackendSpawner's hubs take it; Outpost's keep a plain message beside.
fn event(is_of_outpost: bool, progress: u8, failed: bool, message: &str, html: &str) -> String {
    let mut event = json!({ "progress": progress, "failed": failed, "html_message": html });
    if is_of_outpost {
        event["message"] = json!(message);
    }
    event.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Hub;
    use crate::domain::news::HubAddress;
    use crate::domain::pod_state::{Exit, MainState, PodNews};
    use crate::domain::status::PodPhase;
    use crate::domain::{AppliedObject, Credential, ObjectId};
    use crate::hubs::destination::of_steps;

    fn at(milliseconds: u64) -> Moment {
        Moment::after(Duration::from_millis(milliseconds))
    }

    fn told_start() -> ToldStart {
        told_start_of(false, false)
    }

    fn told_start_of(is_of_outpost: bool, is_awaited: bool) -> ToldStart {
        let owner = AppliedObject {
            api_version: "v1".to_owned(),
            kind: "Secret".to_owned(),
            namespace: None,
            name: "o".to_owned(),
            uid: None,
            is_workload: false,
            is_kept: false,
            address: None,
        };
        let start = StartUnderWay {
            sequence: 1,
            credential: Credential::parse("hub").unwrap(),
            is_of_outpost,
            object_id: ObjectId::from_stored("lab-s1".to_owned()),
            start_date: jiff::Timestamp::UNIX_EPOCH,
            label: "s".to_owned(),
            owner,
            namespaces: vec!["labs".to_owned()],
        };
        let address = HubAddress::of_environment(is_of_outpost, |name| {
            Some(if name == "JUPYTERHUB_API_URL" { "http://hub/".to_owned() } else { "x".to_owned() })
        });
        let destination = of_steps(&Hub::default(), &address, false).unwrap().unwrap();
        ToldStart::new(start, destination, at(0), Duration::ZERO, is_awaited)
    }

    fn pod(main: MainState) -> PodState {
        PodState {
            service: "s".to_owned(),
            name: "p".to_owned(),
            uid: "p".to_owned(),
            main_name: "main".to_owned(),
            phase: PodPhase::Pending,
            failed_because: None,
            node: Some("n".to_owned()),
            main,
            ended_before: None,
            is_ready: false,
            is_deleting: false,
        }
    }

    fn sent(it: &mut ToldStart, now: Moment) -> Option<String> {
        it.wants_to_send(now).then(|| it.next()).flatten()
    }

    fn trouble(it: &mut ToldStart, number: u64) {
        let message = format!("volume {number}");
        let news = PodNews { pod_uid: "p".to_owned(), container: None, reason: "FailedMount".to_owned(), message };
        it.story.see_news(&news, at(number));
    }

    #[test]
    fn nothing_is_sent_before_the_hub_was_answered_and_little_at_a_time() {
        let messages = ProgressMessages::default();
        let mut it = told_start();
        it.story.see_pod(&pod(MainState::Running), at(0));
        it.tell(at(5000), &messages);
        assert_eq!(sent(&mut it, at(5000)), None);
        it.was_answered(at(6000));
        assert_eq!(sent(&mut it, at(6200)), None);
        assert!(sent(&mut it, at(6300)).unwrap().contains("Your server has a place on n (0 s)."));
        assert_eq!(sent(&mut it, at(6300)), None, "one at a time");
        assert_eq!(it.was_sent(Some(StatusCode::NO_CONTENT), at(6400)), Next::GoOn);
        assert_eq!(sent(&mut it, at(6500)), None, "at most five a second");
        assert!(sent(&mut it, at(6600)).unwrap().contains("\"progress\":80"));
        for number in 0..100 {
            trouble(&mut it, number);
        }
        it.tell(at(9000), &messages);
        assert!(it.waiting.len() <= MOST_WAITING);
    }

    #[test]
    fn a_hub_that_is_away_is_given_up_and_tried_longer_for_the_end() {
        let messages = ProgressMessages::default();
        let mut it = told_start();
        it.was_answered(at(0));
        it.story.see_pod(&pod(MainState::Unknown), at(0));
        it.tell(at(2000), &messages);
        let mut now = 2000;
        for attempt in 1..=ATTEMPTS {
            assert!(sent(&mut it, at(now)).is_some());
            let next = it.was_sent(None, at(now));
            assert_eq!(next, if attempt < ATTEMPTS { Next::GoOn } else { Next::GaveUp });
            now += 16_000;
        }
        assert_eq!(sent(&mut it, at(now)), None);

        let crashed = MainState::Terminated(Exit { code: 3, reason: "Error".to_owned() });
        it.story.see_pod(&pod(crashed), at(now));
        it.has_changed();
        assert!(it.is_suspicious(at(now)) && !it.is_suspicious(at(now + 1000)) && it.is_suspicious(at(now + 2000)));
        let details = Details::new("E", "D");
        it.end(&details, at(now), &messages);
        it.end(&details, at(now), &messages);
        assert!(!it.is_suspicious(at(now + 9000)));
        for attempt in 1..=LAST_ATTEMPTS {
            let event = sent(&mut it, at(now + 300)).unwrap();
            assert!(event.contains("\"failed\":true") && event.contains("E (exit code 3)"), "{event}");
            let next = it.was_sent(Some(StatusCode::BAD_GATEWAY), at(now + 300));
            assert_eq!(next, if attempt < LAST_ATTEMPTS { Next::GoOn } else { Next::Over });
            now += 16_000;
        }
    }

    #[test]
    fn an_outposts_hub_hears_from_the_beginning_on_and_of_a_failure_by_the_answer_that_it_waits_for() {
        let messages = ProgressMessages::default();
        for (is_awaited, is_answered) in [(true, false), (true, true), (false, false)] {
            let mut it = told_start_of(true, is_awaited);
            let event: serde_json::Value = serde_json::from_str(&sent(&mut it, at(0)).unwrap()).unwrap();
            let first = json!({"progress": 0, "failed": false, "message": "Server requested",
                "html_message": "Server requested"});
            assert_eq!(event, first);
            assert_eq!(it.was_sent(Some(StatusCode::NO_CONTENT), at(0)), Next::GoOn);
            if is_answered {
                it.is_no_longer_awaited();
            }
            let details = Details::new("E &lt;b&gt;", "<p>D</p>");
            it.end(&details, at(1000), &messages);
            assert_eq!(it.has_last_words(), is_awaited && !is_answered);
            let event: serde_json::Value = serde_json::from_str(&sent(&mut it, at(2000)).unwrap()).unwrap();
            assert_eq!((&event["progress"], &event["failed"]), (&json!(99), &json!(false)));
            assert_eq!(event["message"], "Your server could not be started (1 s): E &lt;b&gt;");
            assert!(event["html_message"].as_str().unwrap().ends_with("</summary><p>D</p></details>"), "{event}");
            let next = it.was_sent(Some(StatusCode::NO_CONTENT), at(2000));
            if is_awaited && !is_answered {
                assert_eq!(next, Next::Over);
                continue;
            }
            assert_eq!(next, Next::GoOn);
            assert_eq!(sent(&mut it, at(3400)), None, "the page has to look for the reason first");
            let event: serde_json::Value = serde_json::from_str(&sent(&mut it, at(3500)).unwrap()).unwrap();
            assert_eq!((&event["progress"], &event["failed"]), (&json!(100), &json!(true)));
            assert_eq!(it.was_sent(Some(StatusCode::NO_CONTENT), at(3500)), Next::Over);
        }
    }

    #[test]
    fn what_a_hub_says_of_this_start_ends_the_telling() {
        for (status, next) in [
            (401, Next::Over),
            (403, Next::Over),
            (404, Next::Over),
            (410, Next::Over),
            (302, Next::Over),
            (429, Next::GoOn),
            (500, Next::GoOn),
        ] {
            let mut it = told_start();
            it.was_answered(at(0));
            assert_eq!(it.was_sent(StatusCode::from_u16(status).ok(), at(0)), next, "{status}");
        }
    }
}
