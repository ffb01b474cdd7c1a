//! Copies a skeleton: plain files and folders with their modes, less setuid, setgid and sticky bits.
//!
//! Links within the skeleton become what they lead to. Those that lead out, FIFOs, sockets and devices stay behind.
//! A skeleton that changes while it is copied is copied again, so that no home is half old and half new.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::stamp::Stamp;
use crate::config::NamePattern;
use crate::fail_points::fail_point;

const DEEPEST: usize = 64;

#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error("failed to copy `{name}` of the skeleton")]
    Io { name: String, path: PathBuf, source: io::Error },
    #[error("`{name}` of the skeleton is a link to a folder that it stands in")]
    Loop { name: String, path: PathBuf },
    #[error("the folders of the skeleton are nested more than {DEEPEST} deep")]
    TooDeep { path: PathBuf },
}

impl CopyError {
    pub fn path(&self) -> &Path {
        match self {
            Self::Io { path, .. } | Self::Loop { path, .. } | Self::TooDeep { path } => path,
        }
    }
}

/// How often.
const ATTEMPTS: usize = 5;

/// Copies into a folder that is there and empty. Without a skeleton it stays empty. Gives warnings of what was left out.
pub(super) fn skeleton(from: &Path, to: &Path, ignored: &[NamePattern]) -> Result<Vec<String>, CopyError> {
    for _ in 1..ATTEMPTS {
        let before = Stamp::of(from);
        let copied = copy(from, to, ignored);
        let (Ok(before), Ok(after)) = (before, Stamp::of(from)) else { return copied };
        if before == after {
            return copied;
        }
        empty(to).map_err(|source| CopyError::Io { name: String::new(), path: to.to_owned(), source })?;
    }
    let mut warnings = copy(from, to, ignored)?;
    warnings.push("the skeleton changed all the while it was copied; the home may hold some of the old one".to_owned());
    Ok(warnings)
}

fn empty(folder: &Path) -> io::Result<()> {
    // A copied folder may be read-only by now.
    fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => {
                empty(&entry.path())?;
                fs::remove_dir(entry.path())?;
            }
            false => fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path, ignored: &[NamePattern]) -> Result<Vec<String>, CopyError> {
    let root = match from.canonicalize() {
        Ok(root) => root,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            set_mode(to, 0o755, "")?;
            return Ok(Vec::new());
        }
        Err(source) => return Err(CopyError::Io { name: String::new(), path: from.to_owned(), source }),
    };
    let mut copier = Copier { root: root.clone(), ignored, warnings: Vec::new() };
    copier.folder(&root, to, "", &mut Vec::new())?;
    Ok(copier.warnings)
}

struct Copier<'a> {
    root: PathBuf,
    ignored: &'a [NamePattern],
    warnings: Vec<String>,
}

impl Copier<'_> {
    /// `above` holds the folders on the way here, after links.
    fn folder(&mut self, from: &Path, to: &Path, shown: &str, above: &mut Vec<PathBuf>) -> Result<(), CopyError> {
        if above.len() > DEEPEST {
            return Err(CopyError::TooDeep { path: from.to_owned() });
        }
        let failed = |source| CopyError::Io { name: shown.to_owned(), path: from.to_owned(), source };
        above.push(from.to_owned());
        let mut entries = fs::read_dir(from).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(failed)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let file_name = entry.file_name();
            let name = file_name.to_string_lossy();
            if self.ignored.iter().any(|pattern| pattern.matches(&name)) {
                continue;
            }
            let below = if shown.is_empty() { name.to_string() } else { format!("{shown}/{name}") };
            self.entry(&entry.path(), &to.join(&file_name), &below, above)?;
        }
        above.pop();
        // Last, as a folder may be read-only.
        let mode = fs::metadata(from).map_err(failed)?.permissions().mode();
        set_mode(to, mode, shown)
    }

    fn entry(&mut self, from: &Path, to: &Path, shown: &str, above: &mut Vec<PathBuf>) -> Result<(), CopyError> {
        let failed = |source| CopyError::Io { name: shown.to_owned(), path: from.to_owned(), source };
        let mut from = from.to_owned();
        let mut metadata = fs::symlink_metadata(&from).map_err(failed)?;
        if metadata.is_symlink() {
            match from.canonicalize() {
                Ok(target) if target.starts_with(&self.root) => {
                    metadata = fs::symlink_metadata(&target).map_err(|source| CopyError::Io {
                        name: shown.to_owned(),
                        path: target.clone(),
                        source,
                    })?;
                    from = target;
                }
                Ok(_) => {
                    self.warn(shown, "a link that leads out of it");
                    return Ok(());
                }
                Err(_) => {
                    self.warn(shown, "a link that leads nowhere");
                    return Ok(());
                }
            }
        }
        let failed = |source| CopyError::Io { name: shown.to_owned(), path: to.to_owned(), source };
        if metadata.is_dir() {
            if above.contains(&from) {
                return Err(CopyError::Loop { name: shown.to_owned(), path: from });
            }
            DirBuilder::new().mode(0o700).create(to).map_err(failed)?;
            self.folder(&from, to, shown, above)
        } else if metadata.is_file() {
            copy_file(&from, to).map_err(failed)?;
            fail_point!(HomeWithinCopy);
            set_mode(to, metadata.permissions().mode(), shown)
        } else {
            self.warn(shown, "neither a file nor a folder");
            Ok(())
        }
    }

    fn warn(&mut self, shown: &str, what: &str) {
        self.warnings.push(format!("`{shown}` of the skeleton is not copied: it is {what}"));
    }
}

fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = fs::File::open(from)?;
    let mut target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    io::copy(&mut source, &mut target).map(|_| ())
}

fn set_mode(path: &Path, mode: u32, shown: &str) -> Result<(), CopyError> {
    let permissions = Permissions::from_mode(mode & 0o777);
    fs::set_permissions(path, permissions).map_err(|source| CopyError::Io {
        name: shown.to_owned(),
        path: path.to_owned(),
        source,
    })
}
