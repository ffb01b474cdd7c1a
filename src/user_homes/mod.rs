//! Homes of users, made from a skeleton: a home appears whole or not at all, and is never touched again.
//!
//! Synchronous. What a user can write to (the homes) is never trusted: no link there is followed.

mod copy;
mod stamp;
mod unfinished;

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::config::UserHomes;
use crate::domain::{Credential, ServiceName};
use crate::fail_points::fail_point;

pub use copy::CopyError;
use unfinished::Unfinished;

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

    let unfinished = Unfinished::create(&folder, user_id).map_err(failed("create a home", &folder))?;
    let unfinished = unfinished.path();
    fail_point!(HomeAfterFolder);
    let made = fill(config, &folder_name, unfinished).and_then(|warnings| {
        fail_point!(HomeBeforeRename);
        place(unfinished, &home).map(|()| warnings).map_err(failed("put a home in its place", &home))
    });
    match made {
        Ok(warnings) => {
            fail_point!(HomeAfterRename);
            Ok(HomeOutcome { path: home, is_new: true, warnings })
        }
        Err(error) => {
            let _ = fs::remove_dir_all(unfinished);
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

/// Removes what crashes left of homes in the making, of all credentials.
pub fn remove_abandoned(config: &UserHomes) {
    let Ok(folders) = fs::read_dir(&config.base) else { return };
    for folder in folders.flatten().filter(|it| it.file_type().is_ok_and(|it| it.is_dir())) {
        unfinished::remove_abandoned(&folder.path());
    }
}

#[cfg(test)]
mod tests;
