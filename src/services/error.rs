//! What a use case can fail with. The texts of `StartError` and `UpdateError` are shown to admins by the hub.

use crate::cluster::ClusterError;
use crate::description::{DescriptionError, ManifestError};
use crate::domain::Refusal;
use crate::store::StoreError;
use crate::user_homes::HomeError;

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// By the rules for flavors: shown to users as it is.
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Description(#[from] DescriptionError),
    /// The name is in use by a start of another hub, or by another server of this one.
    #[error("the name {object_id} is in use by another service")]
    NameTaken { object_id: String },
    #[error(
        "the service description has no Service with a port, so the hub cannot reach the server: add one, named \
         `{{{{outpost.pod_name}}}}` (here {pod_name}), with port `{{{{outpost.port}}}}` (here {port})"
    )]
    NoAddress { pod_name: String, port: u16 },
    #[error("failed to make the user's home: {0}")]
    Home(#[from] HomeError),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("the service was stopped while it started")]
    Stopped,
    #[error("an earlier start of the same name could not be removed in time")]
    EarlierStartRemains,
    #[error("K8s Manager is being restarted; try again in a moment")]
    Ending,
    #[error("the start was given up: it took too long")]
    TooSlow,
    #[error("the database failed")]
    Store(#[from] StoreError),
    #[error("the start broke off")]
    BrokeOff(#[from] tokio::task::JoinError),
}

impl StartError {
    /// One word for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            StartError::Refused(_) => "refused",
            StartError::Description(_) => "description",
            StartError::NameTaken { .. } => "name_taken",
            StartError::NoAddress { .. } => "no_address",
            StartError::Home(_) => "home",
            StartError::Cluster(_) => "cluster",
            StartError::Stopped => "stopped",
            StartError::EarlierStartRemains => "earlier_start_remains",
            StartError::TooSlow => "too_slow",
            StartError::Store(_) => "database",
            StartError::BrokeOff(_) => "broke_off",
            StartError::Ending => "ending",
        }
    }
}

/// Nothing else fails a poll: a hub takes every failure for the end of the server.
#[derive(Debug, thiserror::Error)]
pub enum PollError {
    #[error("no such service")]
    NotFound,
}

#[derive(Debug, thiserror::Error)]
pub enum StopError {
    #[error("no such service")]
    NotFound,
}

#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    #[error("no such service")]
    NotFound,
    #[error("the service description has no update.yaml")]
    NoUpdate,
    #[error("the service is being started or stopped; try again")]
    Busy,
    #[error("the update broke off")]
    BrokeOff(#[from] tokio::task::JoinError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("the database failed")]
    Store(#[from] StoreError),
}
