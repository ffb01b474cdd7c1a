//! Logs and events of a pod: read only to explain why a service does not run.

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::Api;
use kube::api::{ListParams, LogParams};

use super::calls::{Deadline, call};
use super::{Cluster, ClusterError};

/// A container may write a line of any length.
const LOG_BYTES: i64 = 64 * 1024;

/// An event as explanations need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodEvent {
    /// `Normal` or `Warning`.
    pub event_type: String,
    pub message: String,
}

impl Cluster {
    /// The last lines that a container wrote, at most 64 KiB of them.
    pub async fn last_log_lines(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        lines: usize,
        deadline: Deadline,
    ) -> Result<Vec<String>, ClusterError> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let parameters = LogParams {
            container: Some(container.to_owned()),
            tail_lines: i64::try_from(lines).ok(),
            limit_bytes: Some(LOG_BYTES),
            ..LogParams::default()
        };
        let text = call(deadline, || pods.logs(pod, &parameters)).await?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// A pod's events, oldest first.
    pub async fn pod_events(
        &self,
        namespace: &str,
        pod: &str,
        uid: &str,
        deadline: Deadline,
    ) -> Result<Vec<PodEvent>, ClusterError> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let selector = format!("involvedObject.name={pod},involvedObject.uid={uid}");
        let parameters = ListParams::default().fields(&selector);
        let mut found = call(deadline, || events.list(&parameters)).await?.items;
        found.sort_by_key(|event| {
            let series = event.series.as_ref().and_then(|it| it.last_observed_time.as_ref()).map(|it| it.0);
            let last = event.last_timestamp.as_ref().map(|it| it.0);
            let exact = event.event_time.as_ref().map(|it| it.0);
            let first = event.first_timestamp.as_ref().map(|it| it.0);
            let created = event.metadata.creation_timestamp.as_ref().map(|it| it.0);
            // Times count seconds; within one, the order in which they were stored decides.
            let revision = event.metadata.resource_version.as_ref().and_then(|it| it.parse::<u64>().ok());
            (series.or(last).or(exact).or(first).or(created), revision)
        });
        let explain = |event: Event| PodEvent {
            event_type: event.type_.unwrap_or_default(),
            message: event.message.unwrap_or_default(),
        };
        Ok(found.into_iter().map(explain).collect())
    }
}
