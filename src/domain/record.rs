//! The service record: what we remember of a start, from before the cluster is touched until all of it is gone.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Credential, Json, ObjectId, ServerName, ServiceName, StartId};

/// Where a service stands. `Starting` is written before the cluster is touched, `Stopping` before anything is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServiceState {
    Starting,
    Running,
    /// A stop was asked for (or a newer start supersedes this one) and is not carried out yet.
    Stopping,
    /// The service ended by itself; what is left of it is kept for its explanation.
    Ended,
}

impl ServiceState {
    pub const ALL: [ServiceState; 4] =
        [ServiceState::Starting, ServiceState::Running, ServiceState::Stopping, ServiceState::Ended];

    pub const fn as_str(self) -> &'static str {
        match self {
            ServiceState::Starting => "starting",
            ServiceState::Running => "running",
            ServiceState::Stopping => "stopping",
            ServiceState::Ended => "ended",
        }
    }

    pub fn from_stored(text: &str) -> Option<Self> {
        ServiceState::ALL.into_iter().find(|it| it.as_str() == text)
    }
}

/// An object that a start made, or is about to make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedObject {
    pub api_version: String,
    pub kind: String,
    /// `None` for a cluster-scoped object.
    pub namespace: Option<String>,
    pub name: String,
    /// `None` until the API server has answered: the object may or may not exist.
    pub uid: Option<String>,
    /// It runs the main container, or makes the pods that do.
    #[serde(default)]
    pub is_workload: bool,
    /// It outlives the service.
    #[serde(default)]
    pub is_kept: bool,
    /// Where the hub reaches the server through this Service, as an URL without a path; for a hub of Outpost's protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

impl AppliedObject {
    /// Whether both name the same object in the cluster, whatever its uid.
    pub fn is_same_object(&self, other: &AppliedObject) -> bool {
        (&self.api_version, &self.kind, &self.namespace, &self.name)
            == (&other.api_version, &other.kind, &other.namespace, &other.name)
    }
}

/// Why a service does not run, in words for the user (`error`) and for the admin (`detailed_error`, HTML).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    pub error: String,
    pub detailed_error: String,
    /// How the main container ended, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The last lines that it wrote, for a hub of Outpost's protocol, which may ask for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log_lines: Vec<String>,
}

impl Details {
    pub fn new(error: impl Into<String>, detailed_error: impl Into<String>) -> Self {
        Self { error: error.into(), detailed_error: detailed_error.into(), ..Self::default() }
    }
}

/// A start as it is first written down.
#[derive(Clone, Debug)]
pub struct NewService {
    pub credential: Credential,
    pub server_name: ServerName,
    pub start_id: StartId,
    pub object_id: ObjectId,
    pub service: ServiceName,
    pub user_options: Json,
    pub jhub_user_id: i64,
    pub start_date: Timestamp,
    /// The namespace of the owner Secret.
    pub namespace: String,
    /// Everything that is about to be made, the owner Secret first.
    pub objects: Vec<AppliedObject>,
    /// The rendered update.yaml, for PUT.
    pub update_manifest: Option<String>,
    /// What it counts as, where there are limits.
    pub flavor: Option<String>,
    /// When it is stopped by us.
    pub ends_at: Option<Timestamp>,
}

/// A stored service. `sequence` grows with every start, so the newest start of a name is the one with the highest.
#[derive(Clone, Debug)]
pub struct ServiceRecord {
    pub sequence: i64,
    pub credential: Credential,
    pub server_name: ServerName,
    pub start_id: StartId,
    pub object_id: ObjectId,
    pub service: ServiceName,
    pub user_options: Json,
    pub jhub_user_id: i64,
    /// Microseconds count: clients see them.
    pub start_date: Timestamp,
    pub namespace: String,
    pub state: ServiceState,
    /// Everything made so far, the owner Secret first. Written before it is made.
    pub objects: Vec<AppliedObject>,
    /// The rendered update.yaml, for PUT.
    pub update_manifest: Option<String>,
    /// What it counts as, where there are limits.
    pub flavor: Option<String>,
    /// When it is stopped by us.
    pub ends_at: Option<Timestamp>,
    /// Kept once the service has ended.
    pub details: Option<Details>,
    /// When it ended by itself.
    pub ended_at: Option<Timestamp>,
}

impl ServiceRecord {
    pub fn stop_pending(&self) -> bool {
        self.state == ServiceState::Stopping
    }

    /// Where a hub of Outpost's protocol reaches the server: `http://<host>:<port>`.
    pub fn address(&self) -> Option<&str> {
        self.objects.iter().find_map(|it| it.address.as_deref())
    }
}
