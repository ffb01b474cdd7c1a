//! The files of a description: those that play no part, and those whose names select for nobody, or for everybody.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::codes::Code;
use super::finding::{Finding, Findings};
use crate::config::Services;

/// As like as this, one was meant for the other.
const LIKENESS: f64 = 0.9;
const DEEPEST: usize = 32;
const NOTABLE: [&str; 4] = ["yaml", "yml", "json", "hbs"];

/// The names that files may begin with.
pub struct Selectors {
    pub stages: BTreeSet<String>,
    pub credentials: BTreeSet<String>,
}

pub fn check(services: &Services, selectors: &Selectors, folder: &Path, findings: &mut Findings) {
    let (service, update) = (services.yaml_filename.as_str(), services.yaml_filename_update.as_str());
    let known = [service.to_owned(), update.to_owned(), format!("{service}.hbs"), format!("{update}.hbs")];
    for (name, path) in entries(services, folder) {
        if path.is_dir() {
            if name == services.input_dir.as_str() {
                input(services, selectors, &path, 0, findings);
            }
            continue;
        }
        if known.contains(&name) {
            continue;
        }
        let is_notable = path.extension().is_some_and(|it| NOTABLE.contains(&it.to_string_lossy().as_ref()));
        let is_selected = selectors.all().any(|it| name.starts_with(&format!("{it}_")));
        if is_notable && !is_selected {
            let likeness = |it: &&&str| strsim::jaro_winkler(&name, it) > LIKENESS;
            let hint = [service, update].iter().find(likeness).map(|it| format!("; did you mean `{it}`?"));
            let message = format!("`{name}` plays no part{}", hint.unwrap_or_default());
            findings.add(Finding::new(Code::FileUnused, message).at(&path, None));
        }
        selection(services, selectors, &name, &path, findings);
    }
}

impl Selectors {
    fn all(&self) -> impl Iterator<Item = &String> {
        self.stages.iter().chain(&self.credentials)
    }
}

fn entries(services: &Services, folder: &Path) -> Vec<(String, std::path::PathBuf)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && !services.descriptions_ignore_files.iter().any(|it| it.matches(&name)) {
            found.push((name, entry.path()));
        }
    }
    found.sort();
    found
}

fn input(services: &Services, selectors: &Selectors, folder: &Path, depth: usize, findings: &mut Findings) {
    for (name, path) in entries(services, folder) {
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() && depth < DEEPEST {
            input(services, selectors, &path, depth + 1, findings);
        }
        selection(services, selectors, &name, &path, findings);
    }
}

fn selection(services: &Services, selectors: &Selectors, name: &str, path: &Path, findings: &mut Findings) {
    let Some((prefix, _)) = name.split_once('_').filter(|(prefix, _)| !prefix.is_empty()) else { return };
    let begins = |it: &&String| name.starts_with(&format!("{it}_"));
    let is_given_to_all =
        |it: &&String, all: &BTreeSet<String>, skipped: &[String]| all.len() > 1 && !skipped.contains(it);
    let mut matching = selectors.all().filter(begins).peekable();
    if matching.peek().is_some() {
        let stage = selectors.stages.iter().find(begins);
        let credential = selectors.credentials.iter().find(begins);
        if let Some(stage) = stage.filter(|it| is_given_to_all(it, &selectors.stages, &services.skip.stage)) {
            let message = format!("`{name}` goes to other stages than `{stage}` too");
            findings.add(Finding::new(Code::StageNotSkipped, message).at(path, None));
        }
        let skipped = &services.skip.credential;
        if let Some(name_of) = credential.filter(|it| is_given_to_all(it, &selectors.credentials, skipped)) {
            let message = format!("`{name}` goes to other credentials than `{name_of}` too");
            findings.add(Finding::new(Code::StageNotSkipped, message).at(path, None));
        }
        return;
    }
    let likeness = |it: &&String| strsim::jaro_winkler(&prefix.to_lowercase(), it) > LIKENESS;
    if let Some(meant) = selectors.all().find(likeness) {
        let message = format!("`{prefix}` is no stage and no credential; did you mean `{meant}`?");
        findings.add(Finding::new(Code::StageOfFileUnknown, message).at(path, None));
    }
}
