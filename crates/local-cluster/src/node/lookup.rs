//! Finds a container's command as it will be found inside the sandbox, so that a missing one is told in a container
//! runtime's words before anything is started. It reads links and modes on the host and runs nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use super::rootfs::{Root, RootStep};
use super::sandbox::{Mount, Source};

const LINKS_FOLLOWED: usize = 40;

/// Why a command cannot be run, as `runc` words it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LookupError {
    #[error("exec: \"{0}\": executable file not found in $PATH")]
    NotInPath(String),
    #[error("exec: \"{0}\": stat {0}: no such file or directory")]
    NoSuchFile(String),
    #[error("exec: \"{0}\": permission denied")]
    NotExecutable(String),
}

enum Backing {
    Host(PathBuf),
    Link(PathBuf),
    Empty,
}

/// Which host path stands behind each path of the container.
pub struct View(Vec<(PathBuf, Backing)>);

impl View {
    pub fn new(root: &Root, mounts: &[Mount]) -> Self {
        let steps = root.steps.iter().map(|step| match step {
            RootStep::ReadOnly { source, target } => (target.clone(), Backing::Host(source.clone())),
            RootStep::Symlink { content, target } => (target.clone(), Backing::Link(content.clone())),
            RootStep::Empty { target } | RootStep::Hidden { target } | RootStep::Directory { target } => {
                (target.clone(), Backing::Empty)
            }
        });
        let mounts = mounts.iter().map(|mount| {
            let source = match &mount.source {
                Source::Path(path) => path.clone(),
                Source::Descriptor(number) => PathBuf::from(format!("/proc/self/fd/{number}")),
            };
            (mount.target.clone(), Backing::Host(source))
        });
        Self(steps.chain(mounts).collect())
    }

    /// Looks a command up in the folders of PATH, or as a path when it has a slash.
    pub fn find_command(&self, command: &str, search_path: &str, working_dir: &Path) -> Result<(), LookupError> {
        if command.contains('/') {
            return match self.host_path(&working_dir.join(command)) {
                Some(path) if executable(&path) => Ok(()),
                Some(_) => Err(LookupError::NotExecutable(command.to_owned())),
                None => Err(LookupError::NoSuchFile(command.to_owned())),
            };
        }
        let found = search_path
            .split(':')
            .filter(|folder| !folder.is_empty() && !command.is_empty())
            .filter_map(|folder| self.host_path(&working_dir.join(folder).join(command)))
            .any(|path| executable(&path));
        if found { Ok(()) } else { Err(LookupError::NotInPath(command.to_owned())) }
    }

    /// The host's path of an existing path of the container, links followed as they lead inside the container.
    fn host_path(&self, path: &Path) -> Option<PathBuf> {
        let mut rest: Vec<_> = parts(path);
        let mut current = PathBuf::from("/");
        let mut host = None;
        let mut links = 0;
        while let Some(part) = rest.pop() {
            if part == ".." {
                current.pop();
                continue;
            }
            let next = current.join(&part);
            let content = match self.behind(&next) {
                Found::Link(content) => Some(content),
                Found::Host(path) => {
                    let metadata = fs::symlink_metadata(&path).ok()?;
                    let content = if metadata.is_symlink() { Some(fs::read_link(&path).ok()?) } else { None };
                    host = Some(path);
                    content
                }
                Found::Folder => None,
                Found::Nothing => return None,
            };
            match content {
                None => current = next,
                Some(content) => {
                    links += 1;
                    if links > LINKS_FOLLOWED {
                        return None;
                    }
                    if content.is_absolute() {
                        current = PathBuf::from("/");
                    }
                    rest.extend(parts(&content));
                }
            }
        }
        host
    }

    fn behind(&self, path: &Path) -> Found {
        // The last mount that covers the path hides the earlier ones.
        let covering =
            self.0.iter().rev().find_map(|(target, backing)| Some((path.strip_prefix(target).ok()?, backing)));
        let found = match covering {
            Some((inside, Backing::Host(source))) if inside.as_os_str().is_empty() => resolve(source),
            Some((inside, Backing::Host(source))) => Found::Host(source.join(inside)),
            Some((inside, Backing::Link(content))) if inside.as_os_str().is_empty() => Found::Link(content.clone()),
            Some((inside, Backing::Empty)) if inside.as_os_str().is_empty() => Found::Folder,
            Some((_, Backing::Link(_) | Backing::Empty)) | None => Found::Nothing,
        };
        let exists = match &found {
            Found::Host(path) => fs::symlink_metadata(path).is_ok(),
            Found::Link(_) | Found::Folder => true,
            Found::Nothing => false,
        };
        let leads_to_mounts = || self.0.iter().any(|(target, _)| target.starts_with(path));
        if exists {
            found
        } else if leads_to_mounts() {
            Found::Folder
        } else {
            Found::Nothing
        }
    }
}

enum Found {
    Host(PathBuf),
    Link(PathBuf),
    /// A folder that only leads to mounts.
    Folder,
    Nothing,
}

/// The source of a mount is a host path: links in it are the host's.
fn resolve(source: &Path) -> Found {
    fs::canonicalize(source).map_or(Found::Nothing, Found::Host)
}

/// The parts of a path, the first one last.
fn parts(path: &Path) -> Vec<std::ffi::OsString> {
    let mut parts: Vec<_> = path
        .components()
        .filter(|it| matches!(it, Component::Normal(_) | Component::ParentDir))
        .map(|it| it.as_os_str().to_owned())
        .collect();
    parts.reverse();
    parts
}

fn executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn commands_are_found_through_links_as_the_container_sees_them() {
        let host = tempfile::tempdir().unwrap();
        let on = |path: &str| host.path().join(path);
        fs::create_dir_all(on("usr/bin")).unwrap();
        fs::create_dir_all(on("volume/bin")).unwrap();
        for (file, mode) in [("usr/bin/tool", 0o755), ("usr/bin/text", 0o644), ("volume/bin/own", 0o755)] {
            fs::write(on(file), "").unwrap();
            fs::set_permissions(on(file), fs::Permissions::from_mode(mode)).unwrap();
        }
        std::os::unix::fs::symlink("/usr/bin/tool", on("volume/bin/linked")).unwrap();
        std::os::unix::fs::symlink("../../outside", on("volume/bin/lost")).unwrap();
        let root = Root {
            steps: vec![
                RootStep::ReadOnly { source: on("usr"), target: "/usr".into() },
                RootStep::Symlink { content: "usr/bin".into(), target: "/bin".into() },
            ],
            seal: vec![],
        };
        let mount = Mount { source: Source::Path(on("volume")), target: "/home/u".into(), read_only: false };
        let view = View::new(&root, &[mount]);
        let table = [
            ("tool", Ok(())),
            ("own", Err(LookupError::NotInPath("own".into()))),
            ("/home/u/bin/own", Ok(())),
            ("bin/own", Ok(())),
            ("/home/u/bin/linked", Ok(())),
            ("/home/u/bin/lost", Err(LookupError::NoSuchFile("/home/u/bin/lost".into()))),
            ("/usr/bin/text", Err(LookupError::NotExecutable("/usr/bin/text".into()))),
            ("text", Err(LookupError::NotInPath("text".into()))),
            ("", Err(LookupError::NotInPath(String::new()))),
        ];
        for (command, expected) in table {
            assert_eq!(view.find_command(command, "/nowhere:/bin", Path::new("/home/u")), expected, "{command}");
        }
    }
}
