//! User jobs: ports of the nodes of an HPC system, behind a Kubernetes Service each. The forwards are ssh's.
//!
//! Level-driven: a record says what should be, and the process that leads makes forwards and Services agree with it, now
//! (`worker`, and `host`, one a host) and after every restart, on the same local ports. A request (`requests`) writes the
//! record and waits for what comes of it. Knows no HTTP, and of services only whether the one that asked is still there.
//!
//! Nothing that a hub sends reaches ssh unchecked (`target`, `aliases`). The keys are ssh's own business.

mod aliases;
mod control_folder;
mod error;
mod host;
mod making;
mod master;
mod pod_label;
mod ports;
mod requests;
mod service;
mod ssh;
mod target;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use aliases::{AliasError, PREFIX as ALIAS_PREFIX, read as read_aliases};
pub use error::{MakeError, RequestError, WrongField};
pub use requests::UserJobRequest;
pub use worker::lead;

use crate::cluster::Cluster;
use crate::config::SharedConfig;
use crate::domain::UserJob;
use crate::store::{Store, StoreError};

use self::control_folder::ControlFolder;
use self::ssh::Ssh;

/// How long the end of all connections may take.
const END_TIME: Duration = Duration::from_secs(5);

/// Where this process stands; fixed while it runs.
#[derive(Clone, Debug)]
pub struct Site {
    /// `DEPLOYMENT_NAME`.
    pub deployment_name: String,
    /// `DEPLOYMENT_NAMESPACE`: where the Services are.
    pub namespace: String,
    pub installation: String,
    /// The pod that this process runs in.
    pub pod_name: Option<String>,
    /// SSHCONFIGFILE.
    pub ssh_config_file: Option<PathBuf>,
}

/// The user jobs of all hubs.
pub struct UserJobs {
    store: Store,
    cluster: Cluster,
    config: SharedConfig,
    site: Site,
    /// `None`: not configured.
    ssh: Option<Ssh>,
    bind_address: IpAddr,
    control_folder: ControlFolder,
    /// One task a host, of the process that leads.
    hosts: TaskTracker,
    ending: CancellationToken,
    /// What does not work, by sequence.
    problems: Mutex<BTreeMap<i64, String>>,
    /// How many jobs are made, or being made again.
    running: AtomicUsize,
}

impl UserJobs {
    pub fn new(store: Store, cluster: Cluster, config: SharedConfig, site: Site) -> Arc<Self> {
        let settings = config.current().userjobs.clone();
        let hosts = TaskTracker::new();
        hosts.close();
        Arc::new(Self {
            ssh: site
                .ssh_config_file
                .clone()
                .map(|config_file| Ssh { program: settings.ssh_program.clone(), config_file }),
            bind_address: settings.bind_address,
            control_folder: ControlFolder::new(&site.installation),
            store,
            cluster,
            config,
            site,
            hosts,
            ending: CancellationToken::new(),
            problems: Mutex::default(),
            running: AtomicUsize::default(),
        })
    }

    /// Before any request is served: what an earlier process left half-way is removed, where no other one may be at it.
    pub async fn begin(&self) -> Result<(), StoreError> {
        match self.store.is_shared() {
            true => Ok(()),
            false => self.store.stop_unfinished_user_jobs().await,
        }
    }

    /// The process ends: nobody waits any more.
    pub fn announce_end(&self) {
        self.ending.cancel();
    }

    /// Waits until the connections are closed, once this process leads no more.
    pub async fn ended(&self) {
        if tokio::time::timeout(END_TIME, self.hosts.wait()).await.is_err() {
            tracing::warn!("a connection of ssh is not closed in time; the next start ends it");
        }
        self.control_folder.leave();
    }

    /// How many jobs do not work, for `/readyz`; known to the process that leads.
    pub fn failing(&self) -> usize {
        self.problems().len()
    }

    fn count(&self) {
        let running = self.running.load(Ordering::SeqCst);
        let failing = self.failing().min(running);
        metrics::gauge!("k8smgr_user_jobs", "state" => "failing").set(failing as f64);
        metrics::gauge!("k8smgr_user_jobs", "state" => "working").set((running - failing) as f64);
    }

    fn problems(&self) -> std::sync::MutexGuard<'_, BTreeMap<i64, String>> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what is wrong with a job, or that nothing is; tells it when it changes.
    fn note(&self, job: &UserJob, problem: Option<String>) {
        let (service, hostname) = (&job.service, &job.hostname);
        let credential = job.credential.as_str();
        let before = match &problem {
            Some(text) => self.problems().insert(job.sequence, text.clone()),
            None => self.problems().remove(&job.sequence),
        };
        match (before, problem) {
            (before, Some(problem)) if before.as_ref() != Some(&problem) => {
                tracing::warn!(credential, service, hostname, problem, "a user job does not work; it is tried again");
            }
            (Some(_), None) => tracing::info!(credential, service, hostname, "a user job works again"),
            _ => {}
        }
        self.count();
    }

    fn ssh(&self) -> Result<&Ssh, MakeError> {
        self.ssh.as_ref().ok_or(MakeError::NotConfigured)
    }

    /// The hosts that jobs may name, as the ssh configuration says now.
    async fn hostnames(&self) -> Result<BTreeSet<String>, MakeError> {
        let file = self.ssh()?.config_file.clone();
        let read = tokio::task::spawn_blocking(move || aliases::read(&file));
        Ok(read.await.map_err(StoreError::TaskLost)??)
    }

    fn alias(hostname: &str) -> String {
        format!("{ALIAS_PREFIX}{hostname}")
    }
}

/// Whether a program is there to be started: by its path, or in a folder of PATH.
pub fn has_program(program: &Path) -> bool {
    if program.components().count() > 1 {
        return program.is_file();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
