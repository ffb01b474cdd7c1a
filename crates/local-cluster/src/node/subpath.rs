//! Opens what lies below a volume without ever leaving it, whatever the volume's users make of its symlinks meanwhile.
//!
//! The kernel resolves (`openat2`, `RESOLVE_BENEATH`); what is mounted is the open file itself, so no name can be
//! exchanged between the check and the mount.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;

/// Who owns what is made on the way; `None` where this process cannot give files away.
pub type Owner = Option<(u32, u32)>;

#[derive(Debug, thiserror::Error)]
pub enum SubPathError {
    #[error("must be a relative path without '..'")]
    Form,
    #[error("leads out of the volume")]
    Escapes,
    #[error("not found in the volume")]
    NotFound,
    #[error("failed to open: {0}")]
    Open(#[from] Errno),
}

/// Opens `path` below `volume`; folders that are missing are made when `owner_of_new` says whose they are to be.
pub fn open(volume: &Path, path: &str, owner_of_new: Option<Owner>) -> Result<OwnedFd, SubPathError> {
    let path = Path::new(path);
    if path.components().any(|it| !matches!(it, Component::Normal(_) | Component::CurDir)) {
        return Err(SubPathError::Form);
    }
    let root = rustix::fs::open(volume, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let relative = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    match (beneath(&root, relative), owner_of_new) {
        (Err(SubPathError::NotFound), Some(owner)) => {
            make_folders(&root, relative, owner)?;
            beneath(&root, relative)
        }
        (result, _) => result,
    }
}

/// Makes the mount point for something mounted inside a volume: a folder, or an empty file. What exists stays.
pub fn make_mount_point(volume: &Path, path: &Path, folder: bool, owner: Owner) -> Result<(), SubPathError> {
    let root = rustix::fs::open(volume, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    match beneath(&root, path) {
        Err(SubPathError::NotFound) if folder => make_folders(&root, path, owner),
        Err(SubPathError::NotFound) => {
            let parent = path.parent().unwrap_or(Path::new(""));
            make_folders(&root, parent, owner)?;
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            let inside = beneath(&root, parent)?;
            let name = path.file_name().ok_or(SubPathError::Form)?;
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            drop(rustix::fs::openat(&inside, name, flags, Mode::from_raw_mode(0o644))?);
            give(&inside, name, owner);
            Ok(())
        }
        other => other.map(drop),
    }
}

fn beneath(root: impl AsFd, path: &Path) -> Result<OwnedFd, SubPathError> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(root, path, flags, Mode::empty(), resolve).map_err(|error| match error {
        Errno::XDEV | Errno::LOOP => SubPathError::Escapes,
        Errno::NOENT => SubPathError::NotFound,
        other => SubPathError::Open(other),
    })
}

fn make_folders(root: impl AsFd, path: &Path, owner: Owner) -> Result<(), SubPathError> {
    let mut inside = beneath(&root, Path::new("."))?;
    let mut done = std::path::PathBuf::new();
    for part in path.components() {
        let Component::Normal(name) = part else { continue };
        match rustix::fs::mkdirat(&inside, name, Mode::from_raw_mode(0o750)) {
            Ok(()) => give(&inside, name, owner),
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        done.push(name);
        inside = beneath(&root, &done)?;
    }
    Ok(())
}

/// Not being allowed to is no failure: the folder is there, and who may not give files away shares its user anyway.
fn give(folder: impl AsFd, name: &OsStr, owner: Owner) {
    if let Some((uid, gid)) = owner {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        let _ = rustix::fs::chownat(folder, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn nothing_leads_out_of_the_volume() {
        let base = tempfile::tempdir().unwrap();
        let volume = base.path().join("volume");
        std::fs::create_dir_all(volume.join("inner")).unwrap();
        std::fs::create_dir(base.path().join("outer")).unwrap();
        symlink("inner", volume.join("fine")).unwrap();
        symlink("../outer", volume.join("up")).unwrap();
        symlink("/etc", volume.join("absolute")).unwrap();
        symlink("/proc/self/root", volume.join("magic")).unwrap();
        for good in ["", "inner", "fine", "./inner", "new/folder"] {
            open(&volume, good, Some(None)).unwrap();
        }
        assert!(volume.join("new/folder").is_dir());
        for bad in ["..", "../outer", "inner/../..", "/etc"] {
            assert!(matches!(open(&volume, bad, Some(None)), Err(SubPathError::Form)), "{bad}");
        }
        for bad in ["up", "up/x", "absolute", "absolute/passwd", "magic", "up/new/x"] {
            assert!(matches!(open(&volume, bad, Some(None)), Err(SubPathError::Escapes)), "{bad}");
        }
        assert!(matches!(open(&volume, "gone", None), Err(SubPathError::NotFound)));
        assert_eq!(std::fs::read_dir(base.path().join("outer")).unwrap().count(), 0);
    }

    #[test]
    fn mount_points_are_made_inside_and_nowhere_else() {
        let base = tempfile::tempdir().unwrap();
        let volume = base.path().join("volume");
        std::fs::create_dir(&volume).unwrap();
        std::fs::create_dir(base.path().join("outer")).unwrap();
        symlink("../outer", volume.join("up")).unwrap();
        make_mount_point(&volume, Path::new("a/b"), true, None).unwrap();
        make_mount_point(&volume, Path::new("a/file"), false, None).unwrap();
        make_mount_point(&volume, Path::new("a/file"), false, None).unwrap();
        assert!(volume.join("a/b").is_dir() && volume.join("a/file").is_file());
        assert!(make_mount_point(&volume, Path::new("up/x"), true, None).is_err());
        assert!(make_mount_point(&volume, Path::new("up/x"), false, None).is_err());
        assert_eq!(std::fs::read_dir(base.path().join("outer")).unwrap().count(), 0);
    }
}
