//! What can go wrong with a user job, in words for the hub and for whoever looks after K8s Manager.

use super::aliases::AliasError;
use super::ssh::SshError;
use crate::cluster::ClusterError;
use crate::store::StoreError;

/// A field of a request, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct WrongField {
    pub field: &'static str,
    pub text: String,
}

impl WrongField {
    pub fn new(field: &'static str, text: &str) -> Self {
        Self { field, text: text.to_owned() }
    }
}

/// Why a request is not carried out.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// What was sent is wrong.
    #[error("the request is wrong")]
    Wrong(Vec<WrongField>),
    #[error("there is no such user job")]
    NotFound,
    /// It was not made, and nothing of it is left.
    #[error("{0}")]
    Failed(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RequestError {
    pub(super) fn wrong(field: &'static str, text: &str) -> Self {
        Self::Wrong(vec![WrongField::new(field, text)])
    }
}

/// Why a job is not, or not wholly, made.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    #[error(
        "the environment variable SSHCONFIGFILE is not set where K8s Manager runs: it has to name the ssh configuration for user jobs"
    )]
    NotConfigured,
    #[error(transparent)]
    Aliases(#[from] AliasError),
    #[error("the ssh configuration has no `Host tunnel_{0}`")]
    NoAlias(String),
    /// What a stored job says is not, or no longer, allowed.
    #[error(transparent)]
    Wrong(#[from] WrongField),
    /// Told by an attempt to connect that was made for another job.
    #[error("{0}")]
    Unreachable(String),
    #[error("the local port {port} is in use by somebody else: {source}")]
    PortInUse { port: u16, source: std::io::Error },
    #[error("it takes longer than {0} s")]
    Slow(u64),
    #[error(transparent)]
    Ssh(#[from] SshError),
    #[error("the Service {name} cannot be made: {source}")]
    Service { name: String, source: ClusterError },
    #[error("no local port is free: {0}")]
    NoPort(std::io::Error),
    #[error("the folder {folder} for ssh's sockets cannot be used: {reason}")]
    ControlFolder { folder: String, reason: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl MakeError {
    /// Whether whoever asked has to ask otherwise. The text then holds the field, too.
    pub fn is_refusal(&self) -> bool {
        match self {
            MakeError::Wrong(_) | MakeError::NoAlias(_) => true,
            MakeError::Service { source: ClusterError::Taken { .. }, .. } => true,
            MakeError::Service { source: ClusterError::Api(status), .. } => status.code == 422,
            _ => false,
        }
    }

    /// Which field a refusal is about.
    pub fn field(&self) -> &'static str {
        match self {
            MakeError::Wrong(wrong) => wrong.field,
            MakeError::NoAlias(_) => "hostname",
            _ => "service",
        }
    }
}
