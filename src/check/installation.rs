//! What there is to check: which credentials and stages an installation has, and which services each credential.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::codes::Code;
use super::configuration::ConfigFile;
use super::finding::{Finding, Findings};
use crate::config::{Config, Services};
use crate::domain::group::Group;
use crate::domain::{Credential, ServiceName};

/// Deeper folders hold no services.
const DEEPEST: usize = 16;

#[derive(Clone, Debug, Default)]
pub struct Installation {
    /// Those that have a folder of descriptions.
    pub credentials: Vec<Credential>,
    /// `None` where nothing depends on a stage.
    pub stages: Vec<Option<String>>,
    /// By folder.
    pub services: BTreeMap<String, Vec<ServiceName>>,
    /// The names of all files and folders in the descriptions.
    pub file_names: BTreeSet<String>,
}

impl Installation {
    pub fn survey(config: &ConfigFile, stage: Option<&str>, findings: &mut Findings) -> Self {
        let services = &config.config.services;
        let mut it = Self { stages: stages(&config.config, stage), ..Self::default() };
        let folders = match subfolders(&services.descriptions) {
            Ok(folders) => folders,
            Err(error) => {
                let message = format!("failed to read the folder of descriptions: {error}");
                findings.add(Finding::new(Code::DescriptionsMissing, message).at(&services.descriptions, None));
                return it;
            }
        };
        for (name, path) in &folders {
            let mut walk = Walk { services, root: path, found: Vec::new(), names: &mut it.file_names, findings };
            walk.folder(path, "", 0);
            it.services.insert(name.clone(), walk.found);
        }
        it.credentials = credentials(config, &it.services, findings);
        it
    }

    /// The folder of a credential's descriptions.
    pub fn folder_of(services: &Services, credential: &Credential) -> String {
        let mapped = services.credential_mapping.get(credential.as_str());
        mapped.map_or(credential.as_str(), |it| it.as_str()).to_owned()
    }
}

/// Every stage that is spoken of, and the one that K8s Manager is to run in.
fn stages(config: &Config, stage: Option<&str>) -> Vec<Option<String>> {
    let replace = &config.services.replace;
    let named = replace.stage.keys().chain(replace.stage_credential.keys()).chain(&config.services.skip.stage);
    let hubs = config.tunnel.iter().flat_map(|it| it.stage.keys());
    // One with capitals never matches, which is told elsewhere.
    let named = named.chain(hubs).filter(|it| **it == it.to_lowercase());
    let stages: BTreeSet<String> = named.cloned().chain(stage.map(str::to_owned)).collect();
    if stages.is_empty() { vec![None] } else { stages.into_iter().map(Some).collect() }
}

fn credentials(
    file: &ConfigFile,
    folders: &BTreeMap<String, Vec<ServiceName>>,
    findings: &mut Findings,
) -> Vec<Credential> {
    let services = &file.config.services;
    let targets: BTreeSet<&str> = services.credential_mapping.values().map(|it| it.as_str()).collect();
    let hubs = file.config.startup.create_user.iter().filter(|(_, groups)| groups.contains(&Group::Webservice));
    let hubs: BTreeSet<&str> = hubs.map(|(name, _)| name.as_str()).collect();
    let replace = &services.replace;
    let in_replace = replace.stage_credential.values().flat_map(BTreeMap::keys).chain(replace.credential.keys());
    let mut names: BTreeSet<&str> = in_replace.chain(&services.skip.credential).map(String::as_str).collect();
    names.extend(services.credential_mapping.keys().map(String::as_str));
    names.extend(&hubs);
    // What others are mapped to need not be a credential itself.
    names.extend(folders.keys().map(String::as_str).filter(|it| !targets.contains(it)));
    let mut credentials = Vec::new();
    for name in names {
        let Ok(credential) = Credential::parse(name) else { continue };
        let folder = Installation::folder_of(services, &credential);
        if folders.contains_key(&folder) {
            credentials.push(credential);
        } else if services.credential_mapping.contains_key(name) {
            let message = format!("`{name}` is mapped to `{folder}`, and there is no folder of that name");
            let pointer = format!("/services/credential_mapping/{name}");
            findings.add(file.finding(Code::MappingLeadsNowhere, message, &pointer));
        } else if hubs.contains(name) {
            let message = format!("there is no folder `{name}` of descriptions");
            let pointer = format!("/startup/create_user/{name}");
            findings.add(file.finding(Code::CredentialWithoutDescriptions, message, &pointer));
        }
    }
    credentials
}

fn subfolders(folder: &Path) -> std::io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && entry.path().is_dir() {
            found.push((name, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

/// A walk through the descriptions of one folder.
struct Walk<'a> {
    services: &'a Services,
    root: &'a Path,
    found: Vec<ServiceName>,
    names: &'a mut BTreeSet<String>,
    findings: &'a mut Findings,
}

impl Walk<'_> {
    /// Gives whether there is a service here or below, or something was told of what is below.
    fn folder(&mut self, path: &Path, shown: &str, depth: usize) -> bool {
        let Ok(entries) = fs::read_dir(path) else { return false };
        let is_inside =
            path.canonicalize().is_ok_and(|it| self.root.canonicalize().is_ok_and(|root| it.starts_with(root)));
        if depth > DEEPEST || !is_inside {
            return false;
        }
        let (mut files, mut folders) = (0, Vec::new());
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            self.names.insert(name.clone());
            if name.starts_with('.') || self.services.descriptions_ignore_files.iter().any(|it| it.matches(&name)) {
                continue;
            }
            match entry.path().is_dir() {
                true => folders.push((name, entry.path())),
                false => files += 1,
            }
        }
        let mut is_settled = self.is_service(path);
        if is_settled && depth > 0 {
            self.add(path, shown);
        }
        folders.sort();
        for (name, path) in folders {
            let below = if shown.is_empty() { name.clone() } else { format!("{shown}/{name}") };
            if name == self.services.input_dir.as_str() && !self.is_service(&path) {
                files += 1;
                self.note_names(&path, 0);
            } else {
                is_settled |= self.folder(&path, &below, depth + 1);
            }
        }
        if !is_settled && files > 0 && depth > 0 {
            let message = format!("there is no {} in `{shown}`", self.services.yaml_filename.as_str());
            self.findings.add(Finding::new(Code::ServiceYamlMissing, message).at(path, None));
            is_settled = true;
        }
        is_settled
    }

    fn is_service(&self, path: &Path) -> bool {
        let name = self.services.yaml_filename.as_str();
        [name.to_owned(), format!("{name}.hbs")].iter().any(|it| path.join(it).symlink_metadata().is_ok())
    }

    fn add(&mut self, path: &Path, shown: &str) {
        match ServiceName::parse(shown) {
            Ok(name) => self.found.push(name),
            Err(error) => {
                let message = format!("`{}` cannot be a service: {error}", shown.escape_debug());
                self.findings.add(Finding::new(Code::ServiceName, message).at(path, None));
            }
        }
    }

    fn note_names(&mut self, path: &Path, depth: usize) {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            self.names.insert(entry.file_name().to_string_lossy().into_owned());
            if depth < DEEPEST && entry.file_type().is_ok_and(|it| it.is_dir()) {
                self.note_names(&entry.path(), depth + 1);
            }
        }
    }
}
