//! How our objects are told from everybody else's: labels for machines, annotations for people.
//!
//! Label values are short hashes, because names may be anything; the names themselves stand in annotations.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use jiff::Timestamp;

use super::{Credential, ServerName, StartId};

pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
pub const MANAGED_BY: &str = "k8smgr";
/// Which installation (database) an object belongs to.
pub const INSTALLATION_LABEL: &str = "k8smgr.io/installation";
pub const CREDENTIAL_LABEL: &str = "k8smgr.io/credential";
pub const SERVER_LABEL: &str = "k8smgr.io/server";
pub const START_LABEL: &str = "k8smgr.io/start";
/// One value for everything that one start made.
pub const SERVICE_LABEL: &str = "k8smgr.io/service";
/// On pod templates whose pods say whether the service runs.
pub const ROLE_LABEL: &str = "k8smgr.io/role";
pub const MAIN_ROLE: &str = "main";
/// On those pod templates: which container says whether the service runs.
pub const MAIN_CONTAINER_ANNOTATION: &str = "k8smgr.io/main-container";
/// `"true"` on an object that outlives the service, such as a user's volume claim.
pub const KEEP_ANNOTATION: &str = "k8smgr.io/keep";

/// The labels of one start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    installation: String,
    credential: String,
    server: String,
    start: String,
    service: String,
    tag: ServiceTag,
}

/// The value of `SERVICE_LABEL` as it is kept in memory: it is a hash, and two words hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ServiceTag(u128);

impl ServiceTag {
    /// `None`: not one of ours.
    pub fn parse(label: &str) -> Option<Self> {
        let is_digit = |it: u8| matches!(it, b'0'..=b'9' | b'a'..=b'f');
        let is_ours = label.len() == 32 && label.bytes().all(is_digit);
        is_ours.then(|| u128::from_str_radix(label, 16).ok().map(Self)).flatten()
    }
}

impl std::fmt::Display for ServiceTag {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&label_value(self.0))
    }
}

impl Mark {
    /// The date tells a start from an earlier one of the same name and start id, whose last objects may still be going.
    pub fn new(
        installation: &str,
        credential: &Credential,
        server_name: &ServerName,
        start_id: &StartId,
        start_date: Timestamp,
    ) -> Self {
        // No part can hold a slash.
        let tag = ServiceTag(hash(&format!("{credential}/{server_name}/{start_id}/{}", start_date.as_microsecond())));
        Self {
            installation: installation.to_owned(),
            credential: short_hash(credential.as_str()),
            server: short_hash(server_name.as_str()),
            start: short_hash(start_id.as_str()),
            service: tag.to_string(),
            tag,
        }
    }

    /// The mark of a user job's Service. The token tells the job from an earlier one of the same name.
    pub fn of_user_job(installation: &str, credential: &Credential, service: &str, token: &str) -> Self {
        // No start's: a server's name is never empty.
        let tag = ServiceTag(hash(&format!("user-job//{credential}/{service}/{token}")));
        Self {
            installation: installation.to_owned(),
            credential: short_hash(credential.as_str()),
            server: short_hash(service),
            start: short_hash(token),
            service: tag.to_string(),
            tag,
        }
    }

    /// The value of `SERVICE_LABEL`.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// What the watch cache files the service under.
    pub fn tag(&self) -> ServiceTag {
        self.tag
    }

    pub fn labels(&self) -> [(&'static str, &str); 6] {
        [
            (MANAGED_BY_LABEL, MANAGED_BY),
            (INSTALLATION_LABEL, &self.installation),
            (CREDENTIAL_LABEL, &self.credential),
            (SERVER_LABEL, &self.server),
            (START_LABEL, &self.start),
            (SERVICE_LABEL, &self.service),
        ]
    }

    /// The labels of what outlives a start: it belongs to the hub.
    pub fn credential_labels(&self) -> [(&'static str, &str); 3] {
        let [managed_by, installation, credential, ..] = self.labels();
        [managed_by, installation, credential]
    }

    /// Whether an object with these labels was made by this very start.
    pub fn is_on(&self, labels: &BTreeMap<String, String>) -> bool {
        let has = |label: &str, value: &str| labels.get(label).is_some_and(|it| it == value);
        has(INSTALLATION_LABEL, &self.installation) && has(SERVICE_LABEL, &self.service)
    }

    /// Whether an object with these labels was made for the same hub.
    pub fn is_of_credential(&self, labels: &BTreeMap<String, String>) -> bool {
        let has = |label: &str, value: &str| labels.get(label).is_some_and(|it| it == value);
        has(INSTALLATION_LABEL, &self.installation) && has(CREDENTIAL_LABEL, &self.credential)
    }

    /// The label selector for everything that this start made.
    pub fn selector(&self) -> String {
        format!("{INSTALLATION_LABEL}={},{SERVICE_LABEL}={}", self.installation, self.service)
    }
}

/// The beginning of the SHA-256: it fits a label whatever the name.
fn hash(text: &str) -> u128 {
    Sha256::digest(text.as_bytes()).iter().take(16).fold(0, |value, byte| value << 8 | u128::from(*byte))
}

fn label_value(hash: u128) -> String {
    format!("{hash:032x}")
}

fn short_hash(text: &str) -> String {
    label_value(hash(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_fit_whatever_the_names() {
        let credential = Credential::parse(&"ü".repeat(150)).unwrap();
        let (server_name, start_id) = (ServerName::parse(&"ü".repeat(255)).unwrap(), StartId::parse("s 1").unwrap());
        let mark = Mark::new("i1", &credential, &server_name, &start_id, Timestamp::UNIX_EPOCH);
        assert!(mark.labels().iter().all(|(_, value)| value.len() <= 63 && value.is_ascii()));
    }

    #[test]
    fn a_tag_is_the_label_and_nothing_else_is_one() {
        let label = short_hash("lab");
        let digest = Sha256::digest(b"lab");
        assert_eq!(label, digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect::<String>());
        assert_eq!(ServiceTag::parse(&label).unwrap().to_string(), label);
        let zeros = "0".repeat(32);
        assert_eq!(ServiceTag::parse(&zeros).unwrap().to_string(), zeros);
        for other in ["", "s1", &label[1..], &label.to_uppercase(), &format!("+{}", &label[1..]), &format!("{label}0")]
        {
            assert!(ServiceTag::parse(other).is_none(), "{other}");
        }
    }
}
