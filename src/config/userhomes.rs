//! Section `userhomes`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::name_pattern::NamePattern;
use super::values::FolderName;

/// Where the persistent data of users lives: `<base>/<credential><suffix>/<user id>`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct UserHomes {
    /// Folder of all homes. Reload.
    pub base: PathBuf,
    /// Folder of the skeletons: a new home is a copy of `<skel>/<credential><suffix>`. Reload.
    pub skel: PathBuf,
    /// Names of files and folders in a skeleton that are not copied, as shell patterns (`*`, `?`, `[a-z]`, `[!a]`).
    /// Reload.
    pub skel_ignore_files: Vec<NamePattern>,
    /// Owner of a new home, where K8s Manager may change owners. Reload.
    pub uid: u32,
    /// Group of a new home, where K8s Manager may change owners. Reload.
    pub gid: u32,
    /// Which credential's homes a credential uses, where it is not its own. Reload.
    pub credential_mapping: BTreeMap<String, FolderName>,
    /// What is put behind the credential's name for a service: `{"JupyterLab/Default": "_lab"}`. Reload.
    pub service_suffix: BTreeMap<String, FolderName>,
}

impl Default for UserHomes {
    fn default() -> Self {
        Self {
            base: PathBuf::from("/mnt/userhomes"),
            skel: PathBuf::from("/mnt/shared-data/git_config/userhome_skel"),
            skel_ignore_files: Vec::new(),
            uid: 1000,
            gid: 1000,
            credential_mapping: BTreeMap::new(),
            service_suffix: BTreeMap::new(),
        }
    }
}
