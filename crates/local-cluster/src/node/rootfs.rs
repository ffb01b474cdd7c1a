//! Puts a container's root together from the host's system folders: what is bound read-only, which symlinks are made
//! again, what of /etc is left out, and how room is made for mount points that the host does not have.
//!
//! It reads folder listings and modes only and changes nothing.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

/// The folders of a Linux system that programs need. Each is bound where the host has a folder, and made again as a
/// symlink where it has a symlink (`/bin -> usr/bin`).
const SYSTEM: [&str; 7] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc"];

/// One step of building the root, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootStep {
    ReadOnly {
        source: PathBuf,
        target: PathBuf,
    },
    Symlink {
        content: PathBuf,
        target: PathBuf,
    },
    /// An empty folder that hides the host's, or stands in for it while mount points are made in it.
    Empty {
        target: PathBuf,
    },
    /// A file that the container must not read.
    Hidden {
        target: PathBuf,
    },
    Directory {
        target: PathBuf,
    },
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Root {
    pub steps: Vec<RootStep>,
    /// Folders to be made read-only when all mounts are done.
    pub seal: Vec<PathBuf>,
}

/// Makes `.` and doubled slashes go away and follows the two old names that nearly every image has as symlinks.
/// `None` when the path is relative or has `..`.
pub fn normal(path: &str) -> Option<PathBuf> {
    let mut clean = PathBuf::from("/");
    for part in Path::new(path).components() {
        match part {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => clean.push(name),
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    if !path.starts_with('/') {
        return None;
    }
    let clean = match clean.strip_prefix("/var/run") {
        Ok(rest) => Path::new("/run").join(rest),
        Err(_) => clean,
    };
    Some(clean)
}

/// The steps for a root with the system folders of `host` (`/`, another one in tests), the extra paths, and room for
/// the mount points `targets`, which must be [`normal`].
pub fn root(host: &Path, extra: &[PathBuf], targets: &[PathBuf]) -> io::Result<Root> {
    let mut root = Root::default();
    let targets: Vec<PathBuf> = targets.iter().map(|it| follow_top(host, it)).collect();
    for folder in SYSTEM.map(Path::new) {
        if fs::symlink_metadata(on(host, folder)).is_ok() {
            root.place(host, folder, &targets)?;
        }
    }
    root.place_links_out_of_etc(host)?;
    for path in extra {
        root.place(host, path, &targets)?;
    }
    for target in ["/var/tmp", "/var/lib", "/home", "/mnt", "/opt", "/srv"].map(PathBuf::from) {
        root.steps.push(RootStep::Directory { target });
    }
    root.steps.push(RootStep::Symlink { content: "../run".into(), target: "/var/run".into() });
    Ok(root)
}

/// Where a mount point is once the top-level symlinks (`/lib -> usr/lib`) are followed.
pub fn follow_top(host: &Path, target: &Path) -> PathBuf {
    let mut parts = target.components().skip(1);
    let Some(top) = parts.next() else { return target.to_owned() };
    let top = Path::new("/").join(top);
    match fs::read_link(on(host, &top)) {
        Ok(content) if SYSTEM.iter().any(|it| Path::new(it) == top) => {
            Path::new("/").join(content).join(parts.collect::<PathBuf>())
        }
        _ => target.to_owned(),
    }
}

fn on(host: &Path, path: &Path) -> PathBuf {
    host.join(path.strip_prefix("/").unwrap_or(path))
}

impl Root {
    fn place(&mut self, host: &Path, path: &Path, targets: &[PathBuf]) -> io::Result<()> {
        let source = on(host, path);
        let metadata = fs::symlink_metadata(&source)?;
        let target = path.to_owned();
        let etc = path.starts_with("/etc");
        if metadata.is_symlink() {
            self.steps.push(RootStep::Symlink { content: fs::read_link(&source)?, target });
        } else if etc && hidden(&metadata) {
            if metadata.is_dir() {
                self.steps.push(RootStep::Empty { target: target.clone() });
                self.seal.push(target);
            }
        } else if metadata.is_dir() && lacks_mount_point(host, path, targets) {
            self.steps.push(RootStep::Empty { target: target.clone() });
            let mut names = fs::read_dir(&source)?.map(|it| Ok(it?.file_name())).collect::<io::Result<Vec<_>>>()?;
            names.sort_unstable();
            for name in names {
                self.place(host, &path.join(name), targets)?;
            }
            self.seal.push(target);
        } else if metadata.is_dir() || metadata.is_file() {
            self.steps.push(RootStep::ReadOnly { source: source.clone(), target });
            if etc && metadata.is_dir() {
                self.hide(&source, path)?;
            }
        }
        Ok(())
    }

    /// Covers what not everybody on the host may read (`/etc/shadow`, host keys, other services' passwords): the
    /// container may run as the user who can.
    fn hide(&mut self, source: &Path, path: &Path) -> io::Result<()> {
        let Ok(entries) = fs::read_dir(source) else { return Ok(()) };
        for entry in entries {
            let entry = entry?;
            let metadata = entry.metadata()?;
            let target = path.join(entry.file_name());
            if metadata.is_symlink() {
                continue;
            }
            match (hidden(&metadata), metadata.is_dir()) {
                (true, true) => {
                    self.steps.push(RootStep::Empty { target: target.clone() });
                    self.seal.push(target);
                }
                (true, false) => self.steps.push(RootStep::Hidden { target }),
                (false, true) => self.hide(&entry.path(), &target)?,
                (false, false) => {}
            }
        }
        Ok(())
    }

    /// /etc/resolv.conf and its like are often symlinks into /run, which a container has its own of.
    fn place_links_out_of_etc(&mut self, host: &Path) -> io::Result<()> {
        for name in ["resolv.conf", "hosts", "localtime"] {
            let link = on(host, &Path::new("/etc").join(name));
            if fs::symlink_metadata(&link).is_ok_and(|it| it.is_symlink())
                && let Ok(real) = fs::canonicalize(&link)
                && let Ok(inside) = real.strip_prefix(host)
            {
                let target = Path::new("/").join(inside);
                if !target.starts_with("/etc") && !target.starts_with("/usr") {
                    self.steps.push(RootStep::ReadOnly { source: real.clone(), target });
                }
            }
        }
        Ok(())
    }
}

fn hidden(metadata: &fs::Metadata) -> bool {
    let needed = if metadata.is_dir() { 0o005 } else { 0o004 };
    metadata.permissions().mode() & needed != needed
}

/// Whether a mount point lies below the folder and is missing on the host: a read-only bind has no room for it.
fn lacks_mount_point(host: &Path, folder: &Path, targets: &[PathBuf]) -> bool {
    let uncovered = |target: &&PathBuf| !targets.iter().any(|it| it != *target && target.starts_with(it));
    targets
        .iter()
        .filter(|it| it.starts_with(folder) && *it != folder)
        .filter(uncovered)
        .any(|target| fs::metadata(on(host, target)).is_err())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn host() -> tempfile::TempDir {
        let host = tempfile::tempdir().unwrap();
        for folder in ["usr/bin", "usr/lib", "etc/ssl/private", "etc/app"] {
            fs::create_dir_all(host.path().join(folder)).unwrap();
        }
        for file in ["usr/bin/sh", "etc/passwd", "etc/shadow", "etc/ssl/ca"] {
            fs::write(host.path().join(file), "x").unwrap();
            fs::set_permissions(host.path().join(file), fs::Permissions::from_mode(0o644)).unwrap();
        }
        std::os::unix::fs::symlink("usr/bin", host.path().join("bin")).unwrap();
        fs::set_permissions(host.path().join("etc/shadow"), fs::Permissions::from_mode(0o640)).unwrap();
        fs::set_permissions(host.path().join("etc/ssl/private"), fs::Permissions::from_mode(0o710)).unwrap();
        host
    }

    fn has(root: &Root, step: &RootStep) -> bool {
        root.steps.contains(step)
    }

    #[test]
    fn system_folders_are_read_only_and_what_only_root_reads_is_covered() {
        let host = host();
        let root = root(host.path(), &[], &[]).unwrap();
        assert!(has(&root, &RootStep::ReadOnly { source: host.path().join("usr"), target: "/usr".into() }));
        assert!(has(&root, &RootStep::ReadOnly { source: host.path().join("etc"), target: "/etc".into() }));
        assert!(has(&root, &RootStep::Symlink { content: "usr/bin".into(), target: "/bin".into() }));
        assert!(has(&root, &RootStep::Hidden { target: "/etc/shadow".into() }));
        assert!(has(&root, &RootStep::Empty { target: "/etc/ssl/private".into() }));
        assert_eq!(root.seal, [PathBuf::from("/etc/ssl/private")]);
    }

    #[test]
    fn room_is_made_for_a_mount_point_that_the_host_lacks() {
        let host = host();
        let root = root(host.path(), &[], &["/etc/app/conf.d".into()]).unwrap();
        assert!(has(&root, &RootStep::Empty { target: "/etc".into() }));
        assert!(has(&root, &RootStep::Empty { target: "/etc/app".into() }));
        assert!(has(&root, &RootStep::ReadOnly { source: host.path().join("etc/ssl"), target: "/etc/ssl".into() }));
        assert!(
            !root.steps.iter().any(|it| matches!(it, RootStep::ReadOnly { target, .. } if target == "/etc/shadow"))
        );
        assert!(root.seal.contains(&PathBuf::from("/etc")));
        assert!(has(&root, &RootStep::ReadOnly { source: host.path().join("usr"), target: "/usr".into() }));
    }

    #[test]
    fn a_mount_point_that_the_host_has_needs_no_room() {
        let host = host();
        let root = root(host.path(), &[], &["/etc/app".into(), "/home/user/work".into()]).unwrap();
        assert!(has(&root, &RootStep::ReadOnly { source: host.path().join("etc"), target: "/etc".into() }));
    }

    #[test]
    fn paths_with_dots_are_cleaned_or_refused() {
        let table = [
            ("/a//b/./c", Some("/a/b/c")),
            ("/", Some("/")),
            ("/a/../b", None),
            ("a", None),
            ("/var/run/secrets/x", Some("/run/secrets/x")),
        ];
        for (path, expected) in table {
            assert_eq!(normal(path), expected.map(PathBuf::from), "{path}");
        }
    }
}
