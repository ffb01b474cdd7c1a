//! A report for people, as a table, and for machines, as JSON.

use std::fmt::Write;

use serde_json::{Value, json};

use super::Report;
use super::finding::{Finding, Severity};

/// The shape of the JSON; it grows when a member changes its meaning or goes.
const VERSION: u32 = 1;

/// A line a finding, and one that counts.
pub fn table(report: &Report) -> String {
    let mut rows = vec![["WHERE", "SEVERITY", "CODE", "WHAT AND WHAT TO DO"].map(str::to_owned)];
    for finding in &report.findings {
        let place = match (&finding.file, finding.line) {
            (Some(file), Some(line)) => format!("{file}:{line}"),
            (Some(file), None) => file.clone(),
            (None, _) => "-".to_owned(),
        };
        let told = format!("{}{}", finding.message, audience(finding, report));
        let end = if told.ends_with(['?', '.']) { "" } else { "." };
        let what = format!("{told}{end} {}", finding.code.remedy());
        let what = what.replace(char::is_control, " ");
        rows.push([place, finding.severity.as_str().to_owned(), finding.code.as_str().to_owned(), what]);
    }
    let mut text = String::new();
    if rows.len() > 1 {
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
        let widths = [width(0), width(1), width(2)];
        for [place, severity, code, what] in &rows {
            let [a, b, c] = widths;
            let _ = writeln!(text, "{place:a$}  {severity:b$}  {code:c$}  {what}");
        }
    }
    let _ = writeln!(text, "{}", summary(report));
    text
}

fn summary(report: &Report) -> String {
    let (errors, warnings) = (report.count(Severity::Error), report.count(Severity::Warning));
    let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let looked = format!(
        "{}, {}, {}",
        plural(report.descriptions, "description"),
        plural(report.credentials.len(), "credential"),
        plural(report.stages.len(), "stage")
    );
    match errors + warnings {
        0 => format!("{looked}: no findings"),
        _ => format!("{looked}: {}, {}", plural(errors, "error"), plural(warnings, "warning")),
    }
}

/// For whom it holds, where that is not everybody.
fn audience(finding: &Finding, report: &Report) -> String {
    let stages: Vec<&str> = distinct(finding.audiences.iter().filter_map(|it| it.stage.as_deref()));
    let credentials: Vec<&str> = distinct(finding.audiences.iter().map(|it| it.credential.as_str()));
    let mut parts = Vec::new();
    if !credentials.is_empty() && credentials.len() < report.credentials.len() {
        parts.push(format!("credential {}", credentials.join(", ")));
    }
    if !stages.is_empty() && stages.len() < report.stages.len() {
        parts.push(format!("stage {}", stages.join(", ")));
    }
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join("; ")) }
}

fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    names.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

pub fn json(report: &Report) -> String {
    let findings: Vec<Value> = report.findings.iter().map(finding).collect();
    let value = json!({
        "version": VERSION,
        "errors": report.count(Severity::Error),
        "warnings": report.count(Severity::Warning),
        "descriptions": report.descriptions,
        "credentials": report.credentials,
        "stages": report.stages,
        "findings": findings,
    });
    let mut text = serde_json::to_string_pretty(&value).unwrap_or_default();
    text.push('\n');
    text
}

fn finding(finding: &Finding) -> Value {
    let audiences = finding.audiences.iter().map(|it| json!({"credential": it.credential, "stage": it.stage}));
    json!({
        "code": finding.code.as_str(),
        "severity": finding.severity.as_str(),
        "file": finding.file,
        "line": finding.line,
        "message": finding.message,
        "remedy": finding.code.remedy(),
        "audiences": audiences.collect::<Vec<_>>(),
    })
}
