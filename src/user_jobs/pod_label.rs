//! The label by which the Services find the one of several pods that holds the forwards. The one that leads lays it over
//! its own pod and takes it off all others.

use std::time::Duration;

use serde_json::json;

use super::UserJobs;
use crate::cluster::{ClusterError, Deadline};
use crate::domain::record::AppliedObject;

/// Its value is the installation.
pub const LABEL: &str = "k8smgr.io/user-jobs";
const CALL_TIME: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_secs(60);
const TRY_AGAIN: Duration = Duration::from_secs(5);

impl UserJobs {
    /// Sees to it until it is dropped. Where nobody shares the database, the one pod needs no label of ours.
    pub(super) async fn hold_label(&self) {
        if !self.store.is_shared() || self.ssh.is_none() {
            return std::future::pending().await;
        }
        let mut told = None;
        loop {
            let problem = match self.take_label().await {
                Ok(true) => None,
                Ok(false) => Some(format!(
                    "there is no pod {} in {}; set POD_NAME from metadata.name",
                    self.site.pod_name.as_deref().unwrap_or("(POD_NAME is not set)"),
                    self.site.namespace
                )),
                Err(error) => Some(error.to_string()),
            };
            if let Some(problem) = problem.as_ref().filter(|_| told != problem) {
                tracing::warn!(problem, "the Services of user jobs do not lead to this pod: it cannot be labelled");
            }
            tokio::time::sleep(if problem.is_some() { TRY_AGAIN } else { LOOK_EVERY }).await;
            told = problem;
        }
    }

    /// False: there is no such pod.
    async fn take_label(&self) -> Result<bool, ClusterError> {
        let (deadline, namespace) = (Deadline::after(CALL_TIME), &self.site.namespace);
        let own = self.site.pod_name.as_deref().unwrap_or_default();
        let selector = format!("{LABEL}={}", self.site.installation);
        for pod in self.cluster.pods_labelled(namespace, &selector, deadline).await? {
            let name = pod.name.unwrap_or_default();
            if name != own {
                let other = self.pod(&name, pod.uid);
                self.cluster.change_metadata(&other, |_| Some(json!({"labels": {LABEL: null}})), deadline).await?;
            }
        }
        if own.is_empty() {
            return Ok(false);
        }
        let lay = |there: &kube::api::ObjectMeta| {
            let has = there.labels.as_ref().and_then(|it| it.get(LABEL)) == Some(&self.site.installation);
            (!has).then(|| json!({"labels": {LABEL: self.site.installation}}))
        };
        self.cluster.change_metadata(&self.pod(own, None), lay, deadline).await
    }

    fn pod(&self, name: &str, uid: Option<String>) -> AppliedObject {
        AppliedObject {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            namespace: Some(self.site.namespace.clone()),
            name: name.to_owned(),
            uid,
            is_workload: false,
            is_kept: false,
            address: None,
        }
    }
}
