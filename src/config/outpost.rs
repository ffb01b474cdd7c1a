//! Section `outpost`: what holds for hubs that speak Outpost's protocol.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A hub lists a server only once it is up.
const SHORTEST_GRACE_SECONDS: u64 = 60;

/// What holds for one hub, by its login, that speaks Outpost's protocol.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Outpost {
    /// File with the token by which the hub takes its flavors (JUPYTERHUB_FLAVORS_UPDATE_URL), for starts without a
    /// JUPYTERHUB_FLAVORS_UPDATE_TOKEN. Read anew each time. Reload.
    pub flavors_update_token_file: Option<PathBuf>,
    /// The same token in an environment variable of this name; the file comes first. Reload.
    pub flavors_update_token_env: Option<String>,
    /// Whether the hub is asked, each time that K8s Manager was started, to make its tunnels to running servers again
    /// (JUPYTERHUB_SETUPTUNNEL_URL). Only for a hub that reaches its servers through ssh: any other stops the server
    /// for which it is asked. Reload.
    pub tunnels_at_restart: bool,
    /// A server that the hub's list (JUPYTERHUB_CLEANUP_URLS) lacks is stopped only when it is older than this, in seconds. A
    /// list without any server that runs here is doubted for as long after the hub's last start. Reload.
    #[schemars(range(min = 60))]
    pub cleanup_grace_seconds: u64,
}

impl Default for Outpost {
    fn default() -> Self {
        Self {
            flavors_update_token_file: None,
            flavors_update_token_env: None,
            tunnels_at_restart: false,
            cleanup_grace_seconds: 1800,
        }
    }
}

impl Outpost {
    pub fn cleanup_grace(&self) -> Duration {
        Duration::from_secs(self.cleanup_grace_seconds)
    }

    pub(super) fn out_of_range(&self) -> bool {
        // A hub lists a server only once it is up.
        self.cleanup_grace_seconds < SHORTEST_GRACE_SECONDS
    }
}
