//! The steps of a start: their order, how far along they are, and how each is put into words.

use std::time::Duration;

use crate::config::{Message, ProgressMessages};
use crate::domain::pod_state::Exit;
use crate::domain::record::Details;

/// A message of Kubernetes may be of any length.
const LONGEST_VALUE: usize = 300;
/// The hub keeps what it is sent.
const LONGEST_EXPLANATION: usize = 64 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    Unschedulable,
    Scheduled,
    Volume,
    Preparing,
    Pulling,
    PullFailed,
    Pulled,
    Created,
    Trouble,
    Started,
    Restarted,
    Evicted,
    Ready,
}

impl Step {
    /// A step of the way, told once a pod; the others may come at any time and more than once.
    pub fn is_of_the_way(self) -> bool {
        matches!(self, Step::Scheduled | Step::Pulling | Step::Pulled | Step::Created | Step::Started | Step::Ready)
    }

    /// In percent. What the hub shows itself is before 35 and after 90.
    pub fn progress(self) -> u8 {
        match self {
            Step::Scheduled => 40,
            Step::Preparing => 45,
            Step::Pulling => 50,
            Step::Pulled => 60,
            Step::Created => 70,
            Step::Started => 80,
            Step::Ready => 90,
            _ => 35,
        }
    }

    fn message(self, messages: &ProgressMessages) -> &Message {
        match self {
            Step::Unschedulable => &messages.unschedulable,
            Step::Scheduled => &messages.scheduled,
            Step::Volume => &messages.volume,
            Step::Preparing => &messages.preparing,
            Step::Pulling => &messages.pulling,
            Step::PullFailed => &messages.pull_failed,
            Step::Pulled => &messages.pulled,
            Step::Created => &messages.created,
            Step::Trouble => &messages.trouble,
            Step::Started => &messages.started,
            Step::Restarted => &messages.restarted,
            Step::Evicted => &messages.evicted,
            Step::Ready => &messages.ready,
        }
    }
}

/// What fills the placeholders of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    pub node: String,
    pub image: String,
    pub container: String,
    pub message: String,
    pub exit: Option<Exit>,
}

/// As HTML; `None` where an admin leaves the step out.
pub fn html(step: Step, values: &Values, since_start: Duration, messages: &ProgressMessages) -> Option<String> {
    let template = step.message(messages).as_str();
    (!template.is_empty()).then(|| fill(template, values, "", since_start))
}

/// Why a start is over: the reason, and the same with the explanation of a poll folded beneath. Its texts are HTML already.
pub fn failure_html(
    details: &Details,
    exit: Option<&Exit>,
    since_start: Duration,
    messages: &ProgressMessages,
) -> (String, String) {
    let values = Values { exit: exit.cloned(), ..Values::default() };
    let template = match messages.failed.as_str() {
        "" => "{error}",
        template => template,
    };
    let summary = fill(template, &values, &details.error, since_start);
    let explanation = match details.detailed_error.len() {
        0..=LONGEST_EXPLANATION => details.detailed_error.as_str(),
        _ => "The explanation is too long to be shown here.",
    };
    let html = format!("<details><summary>{summary}</summary>{explanation}</details>");
    (summary, html)
}

/// For whoever shows no HTML. What was escaped stays so: some show a plain message as HTML all the same.
pub fn without_tags(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    let mut rest = html;
    while let Some((before, after)) = rest.split_once('<') {
        text.push_str(before);
        rest = after.split_once('>').map_or("", |(_, behind)| behind);
    }
    text + rest
}

/// What is filled in is not looked at again.
fn fill(template: &str, values: &Values, error: &str, since_start: Duration) -> String {
    let mut filled = String::with_capacity(template.len() + 64);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let value =
            after.split_once('}').and_then(|(name, behind)| Some((value(name, values, error, since_start)?, behind)));
        match value {
            Some((value, behind)) => {
                filled.push_str(&value);
                rest = behind;
            }
            None => {
                filled.push('{');
                rest = after;
            }
        }
    }
    filled + rest
}

fn value(name: &str, values: &Values, error: &str, since_start: Duration) -> Option<String> {
    Some(match name {
        "time" => time(since_start),
        "node" => escaped(&values.node),
        "image" => escaped(&values.image),
        "container" => escaped(&values.container),
        "message" => escaped(&values.message),
        "exit" => values.exit.as_ref().map(exit).unwrap_or_default(),
        "error" => error.to_owned(),
        _ => return None,
    })
}

fn exit(exit: &Exit) -> String {
    match exit.reason.as_str() {
        "OOMKilled" => " (out of memory)".to_owned(),
        _ => format!(" (exit code {})", exit.code),
    }
}

/// `12 s`, `2 min 5 s`.
fn time(since_start: Duration) -> String {
    match (since_start.as_secs() / 60, since_start.as_secs() % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

/// The hub puts it into a page as it is.
fn escaped(text: &str) -> String {
    let is_long = text.chars().count() > LONGEST_VALUE;
    let mut escaped = String::new();
    for c in text.chars().take(LONGEST_VALUE) {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#x27;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    if is_long { escaped + " …" } else { escaped }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_cluster_says_cannot_become_markup_or_a_placeholder() {
        let values = Values { image: "<img onerror='x'>&{time}\n".to_owned(), ..Values::default() };
        let told = html(Step::Pulling, &values, Duration::from_secs(125), &ProgressMessages::default());
        assert_eq!(told.unwrap(), "Fetching the software &lt;img onerror=&#x27;x&#x27;&gt;&amp;{time}  (2 min 5 s).");
        let long = Values { message: "ü<".repeat(10_000), ..Values::default() };
        let told = html(Step::Trouble, &long, Duration::ZERO, &ProgressMessages::default()).unwrap();
        assert!(told.len() < 2_000 && told.ends_with(" …"), "{told}");
    }

    #[test]
    fn a_plain_message_has_no_tags_and_what_was_escaped_stays_so() {
        assert_eq!(without_tags("<b>No</b> room &lt;img&gt;<br/>"), "No room &lt;img&gt;");
        assert_eq!(without_tags("a <b"), "a ");
    }

    #[test]
    fn an_admin_s_message_is_html_and_an_empty_one_is_left_out() {
        let text = r#"{"pulled": "", "created": "<b>{ {time}</b>", "failed": "X{exit}"}"#;
        let messages: ProgressMessages = serde_json::from_str(text).unwrap();
        let values = Values::default();
        assert_eq!(html(Step::Pulled, &values, Duration::ZERO, &messages), None);
        assert_eq!(html(Step::Created, &values, Duration::ZERO, &messages).unwrap(), "<b>{ 0 s</b>");
        let details = Details::new("E", "<p>logs</p>");
        let exit = Exit { code: 137, reason: "OOMKilled".to_owned() };
        assert_eq!(
            failure_html(&details, Some(&exit), Duration::ZERO, &messages).1,
            "<details><summary>X (out of memory)</summary><p>logs</p></details>"
        );
        assert_eq!(
            failure_html(
                &details,
                Some(&Exit { code: 3, reason: "Error".to_owned() }),
                Duration::from_secs(4),
                &ProgressMessages::default()
            )
            .1,
            "<details><summary>Your server could not be started (4 s): E (exit code 3)</summary><p>logs</p></details>"
        );
    }
}
