//! The keys that seal what is kept of requests: whether they can be used. Whether they are the right ones only the database tells.

use super::codes::Code;
use super::finding::{Finding, Findings};

/// `error` says why the keys of the environment cannot be used.
pub fn unusable(error: &dyn std::error::Error, findings: &mut Findings) {
    let reason = error.source().map(|it| format!(": {it}")).unwrap_or_default();
    findings.add(Finding::new(Code::CryptKeys, format!("{error}{reason}")));
}
