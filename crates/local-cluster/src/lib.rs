//! A Kubernetes cluster in one process, for one machine and for tests.
//!
//! [`LocalCluster::start`] gives an API server, the controllers and a node. It knows nothing of who uses it.

mod addresses;
mod api;
mod apply;
mod auth;
mod controllers;
mod defaults;
pub mod deletion;
pub mod events;
pub mod faults;
mod kinds;
pub mod kubelet;
mod names;
pub mod node;
mod patch;
mod persist;
mod rbac;
mod schema;
mod selectors;
mod server;
mod simulated;
mod startup;
pub mod storage;
mod tls;
mod validation;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use faults::{Fault, FaultRule, Faults};
pub use storage::Storage;

use crate::api::Api;

/// How pods are run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RuntimeKind {
    /// Not at all: their states follow from their images.
    #[default]
    Simulated,
    /// As local processes.
    Process,
}

#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// Where the API is served; port 0 picks a free one.
    pub listen: SocketAddr,
    /// kubeconfig, CA, logs, claims and the objects themselves; `None`: all in memory.
    pub data_dir: Option<PathBuf>,
    pub tls: bool,
    pub runtime: RuntimeKind,
    /// Paths of this machine that the containers of the process runtime see too, read-only.
    pub host_paths: Vec<PathBuf>,
    /// Whether a request without credentials is the administrator's. `None`: exactly when there is no TLS.
    pub anonymous_is_admin: Option<bool>,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            data_dir: None,
            tls: false,
            runtime: RuntimeKind::default(),
            host_paths: Vec::new(),
            anonymous_is_admin: None,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error("failed to listen on {address}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("the process runtime needs a data directory")]
    NoDataDir,
    #[error("failed to make {path}")]
    DataDir { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Data(#[from] persist::PersistError),
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    #[error("failed to start the process runtime")]
    Node(#[from] node::NodeError),
}

/// A running cluster. Dropping it stops its tasks; [`LocalCluster::shutdown`] also waits for what runs in it.
pub struct LocalCluster {
    api: Arc<Api>,
    address: SocketAddr,
    /// The certificate of the authority, as PEM; `None` without TLS.
    authority: Option<String>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl LocalCluster {
    pub async fn start(config: ClusterConfig) -> Result<LocalCluster, ClusterError> {
        startup::start(config).await
    }

    /// The base URL of the API.
    pub fn url(&self) -> String {
        let scheme = if self.authority.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    pub fn storage(&self) -> &Storage {
        &self.api.storage
    }

    pub fn faults(&self) -> &Faults {
        &self.api.faults
    }

    /// The bearer token of the administrator.
    pub fn admin_token(&self) -> String {
        self.api.auth.admin_token().to_owned()
    }

    /// The certificate of the cluster's authority, as PEM; `None` without TLS.
    pub fn authority(&self) -> Option<&str> {
        self.authority.as_deref()
    }

    /// How often each verb was called on each resource so far, in order: `("get", "pods/log", 3)`.
    pub fn requests(&self) -> Vec<(String, String, u64)> {
        self.api.calls.all()
    }

    /// What a ServiceAccount has called so far, in order: `("get", "", "pods/log")`, verb, API group and resource.
    pub fn calls_of(&self, namespace: &str, service_account: &str) -> Vec<(String, String, String)> {
        self.api.calls.of(&auth::User::service_account(namespace, service_account).name)
    }

    /// A kubeconfig for a ServiceAccount, good for a day, as YAML; `None` where there is no such account.
    pub fn kubeconfig_of(&self, namespace: &str, service_account: &str) -> Option<String> {
        const DAY_SECONDS: i64 = 24 * 3600;
        let key = storage::Key::new(storage::Resource::core("serviceaccounts"), namespace, service_account);
        let account = self.api.storage.get(&key)?;
        let (token, _) = self.api.auth.issue(&account, None, None, DAY_SECONDS);
        Some(startup::kubeconfig(&self.url(), self.authority(), &token))
    }

    /// A kubeconfig for the administrator, as YAML.
    pub fn kubeconfig(&self) -> String {
        startup::kubeconfig(&self.url(), self.authority(), self.api.auth.admin_token())
    }

    /// Ends everything, the node's processes included, and waits for it.
    pub async fn shutdown(mut self) {
        if let Some(kubelet) = self.api.kubelet.get() {
            kubelet.shutdown().await;
        }
        self.stop.send_replace(true);
        for task in self.tasks.drain(..) {
            if let Err(error) = task.await {
                tracing::warn!(%error, "a task of the cluster ended badly");
            }
        }
    }
}

impl Drop for LocalCluster {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}
