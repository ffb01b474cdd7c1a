//! Metadata alone: reading who an object is, and laying labels, annotations and owners over those it has. What an object
//! holds (a Secret's tokens) is not asked for.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::Api;
use kube::api::{ListParams, ObjectMeta, Patch, PatchParams};
use serde_json::{Value, json};

use super::calls::{Deadline, call};
use super::watch::workloads::{is_adopted, pod_selector};
use super::{Cluster, ClusterError, FIELD_MANAGER};
use crate::domain::AppliedObject;
use crate::domain::mark::{INSTALLATION_LABEL, SERVICE_LABEL};

/// Whether the API server answers is known after this.
const REACH_TIME: Duration = Duration::from_secs(10);

/// Before an object that somebody else changed meanwhile is read again.
const CONFLICT_PAUSE: Duration = Duration::from_millis(50);

impl Cluster {
    /// Whether the API server answers at all.
    pub async fn reach(&self) -> Result<(), ClusterError> {
        call(Deadline::after(REACH_TIME), || self.client.apiserver_version()).await.map(|_| ())
    }

    /// An object's metadata; `None` when it is not there (another one under its name is not it), or its kind is not
    /// served.
    pub async fn metadata(
        &self,
        target: &AppliedObject,
        deadline: Deadline,
    ) -> Result<Option<ObjectMeta>, ClusterError> {
        let api = match self.api(target, deadline).await {
            Ok(api) => api,
            Err(ClusterError::UnknownKind { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let found = call(deadline, || api.get_metadata_opt(&target.name)).await?;
        Ok(found.map(|it| it.metadata).filter(|it| target.uid.is_none() || it.uid == target.uid))
    }

    /// Lays what `change` makes of an object's metadata over it. `change` sees it as it is and may leave it alone; it
    /// is asked again when somebody else was quicker. False: there is no such object.
    pub async fn change_metadata(
        &self,
        target: &AppliedObject,
        change: impl Fn(&ObjectMeta) -> Option<Value>,
        deadline: Deadline,
    ) -> Result<bool, ClusterError> {
        loop {
            let Some(there) = self.metadata(target, deadline).await? else { return Ok(false) };
            let Some(mut metadata) = change(&there) else { return Ok(true) };
            // Of this very object, as it was read.
            metadata["uid"] = json!(there.uid);
            metadata["resourceVersion"] = json!(there.resource_version);
            let patch = Patch::Merge(json!({ "metadata": metadata }));
            let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
            let api = self.api(target, deadline).await?;
            match call(deadline, || api.patch_metadata(&target.name, &parameters, &patch)).await {
                Ok(_) => return Ok(true),
                Err(error) if error.is_not_found() => return Ok(false),
                Err(error) if error.is_conflict() && !deadline.has_passed() => tokio::time::sleep(CONFLICT_PAUSE).await,
                Err(error) => return Err(error),
            }
        }
    }

    /// The pods of an adopted workload: those that its selector finds. `None` where it is gone or not adopted.
    pub async fn pods_of_adopted(
        &self,
        workload: &AppliedObject,
        deadline: Deadline,
    ) -> Result<Option<Vec<ObjectMeta>>, ClusterError> {
        let Some(namespace) = workload.namespace.as_deref().filter(|_| workload.kind != "Pod") else { return Ok(None) };
        let there = self.read(workload, deadline).await?.filter(is_adopted);
        let Some(selector) = there.as_ref().and_then(pod_selector) else { return Ok(None) };
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        list(&pods, &selector, deadline).await.map(Some)
    }

    /// The pods of a namespace that carry certain labels.
    pub async fn pods_labelled(
        &self,
        namespace: &str,
        selector: &str,
        deadline: Deadline,
    ) -> Result<Vec<ObjectMeta>, ClusterError> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        list(&pods, selector, deadline).await
    }

    /// The Secrets of a namespace that belong to a service of any installation.
    pub async fn marked_secrets(&self, namespace: &str, deadline: Deadline) -> Result<Vec<ObjectMeta>, ClusterError> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        list(&secrets, &format!("{INSTALLATION_LABEL},{SERVICE_LABEL}"), deadline).await
    }

    /// Objects of a kind that a service may have made, by name, without those that a controller made.
    pub async fn names_holding(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        part: &str,
        deadline: Deadline,
    ) -> Result<Vec<String>, ClusterError> {
        let api = self.resource(api_version, kind, deadline).await?.api(&self.client, Some(namespace));
        let found = list(&api, "", deadline).await?;
        let is_made =
            |it: &ObjectMeta| it.owner_references.iter().flatten().any(|owner| owner.controller == Some(true));
        let names = found.into_iter().filter(|it| !is_made(it)).filter_map(|it| it.name);
        Ok(names.filter(|name| holds_segments(name, part)).collect())
    }
}

/// Whether `part` stands in a name between dashes or at its ends.
fn holds_segments(name: &str, part: &str) -> bool {
    format!("-{name}-").contains(&format!("-{part}-"))
}

const PAGE: u32 = 500;

async fn list<K>(api: &Api<K>, selector: &str, deadline: Deadline) -> Result<Vec<ObjectMeta>, ClusterError>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let mut parameters = ListParams::default().limit(PAGE).labels(selector);
    let mut found = Vec::new();
    loop {
        let page = call(deadline, || api.list_metadata(&parameters)).await?;
        found.extend(page.items.into_iter().map(|it| it.metadata));
        match page.metadata.continue_.filter(|it| !it.is_empty()) {
            Some(next) => parameters.continue_token = Some(next),
            None => return Ok(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::holds_segments;

    #[test]
    fn a_name_is_a_services_only_by_whole_segments() {
        for name in ["lab-a1", "svc-lab-a1", "lab-a1-data", "x-lab-a1-y"] {
            assert!(holds_segments(name, "lab-a1"), "{name}");
        }
        for name in ["my-lab-a12", "mylab-a1", "lab-a", "a1-lab"] {
            assert!(!holds_segments(name, "lab-a1"), "{name}");
        }
    }
}
