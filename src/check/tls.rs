//! Certificate and key of the server, and the authority of clients: what would be refused at the start, and what soon
//! will be.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use super::codes::Code;
use super::configuration::ConfigFile;
use super::finding::{Finding, Findings};
use crate::config::Environment;
use crate::tls::{Problem, Role, TlsError, TlsFiles, Validity, load};

/// Less of its time than a third, or than 30 days, is left.
const SOON_PART: u32 = 3;
const SOON: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Others may read it, or others than the owner write it.
const OPEN_MODE: u32 = 0o026;

pub fn check(file: &ConfigFile, environment: &Environment, findings: &mut Findings) {
    let files = match TlsFiles::of(&file.config.tls, environment) {
        Ok(Some(files)) => files,
        Ok(None) => return,
        Err(error) => return findings.add(file.finding(Code::TlsFile, error.to_string(), "/tls/client_ca")),
    };
    let is_configured = environment.tls_files.is_none();
    // Where the configuration says so, else at the file itself.
    let place = |role: Role, code: Code, message: String| match role {
        Role::Certificate if is_configured => file.finding(code, message, "/tls/certificate"),
        Role::Key if is_configured => file.finding(code, message, "/tls/key"),
        Role::Certificate => Finding::new(code, message).at(&files.certificate, None),
        Role::Key => Finding::new(code, message).at(&files.key, None),
        Role::ClientAuthority => file.finding(code, message, "/tls/client_ca"),
    };
    let now = Timestamp::now();
    match load(&files, now) {
        Err(error) => findings.add(refused(&error, place)),
        Ok(material) => {
            for (role, validity) in [(Role::Certificate, material.validity)].into_iter().chain(material.others) {
                if let Some(message) = ends_soon(role, validity, now) {
                    findings.add(place(role, Code::TlsEndsSoon, message));
                }
            }
        }
    }
    if let Some(message) = is_open(&files.key) {
        findings.add(place(Role::Key, Code::TlsKeyPermissions, message));
    }
}

fn refused(error: &TlsError, place: impl Fn(Role, Code, String) -> Finding) -> Finding {
    let source = std::error::Error::source(error).map(|it| format!(": {it}")).unwrap_or_default();
    let message = format!("{error}{source}");
    match error {
        TlsError::Read { role, .. } => place(*role, Code::TlsFile, message),
        TlsError::Bad { role, problem, .. } => place(*role, code(*problem), message),
        TlsError::NothingToServe | TlsError::Unrest | TlsError::Setup(_) => {
            place(Role::Certificate, Code::TlsFile, message)
        }
    }
}

fn code(problem: Problem) -> Code {
    match problem {
        Problem::Empty
        | Problem::NoPem
        | Problem::Der
        | Problem::DamagedPem
        | Problem::KeyInPlaceOfCertificate
        | Problem::CertificateInPlaceOfKey
        | Problem::EncryptedKey
        | Problem::UnsupportedKey
        | Problem::UnreadableCertificate(_) => Code::TlsFile,
        Problem::KeyOfAnother(_) | Problem::Mismatch => Code::TlsKeyMismatch,
        Problem::Expired(_) | Problem::NotYetValid(_) | Problem::ExpiredAuthorities => Code::TlsNotValid,
        Problem::ForeignChain | Problem::NoAuthority(_) => Code::TlsAuthority,
    }
}

fn ends_soon(role: Role, validity: Validity, now: Timestamp) -> Option<String> {
    let until = validity.not_after;
    validity.ends_soon(now, SOON_PART, SOON).then(|| match role {
        Role::ClientAuthority => format!("a certificate authority of clients ends at {until:.0}"),
        Role::Certificate | Role::Key => format!("a certificate of the server ends at {until:.0}"),
    })
}

fn is_open(key: &Path) -> Option<String> {
    let mode = std::fs::metadata(key).ok()?.permissions().mode() & 0o777;
    (mode & OPEN_MODE != 0).then(|| format!("the TLS key {} has the mode {mode:04o}", key.display()))
}
