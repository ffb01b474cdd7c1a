//! The hubs that are told of a restart, of their users' starts and of their flavors, and asked for their servers: URLs,
//! certificates, credentials.

use super::codes::Code;
use super::configuration::ConfigFile;
use super::finding::{Finding, Findings};
use super::installation::Installation;
use crate::config::{CertificatePath, Cleanup};
use crate::tls::trust;

/// The credentials of those that name none of their own.
const COMMON_CREDENTIALS: [&str; 2] = ["TUNNELSVC_K8SMGR_USER_TOKEN", "TUNNELSVC_K8SMGR_USER_PASSWORD"];

/// `is_set` says whether an environment variable has a value.
pub fn check(
    file: &ConfigFile,
    installation: &Installation,
    cleanup: &Cleanup,
    is_set: impl Fn(&str) -> bool,
    findings: &mut Findings,
) {
    for (index, hub) in file.config.tunnel.iter().enumerate() {
        let at = |key: &str| format!("/tunnel/{index}/{key}");
        let name = if hub.hostname.is_empty() { format!("tunnel[{index}]") } else { hub.hostname.clone() };
        let of_stages = hub
            .stage
            .iter()
            .filter_map(|(stage, it)| Some((format!("stage/{stage}/restart_url"), it.restart_url.as_ref()?)));
        let urls: Vec<_> = hub.restart_url.iter().map(|it| ("restart_url".to_owned(), it)).chain(of_stages).collect();
        for (key, url) in &urls {
            if let Some(reason) = what_is_wrong(url) {
                let message = format!("hub {name}: the restart_url {reason}");
                findings.add(file.finding(Code::HubUrl, message, &at(key)));
            }
        }
        if urls.is_empty() {
            continue;
        }
        if hub.hostname.is_empty() {
            let message = format!("hub {name}: there is no hostname");
            findings.add(file.finding(Code::HubHostname, message, &format!("/tunnel/{index}")));
        }
        certificate(file, &format!("hub {name}"), &hub.certificate_path, &at("certificate_path"), findings);
        match &hub.cred_env_name {
            Some(variable) if !is_set(variable) => {
                let message = format!("hub {name}: the environment variable {variable} is not set");
                findings.add(file.finding(Code::HubCredentials, message, &at("cred_env_name")));
            }
            None if !COMMON_CREDENTIALS.iter().any(|it| is_set(it)) => {
                let message = format!("hub {name}: neither of {} is set", COMMON_CREDENTIALS.join(", "));
                findings.add(file.finding(Code::HubCredentials, message, &format!("/tunnel/{index}")));
            }
            _ => {}
        }
    }
    hubs_of_starts(file, installation, findings);
    flavor_tokens(file, is_set, findings);
    lists_of_servers(file, installation, cleanup, findings);
    log_directories(file, findings);
}

/// Section `hubs`.
fn hubs_of_starts(file: &ConfigFile, installation: &Installation, findings: &mut Findings) {
    for (credential, hub) in &file.config.hubs {
        let pointer = format!("/hubs/{}", credential.replace('~', "~0").replace('/', "~1"));
        if !is_known(file, installation, credential) {
            let message = format!("hubs.{credential}: no hub of that name has descriptions or is made at the start");
            findings.add(file.finding(Code::HubUnknown, message, &pointer));
        }
        let whose = format!("hubs.{credential}");
        certificate(file, &whose, &hub.certificate_path, &format!("{pointer}/certificate_path"), findings);
    }
}

/// Whether somebody is known by this login: who was added later may be a hub, too, but has descriptions.
fn is_known(file: &ConfigFile, installation: &Installation, login: &str) -> bool {
    installation.credentials.iter().any(|it| it.as_str() == login)
        || file.config.startup.create_user.keys().any(|it| it.as_str() == login)
}

/// Section `outpost`: where tokens are.
fn flavor_tokens(file: &ConfigFile, is_set: impl Fn(&str) -> bool, findings: &mut Findings) {
    for (login, hub) in &file.config.outpost {
        let at = |key: &str| format!("/outpost/{}/{key}", login.replace('~', "~0").replace('/', "~1"));
        if let Some(path) = &hub.flavors_update_token_file {
            let problem = match std::fs::read_to_string(path) {
                Ok(text) if text.trim().is_empty() => Some("is empty".to_owned()),
                Ok(_) => None,
                Err(error) => Some(format!("cannot be read: {error}")),
            };
            if let Some(problem) = problem {
                let message = format!("outpost.{login}: the file {} {problem}", path.display());
                findings.add(file.finding(Code::FlavorsToken, message, &at("flavors_update_token_file")));
            }
        }
        if let Some(variable) = hub.flavors_update_token_env.as_ref().filter(|it| !is_set(it)) {
            let message = format!("outpost.{login}: the environment variable {variable} is not set");
            findings.add(file.finding(Code::FlavorsToken, message, &at("flavors_update_token_env")));
        }
    }
}

/// What the environment says of the hubs that are asked for their servers.
fn lists_of_servers(file: &ConfigFile, installation: &Installation, cleanup: &Cleanup, findings: &mut Findings) {
    for problem in &cleanup.problems {
        findings.add(Finding::new(Code::CleanupLists, problem.clone()));
    }
    let unknown = cleanup.hubs.iter().filter(|it| !is_known(file, installation, it.credential.as_str()));
    for hub in unknown {
        let message = format!("JUPYTERHUB_CLEANUP_NAMES: no hub of the name {} has descriptions", hub.credential);
        findings.add(Finding::new(Code::CleanupLists, message));
    }
}

/// The URL itself is not told: it may hold a password.
fn what_is_wrong(url: &str) -> Option<&'static str> {
    match url.parse::<http::Uri>() {
        Err(_) => Some("cannot be read as a URL"),
        Ok(uri) if !matches!(uri.scheme_str(), Some("http" | "https")) => {
            Some("does not begin with http:// or https://")
        }
        Ok(uri) if uri.host().is_none_or(str::is_empty) => Some("names no host"),
        Ok(_) => None,
    }
}

fn certificate(file: &ConfigFile, whose: &str, path: &CertificatePath, pointer: &str, findings: &mut Findings) {
    match path {
        CertificatePath::System => {}
        CertificatePath::Unverified => {
            let message = format!("{whose}: TLS is not verified");
            findings.add(file.finding(Code::HubUnverified, message, pointer));
        }
        CertificatePath::File(path) => {
            if let Err(error) = trust::authorities(path) {
                findings.add(file.finding(Code::HubCertificate, format!("{whose}: {error}"), pointer));
            }
        }
    }
}

/// The bounds of log handlers.
fn log_directories(file: &ConfigFile, findings: &mut Findings) {
    for (index, folder) in file.config.logs.directories.iter().enumerate() {
        if !folder.is_dir() {
            let finding: Finding = file.finding(
                Code::LogDirectory,
                format!("{} is no folder", folder.display()),
                &format!("/logs/directories/{index}"),
            );
            findings.add(finding);
        }
    }
}
