//! Section `startup`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::domain::Credential;
use crate::domain::group::Group;

/// What is done once at the start of K8s Manager.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Startup {
    /// Users to create where `<NAME>_USER_PASS` (the name in capitals) holds a password, with their groups:
    /// `access_to_webservice` (start and stop services), `access_to_logging` (change log handlers). Users that exist
    /// are never changed. Restart.
    #[serde(deserialize_with = "read_users", serialize_with = "write_users")]
    #[schemars(with = "BTreeMap<String, Vec<GroupName>>")]
    pub create_user: BTreeMap<Credential, Vec<Group>>,
}

/// The two groups, for the schema.
#[derive(JsonSchema)]
#[allow(dead_code, non_camel_case_types)]
enum GroupName {
    access_to_webservice,
    access_to_logging,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct UserName(Credential);

impl<'de> Deserialize<'de> for UserName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Credential::parse(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

struct KnownGroup(Group);

impl<'de> Deserialize<'de> for KnownGroup {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

fn read_users<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<Credential, Vec<Group>>, D::Error> {
    let users = BTreeMap::<UserName, Vec<KnownGroup>>::deserialize(deserializer)?;
    Ok(users.into_iter().map(|(name, groups)| (name.0, groups.into_iter().map(|it| it.0).collect())).collect())
}

fn write_users<S: Serializer>(users: &BTreeMap<Credential, Vec<Group>>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(users.iter().map(|(name, groups)| {
        let groups: Vec<_> = groups.iter().map(|it| it.as_str()).collect();
        (name.as_str(), groups)
    }))
}
