//! Section `services.status_information`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is told about a service that does not run. The templates are HTML, which the hub shows as it is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct StatusInformation {
    /// How many of the pod's newest events are told and looked at. Reload.
    pub pod_events_no: usize,
    /// What stands between two events. Reload.
    pub pod_events_join: String,
    /// How many of the last lines of the main container's log are told. Reload.
    pub container_logs_lines: usize,
    /// What stands between two lines. Reload.
    pub container_logs_join: String,
    /// Template of the logs; `<CONTAINER_LOGS>` is replaced. Reload.
    pub detailed_error_html_logs: String,
    /// Template of the events; `<POD_EVENTS_MESSAGES>` is replaced, and `<CONTAINER_LOGS>` where the logs are to follow.
    /// Reload.
    pub detailed_error_html_events: String,
    /// How long, in seconds, a container may wait for something that does not heal (an image that cannot be pulled, a
    /// crash loop) before the start counts as failed. Reload.
    pub fatal_grace_seconds: u64,
}

impl Default for StatusInformation {
    fn default() -> Self {
        let details = |title: &str, content: &str| {
            format!("<details><summary>&nbsp&nbsp&nbsp&nbsp{title}</summary>{content}</details>")
        };
        Self {
            pod_events_no: 3,
            pod_events_join: "<br>".to_owned(),
            container_logs_lines: 5,
            container_logs_join: "<br>".to_owned(),
            detailed_error_html_logs: details("Container Logs", "<CONTAINER_LOGS>"),
            detailed_error_html_events: details("Kubernetes events", "<POD_EVENTS_MESSAGES>")
                + &details("Container Logs", "<CONTAINER_LOGS>"),
            fatal_grace_seconds: 30,
        }
    }
}
