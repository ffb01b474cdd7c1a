//! The Kubernetes cluster, through its API server: create, apply, delete and read objects of any kind, and a watch
//! cache of what we own.
//!
//! Knows objects and calls, no services: what to create and what an observation means is decided elsewhere. Every
//! call has a deadline, and what fails in passing is tried again until then.

mod calls;
mod connect;
mod error;
mod explain;
mod objects;
mod requests;
mod resources;
pub mod watch;

pub use calls::Deadline;
pub use connect::{ConnectError, connect};
pub use error::ClusterError;
pub use objects::Deletion;

use std::sync::Arc;

use kube::Client;

/// The field manager of everything we apply.
pub const FIELD_MANAGER: &str = "k8smgr";

/// A handle to one cluster; clones share the connection, the discovery cache and the watches.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    resources: Arc<resources::Resources>,
    watches: Arc<watch::Watches>,
}

impl Cluster {
    /// `installation` is the label value that marks what is ours; `default_namespace` is where objects without a
    /// namespace go.
    pub fn new(client: Client, installation: &str) -> Self {
        let watches = watch::Watches::new(client.clone(), installation);
        Self { client, resources: Arc::default(), watches: Arc::new(watches) }
    }

    pub fn watches(&self) -> &Arc<watch::Watches> {
        &self.watches
    }
}
