//! The process runtime: a node that runs the containers of its pods as local processes in bubblewrap sandboxes.
//!
//! It watches the storage for pods with its name and writes their status, events and logs as a kubelet does. It keeps
//! nothing outside the storage and its data directory, and never reads an image.

mod backoff;
mod container;
mod environment;
mod error;
mod exec;
mod expansion;
mod fields;
mod identity;
mod launcher;
mod leftovers;
mod log_lines;
mod logs;
mod lookup;
mod machine;
mod mounts;
mod pod;
mod pod_logs;
mod probes;
mod quantity;
mod records;
mod removal;
mod reporting;
mod rootfs;
mod running;
mod sandbox;
mod signals;
mod starting;
mod status;
mod subpath;
mod volumes;
mod watching;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use error::NodeError;
pub use volumes::IssueToken;

use fields::Capacity;
use launcher::Launcher;
use pod::{PodWorker, Stop, StopKind};

use crate::kubelet::{Kubelet, LogError, LogQuery, LogStream};
use crate::storage::Storage;

/// How long containers have to end when the node does.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
pub struct ProcessNodeConfig {
    /// Pods with this `spec.nodeName` run here.
    pub node_name: String,
    /// Where volumes, claims and logs are. Containers see only their own volumes of it.
    pub data_dir: PathBuf,
    /// Paths of the machine that every container sees too, read-only.
    pub host_paths: Vec<PathBuf>,
}

type Task = JoinHandle<()>;

/// What all pods of the node share.
struct Shared {
    storage: Storage,
    config: ProcessNodeConfig,
    launcher: Launcher,
    /// This process is root, so containers run as other users of the machine.
    privileged: bool,
    capacity: Capacity,
    issue_token: Option<Arc<IssueToken>>,
    /// Counts the changes of what pods may be waiting for: Secrets, ConfigMaps, claims.
    sources: watch::Sender<u64>,
    /// By their uid.
    pods: Mutex<HashMap<String, (Arc<PodWorker>, Task)>>,
}

/// A running node. Dropping it ends all its containers at once; [`Kubelet::shutdown`] does it gracefully.
pub struct ProcessNode {
    shared: Arc<Shared>,
    watching: JoinHandle<()>,
}

impl ProcessNode {
    /// Checks that sandboxes can be made here, registers the node and takes over its pods.
    pub async fn start(storage: Storage, config: ProcessNodeConfig) -> Result<Arc<Self>, NodeError> {
        Self::start_with(storage, config, None).await
    }

    /// The same, with the cluster's way to give a pod the token of its ServiceAccount.
    pub async fn start_with(
        storage: Storage,
        config: ProcessNodeConfig,
        issue_token: Option<Arc<IssueToken>>,
    ) -> Result<Arc<Self>, NodeError> {
        let privileged = rustix::process::geteuid().is_root();
        let search_path = std::env::var_os("PATH").unwrap_or_default();
        let programs = machine::programs(&search_path, privileged).await?;
        let config = prepare(config)?;
        let launcher = Launcher::start(programs)
            .map_err(|source| NodeError::Run { program: "the container launcher".to_owned(), source })?;
        let capacity = machine::capacity();
        machine::register(&storage, &config.node_name, capacity);
        let shared = Arc::new(Shared {
            storage,
            config,
            launcher,
            privileged,
            capacity,
            issue_token,
            sources: watch::Sender::new(0),
            pods: Mutex::default(),
        });
        leftovers::end_leftovers(&shared.config.data_dir).await;
        watching::clean_up(&shared).await;
        let watching = tokio::spawn(watching::watch(Arc::clone(&shared)));
        Ok(Arc::new(Self { shared, watching }))
    }
}

/// Makes the data directory, for this user only, and checks the extra paths.
fn prepare(mut config: ProcessNodeConfig) -> Result<ProcessNodeConfig, NodeError> {
    let make = |path: &Path| {
        std::fs::create_dir_all(path)?;
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o700))
    };
    for folder in ["pods", "claims", "logs"] {
        let path = config.data_dir.join(folder);
        make(&path).map_err(|source| NodeError::DataDir { path, source })?;
    }
    let path = config.data_dir.clone();
    config.data_dir = std::fs::canonicalize(&path).map_err(|source| NodeError::DataDir { path, source })?;
    for path in &config.host_paths {
        std::fs::symlink_metadata(path).map_err(|source| NodeError::HostPath { path: path.clone(), source })?;
    }
    Ok(config)
}

impl Shared {
    fn workers(&self) -> Vec<Arc<PodWorker>> {
        let pods = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
        pods.values().map(|(worker, _)| Arc::clone(worker)).collect()
    }

    fn worker(&self, uid: &str) -> Option<Arc<PodWorker>> {
        let pods = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
        pods.get(uid).map(|(worker, _)| Arc::clone(worker))
    }
}

impl Kubelet for ProcessNode {
    fn logs(&self, namespace: &str, pod: &str, query: &LogQuery) -> BoxFuture<'_, Result<LogStream, LogError>> {
        let worker = self.shared.workers().into_iter().find(|it| it.namespace == namespace && it.name == pod);
        let (pod, query) = (pod.to_owned(), query.clone());
        async move {
            match worker {
                Some(worker) => worker.read_log(&query).await,
                None => Err(LogError::WaitingToStart {
                    container: query.container.unwrap_or_default(),
                    pod,
                    reason: "ContainerCreating".to_owned(),
                }),
            }
        }
        .boxed()
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        async move {
            self.watching.abort();
            let tasks: Vec<_> = {
                let mut pods = self.shared.pods.lock().unwrap_or_else(PoisonError::into_inner);
                pods.drain().map(|(_, pod)| pod).collect()
            };
            for (worker, _) in &tasks {
                let grace = worker.grace().min(SHUTDOWN_GRACE);
                worker.ask_to_stop(Stop { kind: StopKind::Shutdown, grace });
            }
            for (worker, task) in tasks {
                if let Err(error) = task.await {
                    tracing::error!(error = %error, pod = %worker.full_name(), "a pod's task failed");
                }
            }
        }
        .boxed()
    }
}

impl Drop for ProcessNode {
    fn drop(&mut self) {
        self.watching.abort();
        let mut pods = self.shared.pods.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, (_, task)) in pods.drain() {
            task.abort();
        }
    }
}
