//! Removes a folder whose content belongs to a container's user, who may have nested it as deep and locked it as much
//! as the disk allows.
//!
//! It never recurses, holds a handful of descriptors, never follows a symlink, and goes on after what it cannot remove.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, Mode, OFlags};
use rustix::io::Errno;

/// What the owner needs to empty a folder and to move it.
const OWNER_ALL: u32 = 0o700;

/// Removes a folder or file, on a thread that may block. What is not there is no failure.
pub async fn remove(path: PathBuf) -> io::Result<()> {
    tokio::task::spawn_blocking(move || remove_tree(&path)).await.map_err(io::Error::other)?
}

/// The same on this thread. The error is the first that kept the folder from going.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let above = match rustix::fs::open(above, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        other => other?,
    };
    match rustix::fs::unlinkat(&above, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => {}
        Err(Errno::NOENT) => return Ok(()),
        other => return Ok(other?),
    }
    let mut top = Top { folder: unlocked(&above, name)?, mark: uuid::Uuid::new_v4().simple().to_string(), moved: 0 };
    let failed = loop {
        let moved = top.moved;
        let failed = top.empty()?;
        // Only a folder that was moved up gives another pass something to do.
        if top.moved == moved {
            break failed;
        }
    };
    let removed = rustix::fs::unlinkat(&above, name, AtFlags::REMOVEDIR);
    removed.map_err(|error| failed.unwrap_or(error).into())
}

/// The folder to be removed. Whatever folder lies deeper than one level is moved up into it, so that no path grows.
struct Top {
    folder: OwnedFd,
    /// No name of the container's user begins with it.
    mark: String,
    moved: u64,
}

impl Top {
    /// One pass; gives the first failure.
    fn empty(&mut self) -> io::Result<Option<Errno>> {
        let mut failed = None;
        for entry in entries(&self.folder)? {
            let entry = entry?;
            if !is_dots(entry.file_name())
                && let Err(error) = self.remove(entry.file_name())
            {
                failed.get_or_insert(error);
            }
        }
        Ok(failed)
    }

    fn remove(&mut self, name: &CStr) -> Result<(), Errno> {
        match rustix::fs::unlinkat(&self.folder, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => {}
            other => return other,
        }
        let inside = unlocked(&self.folder, name)?;
        let mut failed = None;
        for entry in entries(&inside)? {
            let entry = entry?;
            if !is_dots(entry.file_name())
                && let Err(error) = self.remove_or_move_up(&inside, entry.file_name())
            {
                failed.get_or_insert(error);
            }
        }
        let removed = rustix::fs::unlinkat(&self.folder, name, AtFlags::REMOVEDIR);
        removed.map_err(|error| failed.unwrap_or(error))
    }

    fn remove_or_move_up(&mut self, from: &OwnedFd, name: &CStr) -> Result<(), Errno> {
        match rustix::fs::unlinkat(from, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => {}
            other => return other,
        }
        // A folder that its owner may not write to cannot be moved either.
        unlocked(from, name)?;
        rustix::fs::renameat(from, name, &self.folder, format!("{}-{}", self.mark, self.moved))?;
        self.moved += 1;
        Ok(())
    }
}

/// Opens a folder, never a link to one, and gives its owner every right to it.
fn unlocked(above: impl AsFd, name: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(above, name, flags, Mode::empty())?;
    let mode = rustix::fs::fstat(&folder)?.st_mode & 0o7777;
    if mode & OWNER_ALL != OWNER_ALL {
        // What goes wrong here is told by the step that needs it.
        let path = format!("/proc/self/fd/{}", folder.as_raw_fd());
        let _ = rustix::fs::chmod(path, Mode::from_raw_mode(mode | OWNER_ALL));
    }
    Ok(folder)
}

fn entries(folder: &OwnedFd) -> Result<Dir, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Dir::new(rustix::fs::openat(folder, ".", flags, Mode::empty())?)
}

fn is_dots(name: &CStr) -> bool {
    matches!(name.to_bytes(), b"." | b"..")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn folders_nested_deeper_than_the_stack_are_removed() {
        let base = tempfile::tempdir().unwrap();
        let top = base.path().join("top");
        fs::create_dir(&top).unwrap();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut inside = rustix::fs::open(&top, flags, Mode::empty()).unwrap();
        for _ in 0..3_000 {
            rustix::fs::mkdirat(&inside, "d", Mode::from_raw_mode(0o755)).unwrap();
            inside = rustix::fs::openat(&inside, "d", flags, Mode::empty()).unwrap();
        }
        let (stack, folder) = (128 * 1024, top.clone());
        let small = std::thread::Builder::new().stack_size(stack).spawn(move || remove_tree(&folder)).unwrap();
        small.join().unwrap().unwrap();
        assert!(!top.exists());
    }

    #[test]
    fn locked_folders_are_removed_and_links_are_not_followed() {
        let base = tempfile::tempdir().unwrap();
        let (top, outside) = (base.path().join("top"), base.path().join("outside"));
        fs::create_dir_all(top.join("a/b/c")).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("file"), "kept").unwrap();
        fs::write(top.join("a/b/c/file"), "").unwrap();
        fs::set_permissions(&outside, fs::Permissions::from_mode(0o555)).unwrap();
        for link in ["link", "a/link", "a/b/c/link"] {
            symlink(&outside, top.join(link)).unwrap();
        }
        for (folder, mode) in [("a/b/c", 0o000), ("a/b", 0o555), ("a", 0o111), ("", 0o555)] {
            fs::set_permissions(top.join(folder), fs::Permissions::from_mode(mode)).unwrap();
        }
        remove_tree(&top).unwrap();
        assert!(fs::symlink_metadata(&top).is_err());
        assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "kept");
        assert_eq!(fs::metadata(&outside).unwrap().permissions().mode() & 0o777, 0o555);
        remove_tree(&top).unwrap();
        symlink(&outside, &top).unwrap();
        remove_tree(&top).unwrap();
        assert!(fs::symlink_metadata(&top).is_err() && outside.join("file").exists());
        fs::set_permissions(&outside, fs::Permissions::from_mode(0o755)).unwrap();
    }
}
