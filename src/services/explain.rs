//! Why a service does not run, in words for the user and with the last log lines or events for the admin.

use std::time::Duration;

use super::Services;
use super::judge::End;
use crate::cluster::Deadline;
use crate::config::StatusInformation;
use crate::domain::ServiceRecord;
use crate::domain::record::Details;
use crate::domain::status::{Failure, PodObservation};

const READING_TIME: Duration = Duration::from_secs(3);
const LOGS: &str = "<CONTAINER_LOGS>";
const EVENTS: &str = "<POD_EVENTS_MESSAGES>";
const NO_LOGS: &str = "No logs available";
/// Lines are kept in the database and in memory.
const LONGEST_LINE: usize = 1024;
const KEPT_LINES: usize = 20;

impl Services {
    pub(super) async fn explain(&self, record: &ServiceRecord, end: &End) -> Details {
        let deadline = Deadline::after(READING_TIME);
        let text = |text: String| escape_html(&text);
        let details = match end {
            // The hub has always been told "Failed", also for a pod that succeeded.
            End::Failed(Failure::PodFailed(pod)) => {
                self.explain_pod(record, "Service status is Failed", pod, false, deadline).await
            }
            End::Failed(Failure::MainTerminated(pod)) => {
                self.explain_pod(record, "Service status is in state terminated", pod, false, deadline).await
            }
            End::Failed(Failure::CannotStart(pod)) => {
                self.explain_pod(record, "Service cannot start", pod, true, deadline).await
            }
            End::Deleted { kind, name } => {
                Details::new("Service is gone", text(format!("{kind} {name} was deleted in the cluster.")))
            }
            End::ScaledToZero { kind, name } => {
                Details::new("Service is gone", text(format!("{kind} {name} was scaled to zero in the cluster.")))
            }
        };
        tracing::debug!(id = %record.object_id, error = details.error, "explained why a service does not run");
        details
    }

    async fn explain_pod(
        &self,
        record: &ServiceRecord,
        error: &str,
        pod: &PodObservation,
        tells_events: bool,
        deadline: Deadline,
    ) -> Details {
        let config = self.config.current();
        let information = &config.services.status_information;
        let template = match tells_events {
            true => self.fill_events(&information.detailed_error_html_events, pod, deadline).await,
            false => information.detailed_error_html_logs.clone(),
        };
        // Only these hubs ask for the lines later, when the container is gone.
        let is_asked_for = record.server_name.outpost_name().is_some();
        let lines = match is_asked_for || template.contains(LOGS) {
            true => self.read_log_lines(pod, deadline).await,
            false => Vec::new(),
        };
        let told = &lines[lines.len().saturating_sub(information.container_logs_lines)..];
        let detailed_error = fill_logs(&template, told, information);
        let log_lines = if is_asked_for { lines } else { Vec::new() };
        Details { exit_code: pod.exit_code, log_lines, ..Details::new(error, detailed_error) }
    }

    async fn fill_events(&self, template: &str, pod: &PodObservation, deadline: Deadline) -> String {
        let config = self.config.current();
        let information = &config.services.status_information;
        let events = self.cluster.pod_events(&pod.namespace, &pod.name, &pod.uid, deadline).await.unwrap_or_default();
        let last = &events[events.len().saturating_sub(information.pod_events_no)..];
        let messages: Vec<_> = last.iter().map(|event| escape_html(&event.message)).collect();
        template.replace(EVENTS, &messages.join(&information.pod_events_join))
    }

    /// The last lines of the main container's log; none where they cannot be had.
    pub(super) async fn read_log_lines(&self, pod: &PodObservation, deadline: Deadline) -> Vec<String> {
        let config = self.config.current();
        let wanted = config.services.status_information.container_logs_lines;
        let lines = wanted.max(KEPT_LINES);
        let read = self.cluster.last_log_lines(&pod.namespace, &pod.name, &pod.main_name, lines, deadline).await;
        let mut lines = read.unwrap_or_else(|error| {
            tracing::debug!(pod = pod.name, %error, "no logs to explain with");
            Vec::new()
        });
        lines.iter_mut().filter(|it| it.len() > LONGEST_LINE).for_each(cut);
        lines
    }
}

fn cut(line: &mut String) {
    let end = line.char_indices().map(|(at, _)| at).take_while(|at| *at <= LONGEST_LINE).last().unwrap_or_default();
    line.truncate(end);
}

fn fill_logs(template: &str, lines: &[String], information: &StatusInformation) -> String {
    let escaped: Vec<_> = lines.iter().map(|line| escape_html(line)).collect();
    let logs = match escaped.is_empty() {
        true => NO_LOGS.to_owned(),
        false => escaped.join(&information.container_logs_join),
    };
    template.replace(LOGS, &logs)
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
