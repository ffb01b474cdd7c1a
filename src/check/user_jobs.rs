//! User jobs: the program ssh, its configuration, and the nodes that may be reached.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::codes::Code;
use super::configuration::ConfigFile;
use super::finding::{Finding, Findings};
use crate::user_jobs::{ALIAS_PREFIX, has_program, read_aliases};

const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Nothing is looked at where user jobs are not wanted.
pub fn check(file: &ConfigFile, ssh_config_file: Option<&Path>, findings: &mut Findings) {
    let Some(ssh_config_file) = ssh_config_file else { return };
    let settings = &file.config.userjobs;
    if !has_program(&settings.ssh_program) {
        let message = format!("there is no program {}", settings.ssh_program.display());
        findings.add(file.finding(Code::SshProgram, message, "/userjobs/ssh_program"));
    }
    match read_aliases(ssh_config_file) {
        Err(error) => findings.add(Finding::new(Code::SshConfiguration, error.to_string()).at(ssh_config_file, None)),
        Ok(hosts) if hosts.is_empty() => {
            let message = format!("there is no `Host {ALIAS_PREFIX}<hostname>`");
            findings.add(Finding::new(Code::SshAliases, message).at(ssh_config_file, None));
        }
        Ok(_) => {}
    }
    let mode = std::fs::metadata(ssh_config_file).map(|it| it.permissions().mode()).unwrap_or_default();
    if mode & WRITABLE_BY_OTHERS != 0 {
        let message =
            format!("others may write to it (mode {:o}), and so run what they like as K8s Manager", mode & 0o777);
        findings.add(Finding::new(Code::SshConfiguration, message).at(ssh_config_file, None));
    }
    for (index, pattern) in settings.allowed_target_nodes.iter().enumerate() {
        let begins_badly = pattern.as_str().starts_with('-');
        if begins_badly || pattern.as_str().is_empty() || pattern.as_str().contains(['/', ':', ' ', '@']) {
            let message = format!("`{}` is not how a node's name or address is written", pattern.as_str());
            findings.add(file.finding(Code::SshTargets, message, &format!("/userjobs/allowed_target_nodes/{index}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::Findings;

    fn codes(config: &str, ssh: Option<(&str, u32)>) -> Vec<&'static str> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ssh_config");
        if let Some((text, mode)) = ssh {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        }
        let mut findings = Findings::default();
        let file = ConfigFile::read(Path::new("config.json"), config, &mut findings).unwrap();
        check(&file, Some(&path), &mut findings);
        findings.sorted().iter().map(|it| it.code.as_str()).collect()
    }

    #[test]
    fn what_would_refuse_every_job_is_told() {
        let good = r#"{"userjobs": {"ssh_program": "/bin/sh"}}"#;
        assert_eq!(codes(good, Some(("Host tunnel_a", 0o600))), Vec::<&str>::new());
        assert_eq!(codes(good, Some(("Host tunnel_*", 0o640))), ["ssh-aliases"]);
        assert_eq!(codes(good, Some(("Host tunnel_a", 0o666))), ["ssh-configuration"]);
        assert_eq!(codes(good, None), ["ssh-configuration"]);
        let bad =
            r#"{"userjobs": {"ssh_program": "/nonexistent/ssh", "allowed_target_nodes": ["node*", "user@node"]}}"#;
        let found = codes(bad, Some(("Host tunnel_a", 0o600)));
        assert!(found.contains(&"ssh-program") && found.contains(&"ssh-targets") && found.len() == 2, "{found:?}");
    }
}
