//! One thing that happened, as every handler gets it.

use jiff::Timestamp;

use super::Level;
use super::redact::redacted;
use crate::domain::Json;

/// What the reference calls its logger.
pub const LOGGER: &str = "K8sMgr";

#[derive(Clone, Debug)]
pub struct Record {
    pub time: Timestamp,
    pub level: Level,
    pub file: String,
    pub line: u32,
    pub function: String,
    message: String,
    extras: Vec<(String, Json)>,
}

impl Record {
    /// Secrets in the message and in the extras become `***` here: no handler ever sees them. Of two extras with one
    /// name the first stays.
    pub fn new(
        time: Timestamp,
        level: Level,
        (file, line, function): (&str, u32, &str),
        message: &str,
        extras: impl IntoIterator<Item = (String, Json)>,
    ) -> Self {
        let mut kept: Vec<(String, Json)> = Vec::new();
        for (name, value) in extras {
            if kept.iter().all(|(it, _)| *it != name) {
                let value = redacted(&name, value);
                kept.push((name, value));
            }
        }
        let message = match redacted("", Json::String(message.to_owned())) {
            Json::String(text) => text,
            other => other.to_text(),
        };
        Self { time, level, file: file.to_owned(), line, function: function.to_owned(), message, extras: kept }
    }

    pub fn message(&self) -> &str {
        &self.message
    }

    pub fn extras(&self) -> &[(String, Json)] {
        &self.extras
    }
}
