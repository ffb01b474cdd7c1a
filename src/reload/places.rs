//! Which folders to watch so that no change of a path is missed: that of the file itself, and those of all symbolic
//! links on the way, which a ConfigMap volume or git-sync exchange.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

const MOST_LINKS: usize = 40;

/// What to watch, and which of what happens there matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// A folder and the name in it that matters.
    pub names: BTreeSet<(PathBuf, OsString)>,
    /// Folders in which everything matters.
    pub trees: BTreeSet<PathBuf>,
}

impl Places {
    pub fn of(file: Option<&Path>, tree: &Path) -> Self {
        let mut places = Self::default();
        if let Some(file) = file {
            places.follow(file);
        }
        if let Some(real) = places.follow(tree) {
            places.trees.insert(real);
        }
        places
    }

    /// With single files beside.
    pub fn and_files<'a>(mut self, files: impl IntoIterator<Item = &'a Path>) -> Self {
        for file in files {
            self.follow(file);
        }
        self
    }

    /// Notes every name that decides where a path leads, and gives where it leads.
    fn follow(&mut self, path: &Path) -> Option<PathBuf> {
        let path = std::path::absolute(path).ok()?;
        let mut rest: VecDeque<OsString> = path.iter().map(OsString::from).collect();
        let (mut current, mut links) = (PathBuf::from("/"), 0);
        while let Some(name) = rest.pop_front() {
            match Path::new(&name).components().next() {
                Some(Component::ParentDir) => {
                    current.pop();
                    continue;
                }
                Some(Component::Normal(_)) => {}
                _ => continue,
            }
            let next = current.join(&name);
            match next.read_link() {
                Ok(target) => {
                    self.names.insert((current.clone(), name));
                    links += 1;
                    if links > MOST_LINKS {
                        return None;
                    }
                    if target.is_absolute() {
                        current = PathBuf::from("/");
                    }
                    target.iter().rev().for_each(|it| rest.push_front(it.to_owned()));
                }
                Err(_) => {
                    // The last one, or one that is not there: its coming matters.
                    if rest.is_empty() || !next.exists() {
                        self.names.insert((current.clone(), name));
                    }
                    if !next.exists() {
                        return None;
                    }
                    current = next;
                }
            }
        }
        Some(current)
    }

    /// Whether something that happened to this path matters.
    pub fn concern(&self, path: &Path) -> bool {
        self.trees.iter().any(|tree| path.starts_with(tree))
            || self.names.iter().any(|(folder, name)| path == folder.join(name) || path == folder)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_links_of_a_mounted_configmap_and_of_git_sync_are_watched() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(top.join("mount/..2026")).unwrap();
        std::fs::write(top.join("mount/..2026/config.json"), "{}").unwrap();
        symlink("..2026", top.join("mount/..data")).unwrap();
        symlink("..data/config.json", top.join("mount/config.json")).unwrap();
        std::fs::create_dir_all(top.join("git/abc/descriptions")).unwrap();
        symlink("abc", top.join("git/current")).unwrap();

        let places = Places::of(Some(&top.join("mount/config.json")), &top.join("git/current/descriptions"));
        for path in ["mount/config.json", "mount/..data", "mount/..2026/config.json", "git/current"] {
            assert!(places.concern(&top.join(path)), "{path}: {places:?}");
        }
        assert!(places.concern(&top.join("git/abc/descriptions/hub/A/service.yaml")));
        for path in ["mount/other", "git/other", "else"] {
            assert!(!places.concern(&top.join(path)), "{path}: {places:?}");
        }
    }

    #[test]
    fn what_is_not_there_yet_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().canonicalize().unwrap();
        let places = Places::of(None, &top.join("not/yet"));
        assert!(places.trees.is_empty() && places.concern(&top.join("not")));
    }
}
