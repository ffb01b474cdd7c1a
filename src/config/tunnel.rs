//! Section `tunnel`: the hubs to be told that K8s Manager has started.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One hub to be told that K8s Manager has started.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Tunnel {
    /// Name of this K8s Manager as the hub knows it. Restart.
    pub hostname: String,
    /// Where the hub takes the notice, by POST. Without it nothing is sent. Restart.
    pub restart_url: Option<String>,
    /// How long to wait for the hub's answer in seconds (10). Restart.
    pub timeout: Option<u64>,
    /// File with the certificate authority of the hub, for one that those of the system do not vouch for. `false` asks for
    /// TLS that is not verified: whoever is in between reads the credentials. Restart.
    pub certificate_path: CertificatePath,
    /// Environment variable that holds the value of the header Authorization. Where it is named and not set, nothing
    /// is sent. Without it: TUNNELSVC_K8SMGR_USER_TOKEN, else Basic with TUNNELSVC_K8SMGR_USER_PASSWORD. Restart.
    pub cred_env_name: Option<String>,
    /// What differs by STAGE. Restart.
    pub stage: BTreeMap<String, TunnelStage>,
}

/// What differs by STAGE.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct TunnelStage {
    /// Instead of the tunnel's `restart_url`. Restart.
    pub restart_url: Option<String>,
}

impl Tunnel {
    pub const DEFAULT_TIMEOUT_SECONDS: u64 = 10;

    pub fn timeout_seconds(&self) -> u64 {
        self.timeout.unwrap_or(Self::DEFAULT_TIMEOUT_SECONDS)
    }

    /// Where to send the notice in this stage.
    pub fn restart_url(&self, stage: Option<&str>) -> Option<&str> {
        let of_stage = stage.and_then(|stage| self.stage.get(stage)).and_then(|it| it.restart_url.as_deref());
        of_stage.or(self.restart_url.as_deref())
    }
}

/// Whom to trust at the other end: the authorities of the system (absent or null), those of a file, or (`false`, which has
/// to be asked for) anybody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CertificatePath {
    #[default]
    System,
    File(PathBuf),
    Unverified,
}

impl<'de> Deserialize<'de> for CertificatePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected the path of a file, or false")]
        enum Written {
            Nothing(()),
            Flag(bool),
            Path(PathBuf),
        }
        match Written::deserialize(deserializer)? {
            Written::Nothing(()) => Ok(Self::System),
            Written::Flag(false) => Ok(Self::Unverified),
            Written::Flag(true) => Err(serde::de::Error::custom("expected the path of a file, or false")),
            Written::Path(path) => Ok(Self::File(path)),
        }
    }
}

impl Serialize for CertificatePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::System => serializer.serialize_none(),
            Self::Unverified => serializer.serialize_bool(false),
            Self::File(path) => path.serialize(serializer),
        }
    }
}

impl JsonSchema for CertificatePath {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "CertificatePath".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "anyOf": [{ "type": "string" }, { "const": false }] })
    }
}
