//! Section `userjobs`.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::name_pattern::NamePattern;

/// User jobs: ports of the nodes of an HPC system, reached through ssh. The variable SSHCONFIGFILE names the ssh
/// configuration; without it there are none.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct UserJobs {
    /// Which `target_node` a job may name, as shell patterns (`*`, `?`, `[a-z]`, `[!a]`) for the whole name. An address
    /// needs a pattern that begins with a digit (`10.1.*`), and loopback (a job on the login node itself) stands here
    /// literally (`localhost`, `127.0.0.1`). Link-local addresses and the metadata services of clouds are never
    /// reached. A new list ends no forward that is there; it holds for whatever is made or made again. Reload.
    pub allowed_target_nodes: Vec<NamePattern>,
    /// The address that forwards listen on: `0.0.0.0`, or `::` in a cluster of IPv6. Restart.
    #[schemars(with = "String")]
    pub bind_address: IpAddr,
    /// The program ssh, by name or path. Restart.
    pub ssh_program: PathBuf,
}

impl Default for UserJobs {
    fn default() -> Self {
        Self {
            allowed_target_nodes: vec![NamePattern::new("*")],
            bind_address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            ssh_program: PathBuf::from("ssh"),
        }
    }
}
