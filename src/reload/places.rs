//! Which folders to watch so that no change of a path is missed: that of the file itself, and those of all symbolic
//! links on the way, which a ConfigMap volume or git-sync exchange.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

const MOST_LINKS: usize = 40;

/// What to watch, and which of what happens there matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Files that are there: that one takes the place of another is told of it, too. Not their folders, in which a database may be at
    /// work beside them.
    pub files: BTreeSet<PathBuf>,
    /// Links, and what is not there yet: a folder and the name in it that matters.
    pub names: BTreeSet<(PathBuf, OsString)>,
    /// Folders in which everything matters.
    pub trees: BTreeSet<PathBuf>,
}

impl Places {
    pub fn of(file: Option<&Path>, tree: &Path) -> Self {
        let mut places = Self::default().and_files(file);
        if let Some(real) = places.follow(tree) {
            places.trees.insert(real);
        }
        places
    }

    /// With single files beside.
    pub fn and_files<'a>(mut self, files: impl IntoIterator<Item = &'a Path>) -> Self {
        for file in files {
            if let Some(real) = self.follow(file) {
                self.files.insert(real);
            }
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
                Err(_) if next.exists() => current = next,
                Err(_) => {
                    // Its coming matters.
                    self.names.insert((current, name));
                    return None;
                }
            }
        }
        Some(current)
    }

    /// Whether something that happened to this path matters.
    pub fn concern(&self, path: &Path) -> bool {
        self.trees.iter().any(|tree| path.starts_with(tree))
            || self.files.contains(path)
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
    fn what_else_happens_in_the_folder_of_a_file_wakes_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().canonicalize().unwrap();
        std::fs::create_dir(top.join("descriptions")).unwrap();
        std::fs::write(top.join("config.json"), "{}").unwrap();
        let places = Places::of(Some(&top.join("config.json")), &top.join("descriptions"));
        assert!(places.concern(&top.join("config.json")) && !places.concern(&top.join("k8smgr.sqlite3-wal")));
        assert!(places.names.is_empty(), "{places:?}");
    }

    #[test]
    fn what_is_not_there_yet_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().canonicalize().unwrap();
        let places = Places::of(None, &top.join("not/yet"));
        assert!(places.trees.is_empty() && places.concern(&top.join("not")));
    }
}
