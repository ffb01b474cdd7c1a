//! Section `logs`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::domain::AllowedTarget;

/// What log handlers, which are changed over the API, may write to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Logs {
    /// The folders in which a `file` handler may write: directly in them, not in folders beneath. They have to be
    /// there. Reload.
    pub directories: Vec<PathBuf>,
    /// The hosts that `smtp` and `syslog` handlers may send to: addresses (`10.0.0.7`), networks (`10.0.0.0/8`) and
    /// host names, each with `:port` where one port only is meant; `public` is every address that is not private,
    /// link-local, loopback or reserved. A name that is listed is trusted whatever it resolves to, and only a host
    /// listed by itself is sent LOG_SMTP_USER and LOG_SMTP_PASSWORD. Reload.
    #[serde(deserialize_with = "read_targets", serialize_with = "write_targets")]
    #[schemars(with = "Vec<String>")]
    pub targets: Vec<AllowedTarget>,
}

impl Default for Logs {
    fn default() -> Self {
        Self { directories: vec![PathBuf::from("/tmp")], targets: vec![AllowedTarget::public()] }
    }
}

struct Target(AllowedTarget);

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

fn read_targets<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<AllowedTarget>, D::Error> {
    Ok(Vec::<Target>::deserialize(deserializer)?.into_iter().map(|it| it.0).collect())
}

fn write_targets<S: Serializer>(targets: &[AllowedTarget], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(targets.iter().map(ToString::to_string))
}
