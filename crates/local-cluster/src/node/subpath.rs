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
    #[error("a symlink is in the way")]
    Link,
    #[error("not found in the volume")]
    NotFound,
    #[error("failed to open: {0}")]
    Open(#[from] Errno),
}

/// What symlinks may do on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// Lead to other places in the volume.
    Inside,
    /// Nothing: whoever uses the path later, by its name, would follow them somewhere else.
    Refused,
}

/// Opens `path` below `volume`; folders that are missing are made when `owner_of_new` says whose they are to be.
pub fn open(volume: &Path, path: &str, owner_of_new: Option<Owner>) -> Result<OwnedFd, SubPathError> {
    let path = Path::new(path);
    if path.components().any(|it| !matches!(it, Component::Normal(_) | Component::CurDir)) {
        return Err(SubPathError::Form);
    }
    let root = rustix::fs::open(volume, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let relative = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    match (beneath(&root, relative, Links::Inside), owner_of_new) {
        (Err(SubPathError::NotFound), Some(owner)) => {
            make_folders(&root, relative, owner, Links::Inside)?;
            beneath(&root, relative, Links::Inside)
        }
        (result, _) => result,
    }
}

/// Checks that a mount point is there, with no link on the way to it.
pub fn check_mount_point(volume: &Path, path: &Path) -> Result<(), SubPathError> {
    let root = rustix::fs::open(volume, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    beneath(root, path, Links::Refused).map(drop)
}

/// Makes the mount point for something mounted inside a volume: a folder, or an empty file. What exists stays.
pub fn make_mount_point(
    volume: &Path,
    path: &Path,
    folder: bool,
    owner: Owner,
    links: Links,
) -> Result<(), SubPathError> {
    let root = rustix::fs::open(volume, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    match beneath(&root, path, links) {
        Err(SubPathError::NotFound) if folder => make_folders(&root, path, owner, links),
        Err(SubPathError::NotFound) => {
            let parent = path.parent().unwrap_or(Path::new(""));
            make_folders(&root, parent, owner, links)?;
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            let inside = beneath(&root, parent, links)?;
            let name = path.file_name().ok_or(SubPathError::Form)?;
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            drop(rustix::fs::openat(&inside, name, flags, Mode::from_raw_mode(0o644))?);
            give(&inside, name, owner);
            Ok(())
        }
        other => other.map(drop),
    }
}

fn beneath(root: impl AsFd, path: &Path, links: Links) -> Result<OwnedFd, SubPathError> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let resolve = match links {
        Links::Inside => ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS,
        Links::Refused => ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
    };
    rustix::fs::openat2(root, path, flags, Mode::empty(), resolve).map_err(|error| match error {
        Errno::LOOP if links == Links::Refused => SubPathError::Link,
        Errno::XDEV | Errno::LOOP => SubPathError::Escapes,
        Errno::NOENT => SubPathError::NotFound,
        other => SubPathError::Open(other),
    })
}

fn make_folders(root: impl AsFd, path: &Path, owner: Owner, links: Links) -> Result<(), SubPathError> {
    let mut inside = beneath(&root, Path::new("."), links)?;
    let mut done = std::path::PathBuf::new();
    for part in path.components() {
        let Component::Normal(name) = part else { continue };
        match rustix::fs::mkdirat(&inside, name, Mode::from_raw_mode(0o750)) {
            Ok(()) => give(&inside, name, owner),
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        done.push(name);
        inside = beneath(&root, &done, links)?;
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
        symlink("a", volume.join("within")).unwrap();
        symlink("../outer/new", volume.join("file")).unwrap();
        let make = |path: &str, folder, links| make_mount_point(&volume, Path::new(path), folder, None, links);
        make("a/b", true, Links::Refused).unwrap();
        make("a/file", false, Links::Refused).unwrap();
        make("a/file", false, Links::Refused).unwrap();
        make("within/c", true, Links::Inside).unwrap();
        assert!(volume.join("a/b").is_dir() && volume.join("a/file").is_file() && volume.join("a/c").is_dir());
        for (path, folder) in [("up/x", true), ("up/x", false), ("file", false)] {
            make(path, folder, Links::Inside).unwrap_err();
            assert!(matches!(make(path, folder, Links::Refused), Err(SubPathError::Link)), "{path}");
        }
        let check = |path: &str| check_mount_point(&volume, Path::new(path));
        check("a/file").unwrap();
        assert!(matches!(check("within/c"), Err(SubPathError::Link)));
        assert!(matches!(check("file"), Err(SubPathError::Link)));
        assert!(matches!(check("gone"), Err(SubPathError::NotFound)));
        assert_eq!(std::fs::read_dir(base.path().join("outer")).unwrap().count(), 0);
    }
}
