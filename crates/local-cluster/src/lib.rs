//! A Kubernetes cluster in one process, for one machine and for tests.
//!
//! [`LocalCluster::start`] gives an API server, the controllers and a node. It knows nothing of who uses it.

mod addresses;
mod api;
mod apply;
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
mod schema;
mod selectors;
mod server;
mod simulated;
pub mod storage;
mod validation;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use faults::{Fault, FaultRule, Faults};
pub use storage::Storage;
use storage::{Key, Resource};

use crate::api::Api;
use crate::controllers::Controllers;
use crate::kubelet::Kubelet;
use crate::node::{ProcessNode, ProcessNodeConfig};

const PROCESS_NODE_NAME: &str = "local";

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
    /// Paths of this machine that containers of the process runtime see too, read-only.
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
    #[error("pods that are processes need a data directory")]
    NoDataDirectory,
    #[error("failed to start the node")]
    Node(#[from] node::NodeError),
}

/// A running cluster. Dropping it stops its tasks; [`LocalCluster::shutdown`] also waits for what runs in it.
pub struct LocalCluster {
    api: Arc<Api>,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl LocalCluster {
    pub async fn start(config: ClusterConfig) -> Result<LocalCluster, ClusterError> {
        let storage = Storage::new();
        let listener = server::bind(config.listen)
            .await
            .map_err(|source| ClusterError::Listen { address: config.listen, source })?;
        let address =
            listener.local_addr().map_err(|source| ClusterError::Listen { address: config.listen, source })?;
        let node_name = match config.runtime {
            RuntimeKind::Simulated => simulated::NODE_NAME,
            RuntimeKind::Process => PROCESS_NODE_NAME,
        };
        bootstrap(&storage, node_name);
        let addresses = Arc::new(addresses::Addresses::default());
        let api = Arc::new(Api {
            storage: storage.clone(),
            registry: kinds::Registry::default(),
            faults: Faults::default(),
            calls: api::Calls::default(),
            addresses: addresses.clone(),
            kubelet: OnceLock::new(),
            service_account_admission: config.runtime == RuntimeKind::Process,
        });
        let stop = watch::channel(false).0;
        let kubelet: Arc<dyn Kubelet> = match (config.runtime, config.data_dir) {
            (RuntimeKind::Simulated, _) => Arc::new(simulated::Simulated::new(storage.clone())),
            (RuntimeKind::Process, None) => return Err(ClusterError::NoDataDirectory),
            (RuntimeKind::Process, Some(data_dir)) => {
                let node_name = node_name.to_owned();
                let host_paths = config.host_paths;
                let node = ProcessNodeConfig { node_name, data_dir, host_paths };
                ProcessNode::start(storage.clone(), node).await?
            }
        };
        // Nobody else can have set it.
        let _ = api.kubelet.set(kubelet);
        let controllers = Controllers::new(storage.clone(), addresses, node_name, api.service_account_admission);
        let mut tasks = vec![
            tokio::spawn(controllers.run(stop.subscribe())),
            tokio::spawn(server::serve(api.clone(), listener, None, api.faults.watch_down(), stop.subscribe())),
        ];
        if config.runtime == RuntimeKind::Simulated {
            tasks.push(tokio::spawn(simulated::run(storage, stop.subscribe())));
        }
        Ok(LocalCluster { api, address, stop, tasks })
    }

    /// The base URL of the API.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn storage(&self) -> &Storage {
        &self.api.storage
    }

    pub fn faults(&self) -> &Faults {
        &self.api.faults
    }

    /// How often each verb was called on each resource so far, in order: `("get", "pods/log", 3)`.
    pub fn requests(&self) -> Vec<(String, String, u64)> {
        self.api.calls.all()
    }

    /// A kubeconfig for the administrator, as YAML.
    pub fn kubeconfig(&self) -> String {
        format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- name: local\n  cluster:\n    server: {}\ncontexts:\n- name: local\n  \
             context:\n    cluster: local\n    user: admin\n    namespace: default\ncurrent-context: local\nusers:\n- name: \
             admin\n  user: {{}}\n",
            self.url()
        )
    }

    /// Ends everything, the node's processes included, and waits for it.
    pub async fn shutdown(self) {
        if let Some(kubelet) = self.api.kubelet.get() {
            kubelet.shutdown().await;
        }
        self.stop.send_replace(true);
        let mut cluster = self;
        for task in cluster.tasks.drain(..) {
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

/// What a cluster holds from the start.
fn bootstrap(storage: &Storage, node_name: &str) {
    for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
        let object = json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
            "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}});
        // What a restart finds again stays as it is.
        let _ = storage.create(Key::new(Resource::core("namespaces"), "", name), object);
    }
    let time = storage::now();
    let conditions = json!([{"type": "Ready", "status": "True", "reason": "KubeletReady",
        "message": "kubelet is posting ready status", "lastHeartbeatTime": time, "lastTransitionTime": time}]);
    let amounts = json!({"cpu": "64", "memory": "256Gi", "pods": "20000", "ephemeral-storage": "1Ti"});
    let node = json!({"apiVersion": "v1", "kind": "Node",
        "metadata": {"name": node_name, "labels": {"kubernetes.io/hostname": node_name, "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64", "beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": "amd64"}},
        "spec": {},
        "status": {"conditions": conditions, "capacity": amounts, "allocatable": amounts,
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": node_name}],
            "nodeInfo": {"kubeletVersion": "v1.36.0", "operatingSystem": "linux", "architecture": "amd64",
                "containerRuntimeVersion": "local://1", "kernelVersion": "", "osImage": "", "machineID": "",
                "systemUUID": "", "bootID": "", "kubeProxyVersion": ""}}});
    let _ = storage.create(Key::new(Resource::core("nodes"), "", node_name), node);
}
