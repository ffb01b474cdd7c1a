//! A pod's volumes as folders on this machine: made before its containers start, kept while the pod exists.
//!
//! Everything here blocks on the disk and belongs on a thread that may.

mod folders;
mod payload;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

pub use folders::release_claim;

use super::fields::{Capacity, FieldError};
use super::subpath::Owner;
use crate::storage::Storage;

/// Why a volume is not there yet, as a kubelet words it after `MountVolume.SetUp failed for volume "x" : `.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    #[error("{kind} \"{name}\" not found")]
    NotFound { kind: &'static str, name: String },
    #[error("references non-existent {kind} key: {key}")]
    NoKey { kind: &'static str, key: String },
    #[error("invalid path \"{0}\": must be relative and without '..'")]
    Path(String),
    #[error("hostPath type check failed: {} is not a {expected}", path.display())]
    HostPathType { path: PathBuf, expected: &'static str },
    #[error("hostPath \"{0}\" must be absolute and without '..'")]
    HostPathForm(String),
    #[error("volume type is not supported by this node")]
    Unsupported,
    #[error(transparent)]
    Field(#[from] FieldError),
    #[error("entry {0} is no base64")]
    Encoding(String),
    #[error("no token can be issued on this node")]
    NoToken,
    #[error("failed to write: {0}")]
    Io(#[from] io::Error),
}

/// Where a volume is. Containers may rename and link in one that is not `fixed`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    pub path: PathBuf,
    pub read_only: bool,
    pub fixed: bool,
}

/// Gives a pod (the whole object) the token of its ServiceAccount, for the audience asked for.
pub type IssueToken = dyn Fn(&Value, Option<&str>) -> Option<String> + Send + Sync;

/// What the volumes of one pod are made of.
pub struct Maker<'a> {
    pub storage: &'a Storage,
    pub pod: &'a Value,
    /// The folder of this pod's own volumes.
    pub folder: &'a Path,
    /// The folder of all claims.
    pub claims: &'a Path,
    pub owner: Owner,
    pub capacity: Capacity,
    pub issue_token: Option<&'a IssueToken>,
}

impl Maker<'_> {
    /// Makes every volume of the pod; the first that cannot be made is named with the reason.
    pub fn make_all(&self) -> Result<BTreeMap<String, Volume>, (String, VolumeError)> {
        let mut volumes = BTreeMap::new();
        for volume in self.pod["spec"]["volumes"].as_array().into_iter().flatten() {
            let name = volume["name"].as_str().unwrap_or_default().to_owned();
            let made = self.make(&name, volume).map_err(|error| (name.clone(), error))?;
            volumes.insert(name, made);
        }
        Ok(volumes)
    }

    fn make(&self, name: &str, volume: &Value) -> Result<Volume, VolumeError> {
        if !plain_name(name) {
            return Err(VolumeError::Path(name.to_owned()));
        }
        let path = self.folder.join(name);
        if volume["hostPath"].is_object() {
            return folders::host_path(&volume["hostPath"], self.owner);
        }
        if volume["persistentVolumeClaim"].is_object() {
            return folders::claim(self, &volume["persistentVolumeClaim"]);
        }
        if volume["emptyDir"].is_object() {
            let fs_group =
                self.pod["spec"]["securityContext"]["fsGroup"].as_u64().and_then(|it| u32::try_from(it).ok());
            folders::shared_folder(&path, self.owner, fs_group)?;
            return Ok(Volume { path, read_only: false, fixed: false });
        }
        let files = payload::files(self, volume)?.ok_or(VolumeError::Unsupported)?;
        payload::write(&path, &files, self.owner)?;
        Ok(Volume { path, read_only: true, fixed: true })
    }

    fn namespace(&self) -> &str {
        self.pod["metadata"]["namespace"].as_str().unwrap_or_default()
    }
}

/// The API server checks names; a path is made of this one, so it is checked again.
fn plain_name(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0'])
}
