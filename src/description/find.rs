//! Finds the descriptions beneath `services.descriptions`: every folder with a service.yaml.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::Services;
use crate::domain::ServiceName;

/// What is deeper or beyond so many entries is no less a description: it is read from the disk at each start.
const DEEPEST: usize = 8;
const MOST_ENTRIES: usize = 20_000;

/// The folder of a credential, and a service in it.
pub type Key = (String, ServiceName);

#[derive(Debug, Default)]
pub struct Found {
    pub descriptions: BTreeSet<Key>,
    /// Could not be looked into, relative to the descriptions: what was known beneath stays known.
    pub unreadable: Vec<(PathBuf, io::Error)>,
}

impl Found {
    /// Whether a description is not there any more.
    pub fn lacks(&self, key: &Key) -> bool {
        let path = Path::new(&key.0).join(key.1.as_str());
        !self.descriptions.contains(key) && !self.unreadable.iter().any(|(beneath, _)| path.starts_with(beneath))
    }
}

pub fn descriptions(services: &Services) -> Found {
    let mut walk = Walk { services, entries_left: MOST_ENTRIES, above: Vec::new(), found: Found::default() };
    walk.folder(&services.descriptions, Path::new(""));
    walk.found
}

struct Walk<'a> {
    services: &'a Services,
    entries_left: usize,
    /// The folders on the way here, after links.
    above: Vec<PathBuf>,
    found: Found,
}

impl Walk<'_> {
    fn folder(&mut self, path: &Path, relative: &Path) {
        let is_top = relative.as_os_str().is_empty();
        let entries = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let entries = match entries {
            Ok(entries) => entries,
            // A folder that has just gone; when all descriptions have, it is a volume that is missing.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !is_top => return,
            Err(error) => return self.found.unreadable.push((relative.to_owned(), error)),
        };
        let Ok(real) = path.canonicalize() else { return };
        if self.above.len() > DEEPEST || self.above.contains(&real) {
            return;
        }
        self.above.push(real);
        let names: Vec<String> = entries.iter().filter_map(|it| it.file_name().into_string().ok()).collect();
        let yaml = self.services.yaml_filename.as_str();
        let is_description = names.iter().any(|it| it.strip_suffix(".hbs").unwrap_or(it) == yaml);
        if is_description {
            self.note(relative);
        }
        for name in names {
            // `..data` of a ConfigMap and `.git` hold no descriptions of their own.
            let is_input = is_description && name == self.services.input_dir.as_str();
            let Some(left) = self.entries_left.checked_sub(1) else { break };
            self.entries_left = left;
            let below = path.join(&name);
            if !name.starts_with('.') && !is_input && below.is_dir() {
                self.folder(&below, &relative.join(&name));
            }
        }
        self.above.pop();
    }

    /// The first part of the path is the credential's folder.
    fn note(&mut self, relative: &Path) {
        let mut parts = relative.iter().filter_map(|it| it.to_str());
        let Some(folder) = parts.next() else { return };
        let service = parts.collect::<Vec<_>>().join("/");
        if let Ok(service) = ServiceName::parse(&service) {
            self.found.descriptions.insert((folder.to_owned(), service));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::config::Config;

    #[test]
    fn every_folder_with_a_service_yaml_is_a_description() {
        let folder = tempfile::tempdir().unwrap();
        for file in [
            "hub/A/service.yaml",
            "hub/A/input/service.yaml",
            "hub/A/B/service.yaml.hbs",
            "hub/C/update.yaml",
            "hub/.git/service.yaml",
            "other/deep/er/service.yaml",
            "service.yaml",
            "hub/service.yaml",
        ] {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        symlink("..", folder.path().join("hub/A/loop")).unwrap();
        symlink("A", folder.path().join("hub/link")).unwrap();
        let text = format!(r#"{{"services": {{"descriptions": {:?}}}}}"#, folder.path());
        let services = Config::from_json(&text, "x").unwrap().config.services;
        let found = descriptions(&services);
        let names: Vec<_> = found.descriptions.iter().map(|(folder, service)| format!("{folder}/{service}")).collect();
        assert_eq!(names, ["hub/A", "hub/A/B", "hub/link", "hub/link/B", "other/deep/er"]);
        assert!(found.unreadable.is_empty());

        fs::remove_dir_all(folder.path().join("hub/C")).unwrap();
        let key = |service: &str| ("hub".to_owned(), ServiceName::parse(service).unwrap());
        assert!(found.lacks(&key("C")) && !found.lacks(&key("A")));
        drop(folder);
        // All of them gone at once is a volume that is missing.
        let found = descriptions(&services);
        assert!(!found.lacks(&key("A")) && found.unreadable.len() == 1);
    }
}
