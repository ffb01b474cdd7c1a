//! What a skeleton was like, to see whether it changed while it was copied.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// As deep as a skeleton is copied.
const DEEPEST: usize = 64;

/// Path, inode, size, mode, and the time of the last change (seconds, nanoseconds); of all files and links within.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stamp(Vec<(PathBuf, u64, u64, u32, i64, i64)>);

impl Stamp {
    /// Of the folder that `path` leads to now.
    pub fn of(path: &Path) -> io::Result<Self> {
        let mut entries = Vec::new();
        let root = path.canonicalize()?;
        look(&root, &mut entries, 0)?;
        entries.sort();
        Ok(Self(entries))
    }
}

fn look(folder: &Path, entries: &mut Vec<(PathBuf, u64, u64, u32, i64, i64)>, depth: usize) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, metadata) = (entry.path(), entry.metadata()?);
        if metadata.is_dir() && depth < DEEPEST {
            look(&path, entries, depth + 1)?;
        }
        // Reading changes no time of these; those of a folder tell nothing more than its entries.
        let (seconds, nanoseconds, size) = match metadata.is_dir() {
            true => (0, 0, 0),
            false => (metadata.ctime(), metadata.ctime_nsec(), metadata.size()),
        };
        entries.push((path, metadata.ino(), size, metadata.mode(), seconds, nanoseconds));
    }
    Ok(())
}
