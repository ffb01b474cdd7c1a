//! Section `services`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::keywords::Replace;
use super::name_pattern::NamePattern;
use super::ordered_values::OrderedValues;
use super::status_information::StatusInformation;
use super::values::{FileName, FolderName};

/// How services are described, started and watched.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Services {
    /// Folder for the rendered files of running services. Restart.
    pub base: PathBuf,
    /// Folder of the service descriptions: `<descriptions>/<credential>/<user_options.service>/service.yaml`. Reload.
    pub descriptions: PathBuf,
    /// Names of files and folders in a description that do not count, as shell patterns (`*`, `?`, `[a-z]`, `[!a]`).
    /// Reload.
    pub descriptions_ignore_files: Vec<NamePattern>,
    /// Name of the file that describes a service; with `.hbs` behind it, it is a Handlebars template. Reload.
    pub yaml_filename: FileName,
    /// Name of the file that PUT applies, where there is one. Reload.
    pub yaml_filename_update: FileName,
    /// The main Deployment's name is this and the id. Reload.
    pub deployment_main_name_prefix: String,
    /// The container whose state is the service's state. Reload.
    pub container_main_name: String,
    /// Folder of a description that is packed as tar.gz for `<input>`. Reload.
    pub input_dir: FileName,
    /// Most bytes that the files of one description may have together (3 MiB). A ConfigMap takes 1 MiB, and the
    /// packed input grows by a third as base64. Reload.
    #[schemars(range(min = 1))]
    pub max_description_bytes: u64,
    /// Replacements in service.yaml and update.yaml.
    pub replace: Replace,
    /// Certificates for services.
    pub ssl: Ssl,
    /// Environment that every service gets, over what the hub sends. Values that are not text become what Python's
    /// `str()` gives (`True`, `None`, `5`). Reload.
    pub env: OrderedValues,
    /// Keys that are left out of every service's environment. Reload.
    pub env_skip: Vec<String>,
    /// Files of other stages and credentials, which are left out.
    pub skip: Skip,
    /// Which credential's descriptions a credential uses, where it is not its own. Reload.
    pub credential_mapping: BTreeMap<String, FolderName>,
    /// A service that waits fails at once when each of these types (`Warning`, `Normal`) occurs among the newest
    /// `status_information.pod_events_no` events of its pod. Without it events alone never end a start. Reload.
    pub pod_events_to_fail: Vec<String>,
    /// What is told about a service that does not run.
    pub status_information: StatusInformation,
    /// How long, in seconds, what explains the end of a service is kept after it ended by itself, where it is not
    /// started again. Reload.
    pub ended_ttl_seconds: u64,
    /// How long, in seconds, an object that carries this installation's label may be without a record before it is
    /// removed; at least until it was found so twice. Reload.
    pub sweep_grace_seconds: u64,
    /// Most services that may be removed for want of a record. Where there are more, those within the grace period
    /// counted in, they are taken for a database that lacks records (an old backup): nothing is removed until
    /// `k8smgr rebuild` was run or this is raised. Reload.
    pub sweep_most_services: usize,
    /// Whether services without a record may be removed though they run. Otherwise nothing is removed while there are
    /// any. Reload.
    pub sweep_running_services: bool,
    /// A list of objects that lacks more than this share of what was there before, in percent, is not believed: what is
    /// missing is read one by one first. Restart.
    #[schemars(range(max = 100))]
    pub shrunken_list_percent: u8,
}

impl Default for Services {
    fn default() -> Self {
        let env_skip = ["LC_ALL", "LANG", "PATH", "PYTHONPATH", "uuidcode"];
        Self {
            base: PathBuf::from("/tmp/services/services"),
            descriptions: PathBuf::from("/tmp/services/descriptions"),
            descriptions_ignore_files: Vec::new(),
            yaml_filename: FileName::known("service.yaml"),
            yaml_filename_update: FileName::known("update.yaml"),
            deployment_main_name_prefix: "depl-".to_owned(),
            container_main_name: "main".to_owned(),
            input_dir: FileName::known("input"),
            max_description_bytes: 3 * 1024 * 1024,
            replace: Replace::default(),
            ssl: Ssl::default(),
            env: OrderedValues::default(),
            env_skip: env_skip.map(str::to_owned).into(),
            skip: Skip::default(),
            credential_mapping: BTreeMap::new(),
            pod_events_to_fail: Vec::new(),
            status_information: StatusInformation::default(),
            ended_ttl_seconds: 3600,
            sweep_grace_seconds: 300,
            sweep_most_services: 10,
            sweep_running_services: false,
            shrunken_list_percent: 20,
        }
    }
}

/// Certificates for services.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Ssl {
    /// Kept for compatibility and without effect: the Secret is made whenever a hub sends certificates. Reload.
    pub enabled: bool,
}

/// Files of other stages and credentials, which are left out of a description.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Skip {
    /// All stages there are: with STAGE set, files and folders named `<other stage>_...` are left out. Reload.
    pub stage: Vec<String>,
    /// All credentials there are: files and folders named `<other credential>_...` (and `<STAGE>_<other
    /// credential>_...`) are left out. Reload.
    pub credential: Vec<String>,
}
