//! config.json by itself: what cannot be read, what nobody reads, what can never match.

use std::path::Path;

use serde_json::Value;

use super::codes::Code;
use super::finding::{Finding, Findings};
use super::installation::Installation;
use super::lines::{Lines, pointer};
use crate::config::{Config, ConfigError, NamePattern, unknown_keys};

/// A configuration, and where its values stand.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    pub config: Config,
    /// `None` where there is none and all defaults hold.
    path: Option<std::path::PathBuf>,
    lines: Lines,
}

impl ConfigFile {
    pub fn defaults() -> Self {
        Self { config: Config::default(), path: None, lines: Lines::default() }
    }

    /// `None` where it cannot be used, which is told.
    pub fn read(path: &Path, text: &str, findings: &mut Findings) -> Option<Self> {
        let lines = Lines::of(text);
        match Config::from_json(text, &path.display().to_string()) {
            Ok(loaded) => {
                let file = Self { config: loaded.config, path: Some(path.to_owned()), lines };
                let value: Value = serde_json::from_str(text).unwrap_or_default();
                for key in unknown_keys(&value) {
                    let hint = key.meant.map(|it| format!("; did you mean `{it}`?")).unwrap_or_default();
                    let message = format!("the key `{}` is not known{hint}", key.path);
                    findings.add(file.finding(Code::ConfigUnknownKey, message, &pointer(&key.path)));
                }
                Some(file)
            }
            Err(error) => {
                let (code, line, message) = match error {
                    ConfigError::Syntax { line, column, reason, .. } => {
                        (Code::ConfigSyntax, Some(line), format!("not JSON: {reason} (column {column})"))
                    }
                    ConfigError::Value { path, line, reason, .. } => {
                        (Code::ConfigValue, Some(line), format!("`{path}`: {reason}"))
                    }
                    ConfigError::Range { path, reason, .. } => {
                        (Code::ConfigValue, lines.of_value(&pointer(path)), format!("`{path}`: {reason}"))
                    }
                    ConfigError::Read { source, .. } => (Code::ConfigSyntax, None, source.to_string()),
                };
                findings.add(Finding::new(code, message).at(path, line));
                None
            }
        }
    }

    /// A finding about the value at a JSON pointer.
    pub fn finding(&self, code: Code, message: impl Into<String>, pointer: &str) -> Finding {
        let finding = Finding::new(code, message);
        match &self.path {
            Some(path) => finding.at(path, self.lines.of_value(pointer)),
            None => finding,
        }
    }
}

/// What can never match, and users who may do nothing.
pub fn check(file: &ConfigFile, installation: &Installation, findings: &mut Findings) {
    stages(file, findings);
    patterns(file, installation, findings);
    for (name, groups) in &file.config.startup.create_user {
        if groups.is_empty() {
            let message = format!("user `{name}` is in no group");
            findings.add(file.finding(Code::UserWithoutGroup, message, &format!("/startup/create_user/{name}")));
        }
    }
}

fn stages(file: &ConfigFile, findings: &mut Findings) {
    let config = &file.config;
    let replace = &config.services.replace;
    let mut named: Vec<(String, &String)> = Vec::new();
    named.extend(replace.stage.keys().map(|it| (format!("/services/replace/stage/{it}"), it)));
    named.extend(replace.stage_credential.keys().map(|it| (format!("/services/replace/stage_credential/{it}"), it)));
    let skipped = config.services.skip.stage.iter().enumerate();
    named.extend(skipped.map(|(index, it)| (format!("/services/skip/stage/{index}"), it)));
    for (index, hub) in config.tunnel.iter().enumerate() {
        named.extend(hub.stage.keys().map(|it| (format!("/tunnel/{index}/stage/{it}"), it)));
    }
    for (pointer, stage) in named.into_iter().filter(|(_, it)| **it != it.to_lowercase()) {
        let message = format!("the stage `{stage}` has capitals and never matches");
        findings.add(file.finding(Code::StageNeverMatches, message, &pointer));
    }
}

/// A pattern with wildcards may be there for what is to come; a name that no file has is a mistake.
fn patterns(file: &ConfigFile, installation: &Installation, findings: &mut Findings) {
    let (services, homes) = (&file.config.services, &file.config.userhomes);
    let mut told = |pattern: &str, path: String, why: &str| {
        findings.add(file.finding(Code::PatternMatchesNothing, format!("`{pattern}` {why}"), &path));
    };
    let with_path = |it: &NamePattern| it.as_str().contains('/') || it.as_str().is_empty();
    for (index, pattern) in services.descriptions_ignore_files.iter().enumerate() {
        let path = format!("/services/descriptions_ignore_files/{index}");
        let has_wildcard = pattern.as_str().contains(['*', '?', '[']);
        if with_path(pattern) {
            told(pattern.as_str(), path, "matches nothing: names have no `/` and are not empty");
        } else if !has_wildcard && !installation.file_names.contains(pattern.as_str()) {
            told(pattern.as_str(), path, "is the name of no file or folder in the descriptions");
        }
    }
    for (index, pattern) in homes.skel_ignore_files.iter().enumerate().filter(|(_, it)| with_path(it)) {
        let path = format!("/userhomes/skel_ignore_files/{index}");
        told(pattern.as_str(), path, "matches nothing: names have no `/` and are not empty");
    }
    let known = |name: &str| installation.credentials.iter().any(|it| it.as_str() == name);
    for (index, name) in services.skip.credential.iter().enumerate() {
        let prefix = format!("{name}_");
        if !known(name) && !installation.file_names.iter().any(|it| it.contains(&prefix)) {
            let path = format!("/services/skip/credential/{index}");
            told(name, path, "is neither a credential with descriptions nor the beginning of a file's name");
        }
    }
}
