//! Why a service does not run, in words for the user and with the last log lines or events for the admin.

use std::time::Duration;

use super::Services;
use super::judge::End;
use crate::cluster::Deadline;
use crate::domain::ServiceRecord;
use crate::domain::record::Details;
use crate::domain::status::{Failure, PodObservation};

const READING_TIME: Duration = Duration::from_secs(3);
const LOGS: &str = "<CONTAINER_LOGS>";
const EVENTS: &str = "<POD_EVENTS_MESSAGES>";
const NO_LOGS: &str = "No logs available";

impl Services {
    pub(super) async fn explain(&self, record: &ServiceRecord, end: &End) -> Details {
        let deadline = Deadline::after(READING_TIME);
        let (error, detailed_error) = match end {
            End::Failed(Failure::PodFailed(pod)) => {
                // The hub has always been told "Failed", also for a pod that succeeded.
                ("Service status is Failed", self.logs_html(pod, deadline).await)
            }
            End::Failed(Failure::MainTerminated(pod)) => {
                ("Service status is in state terminated", self.logs_html(pod, deadline).await)
            }
            End::Failed(Failure::CannotStart(pod)) => ("Service cannot start", self.events_html(pod, deadline).await),
            End::Deleted { kind, name } => {
                let text = format!("{kind} {name} was deleted in the cluster.");
                ("Service is gone", escape_html(&text))
            }
            End::ScaledToZero { kind, name } => {
                let text = format!("{kind} {name} was scaled to zero in the cluster.");
                ("Service is gone", escape_html(&text))
            }
        };
        tracing::debug!(id = %record.object_id, error, "explained why a service does not run");
        Details { error: error.to_owned(), detailed_error }
    }

    async fn logs_html(&self, pod: &PodObservation, deadline: Deadline) -> String {
        let template = &self.config.current().services.status_information.detailed_error_html_logs;
        self.fill_logs(template, pod, deadline).await
    }

    async fn events_html(&self, pod: &PodObservation, deadline: Deadline) -> String {
        let config = self.config.current();
        let information = &config.services.status_information;
        let events = self.cluster.pod_events(&pod.namespace, &pod.name, &pod.uid, deadline).await.unwrap_or_default();
        let last = &events[events.len().saturating_sub(information.pod_events_no)..];
        let messages: Vec<_> = last.iter().map(|event| escape_html(&event.message)).collect();
        let messages = messages.join(&information.pod_events_join);
        let filled = information.detailed_error_html_events.replace(EVENTS, &messages);
        self.fill_logs(&filled, pod, deadline).await
    }

    async fn fill_logs(&self, template: &str, pod: &PodObservation, deadline: Deadline) -> String {
        if !template.contains(LOGS) {
            return template.to_owned();
        }
        let config = self.config.current();
        let information = &config.services.status_information;
        let lines = information.container_logs_lines;
        let read = self.cluster.last_log_lines(&pod.namespace, &pod.name, &pod.main_name, lines, deadline).await;
        let lines = read.unwrap_or_else(|error| {
            tracing::debug!(pod = pod.name, %error, "no logs to explain with");
            Vec::new()
        });
        let escaped: Vec<_> = lines.iter().map(|line| escape_html(line)).collect();
        let logs = match escaped.is_empty() {
            true => NO_LOGS.to_owned(),
            false => escaped.join(&information.container_logs_join),
        };
        template.replace(LOGS, &logs)
    }
}

/// As Python's `html.escape`: the hub puts the text into a page as it is.
pub fn escape_html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#x27;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escape_html;

    #[test]
    fn what_a_container_wrote_cannot_become_markup() {
        assert_eq!(escape_html(r#"<b> & "a" 'b'"#), "&lt;b&gt; &amp; &quot;a&quot; &#x27;b&#x27;");
    }
}
