//! Section `http`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bounds of what is read from clients.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Http {
    /// The longest request body in bytes (10 MiB); longer ones get 413. Reload.
    pub max_body_bytes: u64,
    /// The longest request head (request line and headers) in bytes, at least 8192; longer ones get 431. Restart.
    #[schemars(range(min = 8192))]
    pub max_header_bytes: usize,
    /// How long one request may take in seconds, at least 1. A start that is not done by then goes on in the
    /// background. Reload.
    #[schemars(range(min = 1))]
    pub request_timeout_seconds: u64,
    /// How long requests are still taken after SIGTERM, in seconds, at most 5, while `/readyz` says that the process ends:
    /// what distributes them has to hear of it first. Only with PostgreSQL, where another replica goes on. Restart.
    #[schemars(range(max = 5))]
    pub shutdown_delay_seconds: u64,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            max_body_bytes: 10 * 1024 * 1024,
            max_header_bytes: 64 * 1024,
            request_timeout_seconds: 60,
            shutdown_delay_seconds: 3,
        }
    }
}
