//! The Kubernetes cluster, through its API server: create, apply, delete and read objects of any kind, and a watch
//! cache of what we own.
//!
//! Knows objects and calls, no services: what to create and what an observation means is decided elsewhere. Every
//! call has a deadline, and what fails in passing is tried again until then.

mod calls;
mod connect;
mod error;
mod explain;
mod inspect;
mod labelled;
mod lease;
mod metadata;
mod objects;
mod pod_news;
mod requests;
mod resources;
mod transport;
pub mod watch;

pub use calls::Deadline;
pub use connect::{ConnectError, connect, is_on_this_machine};
pub use error::ClusterError;
pub use inspect::ResourceName;
pub use labelled::Labelled;
pub use objects::Deletion;

use std::sync::Arc;

use kube::Client;

use crate::domain::Clock;

/// The field manager of everything we apply.
pub const FIELD_MANAGER: &str = "k8smgr";

/// A handle to one cluster; clones share the connection, the discovery cache and the watches.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    installation: String,
    resources: Arc<resources::Resources>,
    watches: Arc<watch::Watches>,
}

impl Cluster {
    /// `installation` is the label value that marks what is ours. A list that lacks more than `shrunken_list_percent` of
    /// what was known is not believed until direct reads confirm it.
    pub fn new(client: Client, installation: &str, clock: Clock, shrunken_list_percent: u8) -> Self {
        let watches = watch::Watches::new(client.clone(), installation, clock, shrunken_list_percent);
        Self { client, installation: installation.to_owned(), resources: Arc::default(), watches: Arc::new(watches) }
    }

    /// How the watches are doing: what fails, since when and why.
    pub fn health(&self) -> Vec<watch::WatchHealth> {
        self.watches.health()
    }

    pub fn watches(&self) -> &Arc<watch::Watches> {
        &self.watches
    }
}
