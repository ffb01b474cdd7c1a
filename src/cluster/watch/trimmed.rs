//! Pods and workloads as far as they are read here: what watches tell is taken apart without building the rest of it.
//!
//! Of a pod that is most: nearly all of its spec, and who manages which of its fields.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use kube::Resource;
use kube::core::{ApiResource, DynamicResourceScope, ObjectMeta};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

#[derive(Clone, Debug, Deserialize)]
pub struct TrimmedPod {
    #[serde(deserialize_with = "metadata")]
    pub metadata: ObjectMeta,
    pub spec: Option<PodSpec>,
    pub status: Option<PodStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    pub node_name: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    pub phase: Option<String>,
    pub reason: Option<String>,
    pub message: Option<String>,
    pub conditions: Option<Vec<Condition>>,
    pub container_statuses: Option<Vec<ContainerStatus>>,
    pub init_container_statuses: Option<Vec<ContainerStatus>>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Condition {
    #[serde(rename = "type")]
    pub kind: String,
    pub status: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerStatus {
    pub name: String,
    #[serde(default)]
    pub ready: bool,
    pub state: Option<ContainerState>,
    pub last_state: Option<ContainerState>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ContainerState {
    pub waiting: Option<Waiting>,
    pub running: Option<IgnoredAny>,
    pub terminated: Option<Terminated>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Waiting {
    pub reason: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Terminated {
    pub exit_code: i32,
    pub reason: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct TrimmedWorkload {
    #[serde(deserialize_with = "metadata")]
    pub metadata: ObjectMeta,
    pub spec: Option<WorkloadSpec>,
}

/// What kinds call differently stands side by side.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadSpec {
    pub replicas: Option<Value>,
    pub parallelism: Option<Value>,
    pub template: Option<Template>,
    pub job_template: Option<JobTemplate>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Template {
    pub metadata: Option<Labels>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Labels {
    pub labels: Option<BTreeMap<String, Value>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct JobTemplate {
    pub spec: Option<JobSpec>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct JobSpec {
    pub template: Option<Template>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<OwnerReference>>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
}

fn metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let it = Metadata::deserialize(deserializer)?;
    Ok(ObjectMeta {
        name: it.name,
        namespace: it.namespace,
        uid: it.uid,
        resource_version: it.resource_version,
        labels: it.labels,
        annotations: it.annotations,
        owner_references: it.owner_references,
        creation_timestamp: it.creation_timestamp,
        deletion_timestamp: it.deletion_timestamp,
        ..ObjectMeta::default()
    })
}

/// What pods are asked for as.
pub fn pods() -> ApiResource {
    ApiResource::erase::<Pod>(&())
}

macro_rules! resource {
    ($trimmed:ident) => {
        impl Resource for $trimmed {
            type DynamicType = ApiResource;
            type Scope = DynamicResourceScope;

            fn kind(it: &ApiResource) -> Cow<'_, str> {
                it.kind.as_str().into()
            }

            fn group(it: &ApiResource) -> Cow<'_, str> {
                it.group.as_str().into()
            }

            fn version(it: &ApiResource) -> Cow<'_, str> {
                it.version.as_str().into()
            }

            fn plural(it: &ApiResource) -> Cow<'_, str> {
                it.plural.as_str().into()
            }

            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

resource!(TrimmedPod);
resource!(TrimmedWorkload);
