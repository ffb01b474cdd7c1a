//! From apiVersion and kind to a URL: discovery, remembered. What every cluster serves is not asked for.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind, NamespaceResourceScope};
use kube::discovery::{Scope, oneshot};
use kube::{Api, Client};

use super::calls::{Deadline, call};
use super::{Cluster, ClusterError};

#[derive(Default)]
pub(super) struct Resources {
    known: RwLock<HashMap<(String, String), Known>>,
}

#[derive(Clone)]
pub(super) struct Known {
    pub resource: ApiResource,
    pub is_namespaced: bool,
}

impl Resources {
    fn remember(&self, key: (String, String), known: Known) -> Known {
        self.known.write().unwrap_or_else(PoisonError::into_inner).insert(key, known.clone());
        known
    }
}

impl Known {
    pub fn api(&self, client: &Client, namespace: Option<&str>) -> Api<DynamicObject> {
        match namespace {
            Some(namespace) if self.is_namespaced => Api::namespaced_with(client.clone(), namespace, &self.resource),
            _ => Api::all_with(client.clone(), &self.resource),
        }
    }
}

/// Namespaced kinds of versions that no cluster is without: a start needs no discovery for them, which an overloaded API
/// server would refuse as it does the rest.
fn well_known(wanted: &GroupVersionKind) -> Option<ApiResource> {
    fn of<K: k8s_openapi::Resource<Scope = NamespaceResourceScope> + kube::Resource<DynamicType = ()>>() -> ApiResource
    {
        ApiResource::erase::<K>(&())
    }
    let served = [
        of::<ConfigMap>(),
        of::<PersistentVolumeClaim>(),
        of::<Pod>(),
        of::<Secret>(),
        of::<Service>(),
        of::<ServiceAccount>(),
        of::<DaemonSet>(),
        of::<Deployment>(),
        of::<ReplicaSet>(),
        of::<StatefulSet>(),
        of::<CronJob>(),
        of::<Job>(),
    ];
    let is_wanted =
        |it: &ApiResource| (&it.group, &it.version, &it.kind) == (&wanted.group, &wanted.version, &wanted.kind);
    served.into_iter().find(is_wanted)
}

pub(super) fn group_version_kind(api_version: &str, kind: &str) -> GroupVersionKind {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    GroupVersionKind::gvk(group, version, kind)
}

impl Cluster {
    pub(super) async fn resource(
        &self,
        api_version: &str,
        kind: &str,
        deadline: Deadline,
    ) -> Result<Known, ClusterError> {
        let key = (api_version.to_owned(), kind.to_owned());
        if let Some(known) = self.resources.known.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(known.clone());
        }
        let wanted = group_version_kind(api_version, kind);
        let unknown = || ClusterError::UnknownKind { api_version: api_version.to_owned(), kind: kind.to_owned() };
        if let Some(resource) = well_known(&wanted) {
            return Ok(self.resources.remember(key, Known { resource, is_namespaced: true }));
        }
        let found = call(deadline, || async {
            match oneshot::pinned_kind(&self.client, &wanted).await {
                Ok(found) => Ok(Some(found)),
                // A group without the kind, and a group that is not served at all.
                Err(kube::Error::Discovery(_)) => Ok(None),
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
                Err(error) => Err(error),
            }
        })
        .await?;
        let (resource, capabilities) = found.ok_or_else(unknown)?;
        let is_namespaced = capabilities.scope == Scope::Namespaced;
        Ok(self.resources.remember(key, Known { resource, is_namespaced }))
    }

    /// The namespace an object of this kind goes to: the given one, else the default, or none for a cluster-scoped kind.
    pub async fn namespace_for<'a>(
        &self,
        api_version: &str,
        kind: &str,
        namespace: Option<&'a str>,
        default: &'a str,
        deadline: Deadline,
    ) -> Result<Option<&'a str>, ClusterError> {
        let known = self.resource(api_version, kind, deadline).await?;
        Ok(known.is_namespaced.then(|| namespace.unwrap_or(default)))
    }
}
