//! The skeletons that new homes are copied from: there, readable, and not too large to be copied within a start.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::codes::Code;
use super::configuration::ConfigFile;
use super::finding::{Finding, Findings};
use super::installation::Installation;
use crate::config::UserHomes;

/// What is copied in a few seconds from a slow disk.
const LARGE_BYTES: u64 = 256 * 1024 * 1024;
const LARGE_FILES: usize = 10_000;
/// As deep as a home is copied.
const DEEPEST: usize = 64;

pub fn check(file: &ConfigFile, installation: &Installation, findings: &mut Findings) {
    let homes = &file.config.userhomes;
    if !homes.skel.is_dir() {
        let message = format!("there is no folder {}", homes.skel.display());
        findings.add(file.finding(Code::SkeletonMissing, message, "/userhomes/skel"));
        return;
    }
    let mut names = BTreeSet::new();
    for credential in &installation.credentials {
        let mapped = homes.credential_mapping.get(credential.as_str()).map_or(credential.as_str(), |it| it.as_str());
        let folder = Installation::folder_of(&file.config.services, credential);
        for service in installation.services.get(&folder).into_iter().flatten() {
            let suffix = homes.service_suffix.get(service.as_str()).map_or("", |it| it.as_str());
            names.insert(format!("{mapped}{suffix}"));
        }
    }
    for name in names {
        let path = homes.skel.join(&name);
        match path.canonicalize() {
            Ok(root) if root.is_dir() => Walk::through(homes, &path, root, findings),
            _ => findings
                .add(Finding::new(Code::SkeletonMissing, format!("there is no folder `{name}`")).at(&path, None)),
        }
    }
}

/// A skeleton that a new home cannot be made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenSkeleton {
    /// The folder's name in `userhomes.skel`; that folder's own where it is all of them.
    pub name: String,
    /// The first thing that cannot be copied, and why.
    pub path: String,
    pub reason: String,
}

/// All folders of `userhomes.skel` that cannot be copied, whoever's they are. One that is not there makes empty homes.
pub fn broken_skeletons(homes: &UserHomes) -> Vec<BrokenSkeleton> {
    let broken = |name: &str, path: &Path, reason: String| BrokenSkeleton {
        name: name.to_owned(),
        path: path.display().to_string(),
        reason,
    };
    let entries = match fs::read_dir(&homes.skel) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => return vec![broken("all", &homes.skel, error.to_string())],
    };
    let mut names: Vec<_> = entries.flatten().map(|it| it.file_name()).collect();
    names.sort();
    let mut all = Vec::new();
    // `..data` of a ConfigMap and `.git` are nobody's.
    for name in names.iter().map(|it| it.to_string_lossy()).filter(|it| !it.starts_with('.')) {
        let path = homes.skel.join(name.as_ref());
        let Some(root) = path.canonicalize().ok().filter(|it| it.is_dir()) else { continue };
        let mut findings = Findings::default();
        let mut walk = Walk { homes, root: root.clone(), bytes: 0, files: 0, stops: true, findings: &mut findings };
        walk.folder(&root, &path, &mut Vec::new());
        let found = findings.sorted().into_iter().find(|it| it.code == Code::SkeletonBroken);
        all.extend(found.map(|it| broken(&name, Path::new(it.file.as_deref().unwrap_or_default()), it.message)));
    }
    all
}

struct Walk<'a> {
    homes: &'a UserHomes,
    root: PathBuf,
    /// Whether the first thing that cannot be copied is enough.
    stops: bool,
    bytes: u64,
    files: usize,
    findings: &'a mut Findings,
}

impl<'a> Walk<'a> {
    fn through(homes: &'a UserHomes, shown: &Path, root: PathBuf, findings: &'a mut Findings) {
        let mut walk = Walk { homes, root: root.clone(), bytes: 0, files: 0, stops: false, findings };
        walk.folder(&root, shown, &mut Vec::new());
        if walk.bytes > LARGE_BYTES || walk.files > LARGE_FILES {
            let message = format!("{} files with {} MiB together", walk.files, walk.bytes / 1024 / 1024);
            walk.findings.add(Finding::new(Code::SkeletonLarge, message).at(shown, None));
        }
    }

    fn folder(&mut self, path: &Path, shown: &Path, above: &mut Vec<PathBuf>) {
        if above.len() > DEEPEST {
            return self.broken(shown, "its folders are nested too deep");
        }
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) => return self.broken(shown, &error.to_string()),
        };
        above.push(path.to_owned());
        for entry in entries.flatten() {
            if self.stops && !self.findings.is_empty() {
                break;
            }
            let name = entry.file_name();
            if !self.homes.skel_ignore_files.iter().any(|it| it.matches(&name.to_string_lossy())) {
                self.entry(&entry.path(), &shown.join(&name), above);
            }
        }
        above.pop();
    }

    fn entry(&mut self, path: &Path, shown: &Path, above: &mut Vec<PathBuf>) {
        let is_link = path.symlink_metadata().is_ok_and(|it| it.is_symlink());
        let path = match path.canonicalize() {
            Ok(target) if is_link && !target.starts_with(&self.root) => {
                return self.left_out(shown, "a link that leads out of the skeleton");
            }
            Ok(target) => target,
            Err(_) if is_link => return self.left_out(shown, "a link that leads nowhere"),
            Err(error) => return self.broken(shown, &error.to_string()),
        };
        let metadata = match path.metadata() {
            Ok(metadata) => metadata,
            Err(error) => return self.broken(shown, &error.to_string()),
        };
        if metadata.is_dir() {
            if above.contains(&path) {
                return self.broken(shown, "it is a link to a folder that it stands in");
            }
            self.folder(&path, shown, above);
        } else if metadata.is_file() {
            self.files += 1;
            self.bytes += metadata.len();
            if let Err(error) = File::open(&path) {
                self.broken(shown, &error.to_string());
            }
        } else {
            self.left_out(shown, "neither a file nor a folder");
        }
    }

    fn broken(&mut self, shown: &Path, why: &str) {
        self.findings.add(Finding::new(Code::SkeletonBroken, format!("this cannot be copied: {why}")).at(shown, None));
    }

    fn left_out(&mut self, shown: &Path, what: &str) {
        if self.stops {
            return;
        }
        self.findings.add(Finding::new(Code::SkeletonLeftOut, format!("this is {what}")).at(shown, None));
    }
}
