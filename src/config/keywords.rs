//! Section `services.replace`: what stands for what in a description.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::{Indicators, ReplaceValue};

/// Replacements in service.yaml and update.yaml. The values of `stage_credential` come before those of `stage`, and
/// those before `credential`; a value may hold a keyword of a later step; unknown keywords stay as they are.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Replace {
    /// What stands before and after a keyword. Reload.
    pub indicators: Indicators,
    /// Keyword for the folder `services.input_dir` as tar.gz in base64. Reload.
    pub input_keyword: String,
    /// Keyword for the id of this start, `<server name>-<start id>` (or a slug of it), which belongs into the names
    /// of all objects. Reload.
    pub drfid_keyword: String,
    /// Keyword for `<credential>_<user id>`. Reload.
    pub uniqueuserid_keyword: String,
    /// Keyword for the hub's user id. Reload.
    pub userid_keyword: String,
    /// Keyword for the name of the Secret that holds the environment. Reload.
    pub secretname_keyword: String,
    /// Keyword for the name of the Secret that holds the certificates, where the hub sends some. Reload.
    pub secretcertsname_keyword: String,
    /// Keyword for the namespace of K8s Manager's objects. Reload.
    pub namespace_keyword: String,
    /// Own keywords by STAGE: `{"production": {"nfs": "10.0.0.1"}}`. Numbers stand for their text. Reload.
    pub stage: BTreeMap<String, BTreeMap<String, ReplaceValue>>,
    /// Own keywords by credential, the name a hub signs in with. Reload.
    pub credential: BTreeMap<String, BTreeMap<String, ReplaceValue>>,
    /// Own keywords by STAGE, then by credential. Reload.
    pub stage_credential: BTreeMap<String, BTreeMap<String, BTreeMap<String, ReplaceValue>>>,
}

impl Default for Replace {
    fn default() -> Self {
        Self {
            indicators: Indicators::default(),
            input_keyword: "input".to_owned(),
            drfid_keyword: "id".to_owned(),
            uniqueuserid_keyword: "unique_user_id".to_owned(),
            userid_keyword: "user_id".to_owned(),
            secretname_keyword: "secret_name".to_owned(),
            secretcertsname_keyword: "secret_certs_name".to_owned(),
            namespace_keyword: "namespace".to_owned(),
            stage: BTreeMap::new(),
            credential: BTreeMap::new(),
            stage_credential: BTreeMap::new(),
        }
    }
}
