//! Section `leader_election`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How several K8s Managers on one PostgreSQL database agree on the one that does the background work. One on SQLite
/// is alone.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct LeaderElection {
    /// `lease`: by the Lease `k8smgr-<installation>` in DEPLOYMENT_NAMESPACE, which needs the rights get, create and
    /// update on `leases` of `coordination.k8s.io`. `database`: by an advisory lock of PostgreSQL, which a pooler that
    /// shares connections between transactions cannot give. `auto`: by the Lease where the rights are there, else by
    /// the database. The same for all. Restart.
    pub method: ElectionMethod,
    /// How many seconds after the last sign of life of a leader another one takes over, from 2 to 600; the look-out for it
    /// takes a fifth of it more. The same for all. Restart.
    #[schemars(range(min = 2, max = 600))]
    pub lease_seconds: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ElectionMethod {
    Auto,
    Lease,
    Database,
}

impl Default for LeaderElection {
    fn default() -> Self {
        Self { method: ElectionMethod::Auto, lease_seconds: 10 }
    }
}
