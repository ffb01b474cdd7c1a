//! Homes of users, made from a skeleton: a home appears whole or not at all, and is never touched again.
//!
//! Synchronous. What a user can write to (the homes) is never trusted: no link there is followed.

mod copy;
mod stamp;

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use crate::config::UserHomes;
use crate::domain::{Credential, ServiceName};

pub use copy::CopyError;

/// Beginning of the names of homes in the making. No user id begins with a dot.
const UNFINISHED: &str = ".k8smgr-new-";
/// What is in the making for longer than this was left by a crash.
const ABANDONED_AFTER: Duration = Duration::from_secs(60 * 60);

#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    #[error("failed to {action}")]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("the folder of homes is a link or no folder")]
    NotAFolder { path: PathBuf },
    #[error(transparent)]
    Copy(#[from] CopyError),
}

impl HomeError {
    /// Where it happened, for the log: no client gets to see it.
    pub fn path(&self) -> &Path {
        match self {
            Self::Io { path, .. } | Self::NotAFolder { path } => path,
            Self::Copy(error) => error.path(),
        }
    }
}

/// What became of a request for a home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HomeOutcome {
    pub path: PathBuf,
    pub is_new: bool,
    /// For the log of the operator: what of the skeleton was left out, an owner that could not be set.
    pub warnings: Vec<String>,
}

/// Makes the home `<base>/<credential><suffix>/<user id>` as a copy of `<skel>/<credential><suffix>`, empty where
/// there is no skeleton. A home that is there stays as it is.
pub fn ensure(
    config: &UserHomes,
    credential: &Credential,
    service: &ServiceName,
    user_id: i64,
) -> Result<HomeOutcome, HomeError> {
    let mapped = config.credential_mapping.get(credential.as_str()).map_or(credential.as_str(), |it| it.as_str());
    let suffix = config.service_suffix.get(service.as_str()).map_or("", |it| it.as_str());
    let folder_name = format!("{mapped}{suffix}");
    let folder = config.base.join(&folder_name);
    let home = folder.join(user_id.to_string());
    // A link counts as a home too: it is there, and nothing is written through it.
    if fs::symlink_metadata(&home).is_ok() {
        return Ok(HomeOutcome { path: home, is_new: false, warnings: Vec::new() });
    }
    let failed = |action, path: &Path| {
        let path = path.to_owned();
        move |source| HomeError::Io { action, path, source }
    };
    fs::create_dir_all(&config.base).map_err(failed("create the folder of all homes", &config.base))?;
    make_folder(&folder)?;
    remove_abandoned(&folder);

    let unfinished = folder.join(format!("{UNFINISHED}{user_id}-{}", uuid::Uuid::new_v4().simple()));
    DirBuilder::new().mode(0o700).create(&unfinished).map_err(failed("create a home", &unfinished))?;
    let made = fill(config, &folder_name, &unfinished).and_then(|warnings| {
        place(&unfinished, &home).map(|()| warnings).map_err(failed("put a home in its place", &home))
    });
    match made {
        Ok(warnings) => Ok(HomeOutcome { path: home, is_new: true, warnings }),
        Err(error) => {
            let _ = fs::remove_dir_all(&unfinished);
            // Another start of the same user was quicker.
            match fs::symlink_metadata(&home) {
                Ok(_) => Ok(HomeOutcome { path: home, is_new: false, warnings: Vec::new() }),
                Err(_) => Err(error),
            }
        }
    }
}

/// Puts a home in its place unless one is there. A plain rename would replace an empty home, which a pod may have
/// mounted already; where the file system knows nothing better, it replaces no other.
fn place(unfinished: &Path, home: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    match renameat_with(CWD, unfinished, CWD, home, RenameFlags::NOREPLACE) {
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => fs::rename(unfinished, home),
        result => Ok(result?),
    }
}

fn fill(config: &UserHomes, folder_name: &str, unfinished: &Path) -> Result<Vec<String>, HomeError> {
    let mut warnings = copy::skeleton(&config.skel.join(folder_name), unfinished, &config.skel_ignore_files)?;
    match own(unfinished, config.uid, config.gid) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            static TOLD: AtomicBool = AtomicBool::new(false);
            if !TOLD.swap(true, Ordering::Relaxed) {
                let (uid, gid) = (config.uid, config.gid);
                warnings.push(format!(
                    "homes stay with the user that K8s Manager runs as: it may not give them to {uid}:{gid}"
                ));
            }
        }
        Err(source) => {
            return Err(HomeError::Io { action: "set the owner of a home", path: unfinished.to_owned(), source });
        }
    }
    Ok(warnings)
}

/// The folder of a credential's homes, which must not lead elsewhere.
fn make_folder(folder: &Path) -> Result<(), HomeError> {
    match DirBuilder::new().mode(0o755).create(folder) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match fs::symlink_metadata(folder) {
            Ok(metadata) if metadata.is_dir() => Ok(()),
            _ => Err(HomeError::NotAFolder { path: folder.to_owned() }),
        },
        Err(source) => {
            Err(HomeError::Io { action: "create the folder of a credential's homes", path: folder.to_owned(), source })
        }
    }
}

/// Gives a home and all within to its user.
fn own(path: &Path, uid: u32, gid: u32) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            own(&entry?.path(), uid, gid)?;
        }
    }
    if (metadata.uid(), metadata.gid()) == (uid, gid) {
        return Ok(());
    }
    std::os::unix::fs::lchown(path, Some(uid), Some(gid))
}

/// Removes what a crash left. Nothing depends on it, so a failure waits for the next new home.
fn remove_abandoned(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(UNFINISHED);
        let age = entry.metadata().and_then(|it| it.modified()).map(|it| SystemTime::now().duration_since(it));
        if is_ours && matches!(age, Ok(Ok(age)) if age > ABANDONED_AFTER) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests;
