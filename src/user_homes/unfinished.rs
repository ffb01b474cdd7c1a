//! A home in the making: a folder beside the homes, locked for as long as its maker lives. A lock ends with its process,
//! so that what a crash left is told from what another process is making, whatever the clock says.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

/// No user id begins with a dot.
const PREFIX: &str = ".k8smgr-new-";
/// Where the file system knows no locks, what is in the making for longer than this was left by a crash.
const ABANDONED_AFTER: Duration = Duration::from_secs(60 * 60);
const MOST_ATTEMPTS: usize = 8;

pub(super) struct Unfinished {
    path: PathBuf,
    _lock: File,
}

impl Unfinished {
    pub(super) fn create(folder: &Path, user_id: i64) -> io::Result<Self> {
        for _ in 0..MOST_ATTEMPTS {
            let path = folder.join(format!("{PREFIX}{user_id}-{}", uuid::Uuid::new_v4().simple()));
            DirBuilder::new().mode(0o700).create(&path)?;
            // Before it is locked somebody may take it for abandoned and remove it.
            if let Some(lock) = lock(&path)? {
                return Ok(Self { path, _lock: lock });
            }
        }
        Err(io::Error::other("it was removed again and again by another process"))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Locks a new folder. `None`: it is being removed, or was.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let folder = match open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    if flock(&folder, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
        return Ok(None);
    }
    let is_there = fs::symlink_metadata(path).is_ok_and(|it| folder.metadata().is_ok_and(|own| own.ino() == it.ino()));
    Ok(is_there.then_some(folder))
}

fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::DIRECTORY;
    fs::OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

/// Removes what a crash left in a folder of homes. What cannot be removed now waits for the next time.
pub(super) fn remove_abandoned(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(|it| it.file_name().to_string_lossy().starts_with(PREFIX)) {
        let path = entry.path();
        let Ok(opened) = open(&path) else { continue };
        let is_abandoned = match flock(&opened, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => true,
            Err(Errno::WOULDBLOCK) => false,
            Err(_) => is_old(&opened),
        };
        if is_abandoned {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

fn is_old(folder: &File) -> bool {
    let changed = folder.metadata().and_then(|it| it.modified());
    changed.is_ok_and(|it| SystemTime::now().duration_since(it).is_ok_and(|age| age > ABANDONED_AFTER))
}
