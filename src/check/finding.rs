//! A finding, and the list of them: one mistake is told once, with the stages and credentials that it holds for.

use std::collections::BTreeSet;
use std::path::Path;

use super::codes::Code;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// A start, or something an operator relies on, fails.
    Error,
    /// It works, and probably not as was meant.
    Warning,
}

impl Severity {
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// For whom a description was rendered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Audience {
    pub credential: String,
    pub stage: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub code: Code,
    pub severity: Severity,
    /// As the configuration leads to it.
    pub file: Option<String>,
    pub line: Option<usize>,
    pub message: String,
    /// Empty where it is about no rendering.
    pub audiences: BTreeSet<Audience>,
}

impl Finding {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: code.severity(),
            file: None,
            line: None,
            message: message.into(),
            audiences: BTreeSet::new(),
        }
    }

    pub fn at(mut self, file: &Path, line: Option<usize>) -> Self {
        self.file = Some(file.display().to_string());
        self.line = line;
        self
    }

    pub fn milder(mut self, is_milder: bool) -> Self {
        if is_milder {
            self.severity = Severity::Warning;
        }
        self
    }

    fn is_same(&self, other: &Finding) -> bool {
        (self.code, self.severity, &self.file, self.line, &self.message)
            == (other.code, other.severity, &other.file, other.line, &other.message)
    }
}

/// What was found, each mistake once.
#[derive(Clone, Debug, Default)]
pub struct Findings(Vec<Finding>);

impl Findings {
    pub fn add(&mut self, finding: Finding) {
        match self.0.iter_mut().find(|it| it.is_same(&finding)) {
            Some(known) => known.audiences.extend(finding.audiences),
            None => self.0.push(finding),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// By file and line; what has no file comes last.
    pub fn sorted(mut self) -> Vec<Finding> {
        self.0.sort_by(|a, b| {
            let key = |it: &Finding| (it.file.is_none(), it.file.clone(), it.line, it.code, it.message.clone());
            key(a).cmp(&key(b))
        });
        self.0
    }
}
