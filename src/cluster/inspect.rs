//! Questions to the API server that change nothing: dry runs, rights, and what is there.

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::Api;
use kube::api::{ListParams, PostParams};
use serde_json::Value;

use super::calls::{Deadline, call};
use super::objects::{dynamic, garbled};
use super::{Cluster, ClusterError, FIELD_MANAGER};
use crate::domain::AppliedObject;

/// A kind as rights name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceName {
    pub group: String,
    pub plural: String,
    pub is_namespaced: bool,
}

impl Cluster {
    /// How rights name a kind.
    pub async fn resource_name(
        &self,
        api_version: &str,
        kind: &str,
        deadline: Deadline,
    ) -> Result<ResourceName, ClusterError> {
        let known = self.resource(api_version, kind, deadline).await?;
        let (group, plural) = (known.resource.group, known.resource.plural);
        Ok(ResourceName { group, plural, is_namespaced: known.is_namespaced })
    }

    /// What the API server would make of an object; nothing is made.
    pub async fn dry_run(
        &self,
        target: &AppliedObject,
        object: &Value,
        deadline: Deadline,
    ) -> Result<Value, ClusterError> {
        let api = self.api(target, deadline).await?;
        let object = dynamic(object)?;
        let parameters = PostParams { dry_run: true, field_manager: Some(FIELD_MANAGER.to_owned()) };
        let made = call(deadline, || api.create(&parameters, &object)).await?;
        serde_json::to_value(made).map_err(garbled)
    }

    /// Whether we may do `verb`. A subresource is written as in a Role: `pods/log`.
    pub async fn may(
        &self,
        verb: &str,
        group: &str,
        resource: &str,
        namespace: Option<&str>,
        deadline: Deadline,
    ) -> Result<bool, ClusterError> {
        let (resource, subresource) = match resource.split_once('/') {
            Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
            None => (resource, None),
        };
        let asked = ResourceAttributes {
            verb: Some(verb.to_owned()),
            group: Some(group.to_owned()),
            resource: Some(resource.to_owned()),
            subresource,
            namespace: namespace.map(str::to_owned),
            ..ResourceAttributes::default()
        };
        let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(asked), ..Default::default() };
        let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
        let api: Api<SelfSubjectAccessReview> = Api::all(self.client.clone());
        let parameters = PostParams::default();
        let answer = call(deadline, || api.create(&parameters, &review)).await?;
        Ok(answer.status.is_some_and(|it| it.allowed))
    }

    /// The objects of a kind with these labels.
    pub async fn objects_with(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        selector: &str,
        deadline: Deadline,
    ) -> Result<Vec<Value>, ClusterError> {
        let known = self.resource(api_version, kind, deadline).await?;
        let api = known.api(&self.client, Some(namespace));
        let parameters = ListParams::default().labels(selector);
        let found = call(deadline, || api.list(&parameters)).await?;
        let read = |it| {
            let mut object = serde_json::to_value(it).map_err(garbled)?;
            // A list's items do not say what they are.
            object["apiVersion"] = Value::String(api_version.to_owned());
            object["kind"] = Value::String(kind.to_owned());
            Ok(object)
        };
        found.items.into_iter().map(read).collect()
    }
}
