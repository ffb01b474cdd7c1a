//! What a credential may use.

use std::fmt;
use std::str::FromStr;

/// A group of the API. The superuser needs none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// Services and user jobs.
    Webservice,
    /// Log handlers and the log test.
    Logging,
}

impl Group {
    pub const ALL: [Group; 2] = [Group::Webservice, Group::Logging];

    pub fn as_str(self) -> &'static str {
        match self {
            Group::Webservice => "access_to_webservice",
            Group::Logging => "access_to_logging",
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("unknown group `{0}`; the groups are access_to_webservice and access_to_logging")]
pub struct UnknownGroup(String);

impl FromStr for Group {
    type Err = UnknownGroup;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Group::ALL.into_iter().find(|it| it.as_str() == text).ok_or_else(|| UnknownGroup(text.to_owned()))
    }
}
