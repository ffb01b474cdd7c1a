//! The Kubernetes Service of a job: made before ssh is asked for anything, so that a name that is taken starts nothing, and
//! deleted by uid.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{MakeError, UserJobs};
use crate::cluster::{ClusterError, Deadline};
use crate::domain::record::AppliedObject;
use crate::domain::{ServiceState, UserJob};

/// The label that the reference implementation gives its Services.
const NAME_LABEL: &str = "userjobs_servername";
pub const CALL_TIME: Duration = Duration::from_secs(5);

impl UserJobs {
    fn target(&self, name: &str, uid: Option<String>) -> AppliedObject {
        AppliedObject {
            api_version: "v1".to_owned(),
            kind: "Service".to_owned(),
            namespace: Some(self.site.namespace.clone()),
            name: name.to_owned(),
            uid,
            is_workload: false,
            is_kept: false,
            address: None,
        }
    }

    /// Whether a Service of this name is there, whoever's.
    pub(super) async fn has_service(&self, name: &str) -> Result<bool, ClusterError> {
        let target = self.target(name, None);
        Ok(self.cluster.metadata(&target, Deadline::after(CALL_TIME)).await?.is_some())
    }

    /// Makes the Service, or makes it anew where it is not as it should be. Gives its uid.
    pub(super) async fn make_service(&self, job: &UserJob) -> Result<String, MakeError> {
        let wanted = self.service_object(job).await?;
        let failed = |source| MakeError::Service { name: job.service.clone(), source };
        let deadline = Deadline::after(CALL_TIME);
        let mark = job.mark(&self.site.installation);
        if let Some(uid) = &job.service_uid {
            let target = self.target(&job.service, Some(uid.clone()));
            let there = self.cluster.read(&target, deadline).await.map_err(failed)?;
            match there.filter(|it| it["metadata"]["deletionTimestamp"].is_null()) {
                Some(there) if is_as_wanted(&there, &wanted) => return Ok(uid.clone()),
                Some(_) => {
                    self.cluster.delete(&target, &mark, deadline).await.map_err(failed)?;
                }
                None => {}
            }
        }
        let target = self.target(&job.service, None);
        match self.cluster.create(&target, &wanted, &mark, deadline).await {
            Err(ClusterError::Taken { .. }) if job.is_adopted() && self.delete_of_reference(job).await? => {
                self.cluster.create(&target, &wanted, &mark, deadline).await.map_err(failed)
            }
            made => made.map_err(failed),
        }
    }

    /// Deletes the Service, where it is this job's.
    pub(super) async fn delete_service(&self, job: &UserJob) -> Result<(), MakeError> {
        let failed = |source| MakeError::Service { name: job.service.clone(), source };
        let target = self.target(&job.service, job.service_uid.clone());
        let mark = job.mark(&self.site.installation);
        self.cluster.delete(&target, &mark, Deadline::after(CALL_TIME)).await.map_err(failed)?;
        if job.is_adopted() && job.service_uid.is_none() {
            self.delete_of_reference(job).await?;
        }
        Ok(())
    }

    /// The Service that the reference implementation made for a job that was taken over from it. False: there is none.
    async fn delete_of_reference(&self, job: &UserJob) -> Result<bool, MakeError> {
        let failed = |source| MakeError::Service { name: job.service.clone(), source };
        let deadline = Deadline::after(CALL_TIME);
        let there = self.cluster.metadata(&self.target(&job.service, None), deadline).await.map_err(failed)?;
        let is_its = there.as_ref().and_then(|it| it.labels.as_ref()).is_some_and(|labels| {
            let is_marked = labels.contains_key(crate::domain::mark::INSTALLATION_LABEL);
            labels.get(NAME_LABEL) == Some(&job.service) && !is_marked
        });
        let Some(uid) = there.and_then(|it| it.uid).filter(|_| is_its) else { return Ok(false) };
        let mark = job.mark(&self.site.installation);
        self.cluster.delete(&self.target(&job.service, Some(uid)), &mark, deadline).await.map_err(failed)?;
        Ok(true)
    }

    async fn service_object(&self, job: &UserJob) -> Result<Value, MakeError> {
        let is_single = job.ports.len() == 1;
        let ports: Vec<Value> = job
            .ports
            .iter()
            .map(|it| {
                let mut port = json!({"port": it.wanted, "protocol": "TCP", "targetPort": it.local});
                // Kubernetes wants names where there are several.
                if !is_single {
                    port["name"] = json!(format!("port-{}", it.wanted));
                }
                port
            })
            .collect();
        let mark = job.mark(&self.site.installation);
        let mut labels: Map<String, Value> =
            mark.labels().into_iter().map(|(label, value)| (label.to_owned(), json!(value))).collect();
        labels.insert(NAME_LABEL.to_owned(), json!(job.service));
        let mut metadata = json!({"name": job.service, "namespace": self.site.namespace, "labels": labels});
        if let Some(owner) = self.owner(job).await? {
            metadata["ownerReferences"] = json!([owner]);
        }
        Ok(json!({
            "apiVersion": "v1", "kind": "Service", "metadata": metadata,
            "spec": {"ports": ports, "selector": self.selector(), "type": "ClusterIP"},
        }))
    }

    /// Where replicas share a database, the pod of the one that leads carries a label of ours; else all that is ours is
    /// this pod, which is called so in its manifest.
    fn selector(&self) -> Value {
        match self.store.is_shared() {
            true => json!({super::pod_label::LABEL: self.site.installation}),
            false => json!({"name": self.site.deployment_name}),
        }
    }

    /// The env Secret of the service that asked for the job, where that is in the same namespace.
    async fn owner(&self, job: &UserJob) -> Result<Option<Value>, MakeError> {
        let Some(sequence) = job.owner else { return Ok(None) };
        let Some(record) = self.store.service(sequence).await? else { return Ok(None) };
        let is_alive = matches!(record.state, ServiceState::Starting | ServiceState::Running);
        let owner = record.objects.into_iter().next().filter(|it| is_alive && it.kind == "Secret");
        let is_near = |it: &AppliedObject| it.namespace.as_deref() == Some(self.site.namespace.as_str());
        Ok(owner.filter(is_near).and_then(|it| {
            let uid = it.uid?;
            Some(json!({"apiVersion": it.api_version, "kind": it.kind, "name": it.name, "uid": uid}))
        }))
    }
}

/// Whether ports, selector and marks are those that are wanted. What the API server adds does not count.
fn is_as_wanted(there: &Value, wanted: &Value) -> bool {
    let ports = |object: &Value| -> Vec<[Value; 3]> {
        let ports = object["spec"]["ports"].as_array().cloned().unwrap_or_default();
        ports.iter().map(|it| [it["port"].clone(), it["targetPort"].clone(), it["name"].clone()]).collect()
    };
    let labels = wanted["metadata"]["labels"].as_object();
    let has_labels =
        labels.into_iter().flatten().all(|(label, value)| there["metadata"]["labels"][label.as_str()] == *value);
    has_labels && ports(there) == ports(wanted) && there["spec"]["selector"] == wanted["spec"]["selector"]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_somebody_changed_is_not_as_wanted() {
        let wanted = json!({
            "metadata": {"labels": {"a": "b"}},
            "spec": {"ports": [{"port": 80, "targetPort": 4000, "protocol": "TCP"}], "selector": {"name": "x"}},
        });
        let mut there = wanted.clone();
        there["spec"]["clusterIP"] = json!("10.0.0.1");
        there["metadata"]["labels"]["c"] = json!("d");
        assert!(is_as_wanted(&there, &wanted));
        for (pointer, value) in [
            ("/spec/ports/0/targetPort", json!(4001)),
            ("/spec/selector", json!({"name": "y"})),
            ("/metadata/labels/a", json!("c")),
        ] {
            let mut changed = there.clone();
            *changed.pointer_mut(pointer).unwrap() = value;
            assert!(!is_as_wanted(&changed, &wanted), "{pointer}");
        }
    }
}
