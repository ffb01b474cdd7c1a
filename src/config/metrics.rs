//! Section `metrics`.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The page `/metrics` for Prometheus.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Metrics {
    /// Whether `/metrics` is served. It needs no login. Reload.
    pub enabled: bool,
    /// Address and port to serve `/metrics` on, with `/livez` and `/readyz`, instead of the API's own: `0.0.0.0:9090`.
    /// Restart.
    #[schemars(with = "Option<String>")]
    pub listen: Option<SocketAddr>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { enabled: true, listen: None }
    }
}
