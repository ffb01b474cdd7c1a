//! flavors.yaml and credits.yaml: what a reload would refuse, and what has no effect.

use std::path::Path;

use super::codes::Code;
use super::configuration::ConfigFile;
use super::finding::{Finding, Findings};
use super::lines::Lines;
use crate::config::Environment;
use crate::flavors::{Credit, Entry, Flavor, RuleError, parse};

pub fn check(file: &ConfigFile, environment: &Environment, findings: &mut Findings) {
    let (flavors, credits) = (&file.config.flavors_file, &file.config.credits_file);
    one::<Flavor>(file, environment.flavors_file.as_deref(), flavors.as_deref(), "/flavors_file", findings);
    one::<Credit>(file, environment.credits_file.as_deref(), credits.as_deref(), "/credits_file", findings);
}

/// What the environment names comes first.
fn one<E: Entry>(
    file: &ConfigFile,
    of_environment: Option<&Path>,
    configured: Option<&Path>,
    pointer: &str,
    findings: &mut Findings,
) {
    let Some(path) = of_environment.or(configured) else { return };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            let is_missing = error.kind() == std::io::ErrorKind::NotFound;
            let code = if is_missing { Code::RulesMissing } else { Code::RulesFile };
            let message = format!("failed to read {}: {error}", path.display());
            return findings.add(match of_environment {
                Some(_) => Finding::new(code, message).at(path, None),
                None => file.finding(code, message, pointer),
            });
        }
    };
    let lines = Lines::of(&text);
    match parse::<E>(&text) {
        Err(error) => findings.add(finding(Code::RulesFile, &error, path, &lines)),
        Ok(None) => {}
        Ok(Some(parsed)) => {
            parsed.warnings.iter().for_each(|it| findings.add(finding(Code::RulesWithoutEffect, it, path, &lines)));
        }
    }
}

fn finding(code: Code, error: &RuleError, path: &Path, lines: &Lines) -> Finding {
    let line = match error {
        RuleError::Yaml(error) => Some(error.line),
        RuleError::Value { path, .. } => {
            // What is missing has no line; what it is missing from has one.
            let pointer = |keys: &[String]| {
                keys.iter().map(|key| format!("/{}", key.replace('~', "~0").replace('/', "~1"))).collect::<String>()
            };
            (1..=path.len()).rev().find_map(|count| lines.of_value(&pointer(&path[..count])))
        }
        RuleError::TooLarge | RuleError::Several => None,
    };
    Finding::new(code, error.to_string()).at(path, line)
}
