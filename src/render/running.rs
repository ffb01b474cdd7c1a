//! A service that runs, found by its owner Secret: who asked for it, and what there is of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::check::sample::Names;
use crate::cluster::{Cluster, ClusterError, Deadline};
use crate::description::names::{certs_secret_name, secret_name};
use crate::domain::mark::{CREDENTIAL_LABEL, MANAGED_BY, MANAGED_BY_LABEL, SERVICE_LABEL};
use crate::domain::{AppliedObject, Credential, Json, ServiceName};

const CALL_TIME: Duration = Duration::from_secs(20);
const SERVER_NAME: &str = "k8smgr.io/server-name";
const START_ID: &str = "k8smgr.io/start-id";
const SERVICE: &str = "k8smgr.io/service-name";
const USER_ID: &str = "k8smgr.io/user-id";
const USER_OPTIONS: &str = "k8smgr.io/user-options";
/// What K8s Manager itself puts into every environment.
const OURS: [&str; 2] = ["SERVERNAME", "DRF_ID"];
/// Kinds that a description may have held, although it does not any more.
const USUAL_KINDS: [(&str, &str); 10] = [
    ("v1", "ConfigMap"),
    ("v1", "Secret"),
    ("v1", "Service"),
    ("v1", "ServiceAccount"),
    ("v1", "PersistentVolumeClaim"),
    ("v1", "Pod"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("batch/v1", "Job"),
    ("networking.k8s.io/v1", "Ingress"),
];

/// No `Debug`: it holds tokens.
pub struct Running {
    pub names: Names,
    pub user_id: i64,
    pub user_options: Option<Json>,
    /// As the hub sent it.
    pub env: Json,
    pub certs: Option<BTreeMap<String, String>>,
    /// The label value that all of it carries.
    service: String,
}

#[derive(Debug, thiserror::Error)]
pub enum RunningError {
    #[error("no running service {service} of credential {credential} was found in namespace {namespace}{named}")]
    None { service: String, credential: String, namespace: String, named: String },
    #[error("the Secret {0} does not say whose service it is")]
    Unreadable(String),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

impl Running {
    /// The newest of this credential and service, or the one of a server.
    pub async fn find(
        cluster: &Cluster,
        namespace: &str,
        deployment_name: &str,
        credential: &Credential,
        service: &ServiceName,
        server_name: Option<&str>,
    ) -> Result<Self, RunningError> {
        let selector = format!("{MANAGED_BY_LABEL}={MANAGED_BY}");
        let deadline = Deadline::after(CALL_TIME);
        let secrets = cluster.objects_with("v1", "Secret", namespace, &selector, deadline).await?;
        let is_it = |it: &&Value| {
            annotation(it, CREDENTIAL_LABEL) == Some(credential.as_str())
                && annotation(it, SERVICE) == Some(service.as_str())
                && server_name.is_none_or(|name| annotation(it, SERVER_NAME) == Some(name))
                // Everything else of a service is owned by this one.
                && it["metadata"]["ownerReferences"].is_null()
                && it["metadata"]["deletionTimestamp"].is_null()
        };
        let owners = secrets.iter().filter(is_it);
        let newest =
            owners.max_by_key(|it| it["metadata"]["creationTimestamp"].as_str().unwrap_or_default().to_owned());
        let owner = newest.ok_or_else(|| RunningError::None {
            service: service.to_string(),
            credential: credential.to_string(),
            namespace: namespace.to_owned(),
            named: server_name.map(|it| format!(" under the name {it}")).unwrap_or_default(),
        })?;
        Self::read(owner, &secrets, deployment_name).ok_or_else(|| RunningError::Unreadable(name_of(owner).to_owned()))
    }

    fn read(owner: &Value, secrets: &[Value], deployment_name: &str) -> Option<Self> {
        let names = Names::new(annotation(owner, SERVER_NAME)?, annotation(owner, START_ID)?).ok()?;
        if name_of(owner) != secret_name(&names.id, deployment_name) {
            return None;
        }
        let certs_name = certs_secret_name(&names.id, deployment_name);
        let env = data(owner).into_iter().filter(|(key, _)| !OURS.contains(&key.as_str()));
        Some(Self {
            user_id: annotation(owner, USER_ID)?.parse().ok()?,
            user_options: annotation(owner, USER_OPTIONS).and_then(|it| Json::parse(it.as_bytes()).ok()),
            env: Json::Object(env.map(|(key, value)| (key, Json::String(value))).collect()),
            certs: secrets.iter().find(|it| name_of(it) == certs_name).map(|it| data(it).into_iter().collect()),
            service: owner["metadata"]["labels"][SERVICE_LABEL].as_str()?.to_owned(),
            names,
        })
    }

    /// What there is of it beside the objects that are described.
    pub async fn others(
        &self,
        cluster: &Cluster,
        namespace: &str,
        described: &[AppliedObject],
    ) -> Result<Vec<Value>, ClusterError> {
        let described_kinds = described.iter().map(|it| (it.api_version.as_str(), it.kind.as_str()));
        let kinds: BTreeSet<(&str, &str)> = described_kinds.chain(USUAL_KINDS).collect();
        let selector = format!("{SERVICE_LABEL}={}", self.service);
        let mut others = Vec::new();
        for (api_version, kind) in kinds {
            let deadline = Deadline::after(CALL_TIME);
            let found = match cluster.objects_with(api_version, kind, namespace, &selector, deadline).await {
                Ok(found) => found,
                Err(error) if error.is_passing() => return Err(error),
                // A kind that is not served or that we may not list.
                Err(_) => continue,
            };
            let is_made = |it: &&Value| {
                let owners = it["metadata"]["ownerReferences"].as_array();
                owners.into_iter().flatten().any(|owner| owner["controller"] == true)
            };
            let is_described =
                |it: &&Value| described.iter().any(|known| known.kind == kind && known.name == name_of(it));
            others.extend(found.iter().filter(|it| !is_made(it) && !is_described(it)).cloned());
        }
        Ok(others)
    }
}

fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object["metadata"]["annotations"][name].as_str()
}

fn name_of(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn data(secret: &Value) -> Vec<(String, String)> {
    let decode = |value: &Value| {
        let bytes = STANDARD.decode(value.as_str().unwrap_or_default()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    secret["data"].as_object().into_iter().flatten().map(|(key, value)| (key.clone(), decode(value))).collect()
}
