//! The log handlers that are stored, each looked at as the API looks before it takes one. Nothing is opened anew or sent.

use super::codes::Code;
use super::finding::{Finding, Findings};
use crate::config::Config;
use crate::domain::Json;
use crate::log_handlers::{Bounds, Configuration, HandlerKind, look_at};

/// `stored` holds names and configurations. Asks disk and resolver.
pub fn check(stored: &[(String, String)], bounds: &Bounds, findings: &mut Findings) {
    for (name, text) in stored {
        if let Err(reason) = problem(name, text, bounds) {
            findings.add(Finding::new(Code::LogHandler, format!("log handler {name}: {reason}")));
        }
    }
}

fn problem(name: &str, text: &str, bounds: &Bounds) -> Result<(), String> {
    let kind = HandlerKind::named(name).ok_or("there are the handlers stream, file, smtp and syslog")?;
    let stored = Json::parse(text.as_bytes()).map_err(|_| "its configuration is no JSON")?;
    look_at(&Configuration::merged(kind, Some(&stored), None)?, bounds)
}

/// What the configuration lets them write to.
pub fn bounds(config: &Config) -> Bounds {
    let logs = &config.logs;
    Bounds { directories: logs.directories.clone(), targets: logs.targets.clone(), smtp_login: None }
}
