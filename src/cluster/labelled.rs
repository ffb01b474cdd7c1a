//! Everything in the cluster that carries our installation's label, whatever its kind: for the sweep.
//!
//! Kinds come from discovery. What we may not list cluster-wide is listed in the namespaces that we know; what we may not
//! list there either, we did not make.

use std::collections::BTreeSet;

use futures::{StreamExt, stream};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{APIResource, APIResourceList};
use kube::api::{DeleteParams, ListParams, Preconditions};
use kube::core::{ApiResource, DynamicObject};
use kube::{Api, ResourceExt};

use super::calls::{Deadline, call};
use super::{Cluster, ClusterError};
use crate::domain::mark::{INSTALLATION_LABEL, KEEP_ANNOTATION, SERVICE_LABEL};

const LISTS_AT_ONCE: usize = 4;
const PAGE: u32 = 500;
/// Made by controllers, which copy labels and clean up after themselves.
const DERIVED_KINDS: [&str; 4] = ["Endpoints", "EndpointSlice", "Event", "ControllerRevision"];

/// An object with our label.
#[derive(Clone, Debug)]
pub struct Labelled {
    resource: ApiResource,
    pub namespace: Option<String>,
    pub name: String,
    pub uid: String,
    /// The label value of the start that made it.
    pub service: String,
    /// A controller made it and takes it away again.
    pub is_controlled: bool,
    /// It outlives its service.
    pub is_kept: bool,
    pub is_deleting: bool,
}

impl Labelled {
    pub fn kind(&self) -> &str {
        &self.resource.kind
    }

    /// A ConfigMap of a service.
    #[cfg(test)]
    pub fn config_map_of(service: &str) -> Self {
        Self {
            resource: ApiResource::erase::<k8s_openapi::api::core::v1::ConfigMap>(&()),
            namespace: Some("default".to_owned()),
            name: service.to_owned(),
            uid: format!("uid-{service}"),
            service: service.to_owned(),
            is_controlled: false,
            is_kept: false,
            is_deleting: false,
        }
    }

    fn new(resource: &ApiResource, object: &impl ResourceExt) -> Option<Self> {
        Some(Self {
            resource: resource.clone(),
            namespace: object.namespace(),
            name: object.name_any(),
            uid: object.uid()?,
            service: object.labels().get(SERVICE_LABEL)?.clone(),
            is_controlled: object.owner_references().iter().any(|it| it.controller == Some(true)),
            is_kept: object.annotations().contains_key(KEEP_ANNOTATION),
            is_deleting: object.meta().deletion_timestamp.is_some(),
        })
    }
}

struct Listable {
    resource: ApiResource,
    is_namespaced: bool,
}

impl Cluster {
    /// Lists all that carries our installation's label and a start's. `namespaces` are those to look in where we have no
    /// right to all of them; an error says that nothing can be said.
    pub async fn labelled(
        &self,
        namespaces: &BTreeSet<String>,
        deadline: Deadline,
    ) -> Result<Vec<Labelled>, ClusterError> {
        let kinds = self.listable_kinds(deadline).await?;
        let lists = stream::iter(kinds).map(|kind| async move { self.list_kind(&kind, namespaces, deadline).await });
        let lists: Vec<_> = lists.buffer_unordered(LISTS_AT_ONCE).collect().await;
        Ok(lists.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    /// Deletes exactly this object. That it is gone, or another one by now, is fine.
    pub async fn delete_labelled(&self, object: &Labelled, deadline: Deadline) -> Result<(), ClusterError> {
        let api = self.dynamic_api(&object.resource, object.namespace.as_deref());
        let parameters = DeleteParams {
            preconditions: Some(Preconditions { uid: Some(object.uid.clone()), resource_version: None }),
            ..DeleteParams::background()
        };
        match call(deadline, || api.delete(&object.name, &parameters)).await {
            Err(error) if !error.is_not_found() && !error.is_conflict() => Err(error),
            _ => Ok(()),
        }
    }

    fn dynamic_api(&self, resource: &ApiResource, namespace: Option<&str>) -> Api<DynamicObject> {
        match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, resource),
            None => Api::all_with(self.client.clone(), resource),
        }
    }

    /// What can be listed and deleted, each kind in its group's preferred version.
    async fn listable_kinds(&self, deadline: Deadline) -> Result<Vec<Listable>, ClusterError> {
        let core = call(deadline, || self.client.list_core_api_resources("v1")).await?;
        let mut kinds = listable(&core);
        let groups = call(deadline, || self.client.list_api_groups()).await?.groups;
        for group in groups {
            let Some(version) = group.preferred_version.or_else(|| group.versions.into_iter().next()) else { continue };
            match call(deadline, || self.client.list_api_group_resources(&version.group_version)).await {
                Ok(resources) => kinds.extend(listable(&resources)),
                // An extension API server that is away takes its kinds along; the others can be looked at.
                Err(error) => tracing::debug!(group = group.name, %error, "an API group is not looked at"),
            }
        }
        Ok(kinds)
    }

    async fn list_kind(
        &self,
        kind: &Listable,
        namespaces: &BTreeSet<String>,
        deadline: Deadline,
    ) -> Result<Vec<Labelled>, ClusterError> {
        match self.list_all(kind, None, deadline).await {
            Err(error) if error.is_forbidden() && kind.is_namespaced => {}
            Err(error) if error.is_forbidden() || error.is_not_listable() => return Ok(Vec::new()),
            listed => return listed,
        }
        let mut found = Vec::new();
        for namespace in namespaces {
            match self.list_all(kind, Some(namespace), deadline).await {
                Err(error) if error.is_forbidden() || error.is_not_listable() => {}
                listed => found.extend(listed?),
            }
        }
        Ok(found)
    }

    async fn list_all(
        &self,
        kind: &Listable,
        namespace: Option<&str>,
        deadline: Deadline,
    ) -> Result<Vec<Labelled>, ClusterError> {
        let api = self.dynamic_api(&kind.resource, namespace);
        let selector = format!("{INSTALLATION_LABEL}={},{SERVICE_LABEL}", self.installation);
        let mut parameters = ListParams::default().labels(&selector).limit(PAGE);
        let mut found = Vec::new();
        loop {
            let page = call(deadline, || api.list_metadata(&parameters)).await?;
            found.extend(page.items.iter().filter_map(|it| Labelled::new(&kind.resource, it)));
            match page.metadata.continue_.filter(|it| !it.is_empty()) {
                Some(next) => parameters = parameters.continue_token(&next),
                None => return Ok(found),
            }
        }
    }
}

fn listable(list: &APIResourceList) -> Vec<Listable> {
    let (group, version) = list.group_version.split_once('/').unwrap_or(("", &list.group_version));
    let can = |it: &APIResource, verb: &str| it.verbs.iter().any(|known| known == verb);
    let wanted = list.resources.iter().filter(|it| {
        let is_derived = DERIVED_KINDS.contains(&it.kind.as_str());
        !it.name.contains('/') && !is_derived && can(it, "list") && can(it, "delete") && can(it, "create")
    });
    wanted
        .map(|it| Listable {
            resource: ApiResource {
                group: group.to_owned(),
                version: version.to_owned(),
                api_version: list.group_version.clone(),
                kind: it.kind.clone(),
                plural: it.name.clone(),
            },
            is_namespaced: it.namespaced,
        })
        .collect()
}
