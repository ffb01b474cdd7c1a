//! Section `outpost`: hubs that are none, and descriptions that are not there.

use super::codes::Code;
use super::configuration::ConfigFile;
use super::finding::Findings;
use super::installation::Installation;
use crate::config::{DescriptionPath, Environment};
use crate::domain::Credential;

pub fn check(file: &ConfigFile, installation: &Installation, environment: &Environment, findings: &mut Findings) {
    for (hub, outpost) in &file.config.outpost {
        let pointer = format!("/outpost/{}", escaped(hub));
        let has_descriptions = installation.credentials.iter().any(|it| it.as_str() == hub);
        let is_made = file.config.startup.create_user.keys().any(|it| it.as_str() == hub)
            || environment.outpost_users.iter().any(|(it, _)| it.as_str() == hub);
        if !has_descriptions && !is_made {
            let message = format!("outpost.{hub}: no hub of that name has descriptions or is made at the start");
            findings.add(file.finding(Code::HubUnknown, message, &pointer));
            continue;
        }
        let default = outpost.default_service.iter().map(|it| ("default_service".to_owned(), it));
        let profiles = outpost.profiles.iter().map(|(name, it)| (format!("profiles/{}", escaped(name)), it));
        for (key, path) in default.chain(profiles) {
            if !is_there(file, installation, hub, path) {
                let message = format!("outpost.{hub}.{}: there is no description `{}`", key.replace('/', "."), path.0);
                findings.add(file.finding(Code::OutpostDescription, message, &format!("{pointer}/{key}")));
            }
        }
    }
}

fn is_there(file: &ConfigFile, installation: &Installation, hub: &str, path: &DescriptionPath) -> bool {
    let Ok(credential) = Credential::parse(hub) else { return false };
    let folder = Installation::folder_of(&file.config.services, &credential);
    installation.services.get(&folder).is_some_and(|services| services.contains(&path.0))
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
