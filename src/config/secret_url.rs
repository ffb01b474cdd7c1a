//! A database URL, whose password is never printed.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A database URL. Printed with `***` for everything that may hold a password.
#[derive(Clone)]
pub struct SecretUrl(SecretString);

impl SecretUrl {
    pub fn new(url: impl Into<String>) -> Self {
        Self(SecretString::from(url.into()))
    }

    /// The whole URL, for whoever connects.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

/// Takes any text, so that the command line never repeats one that is wrong: who connects reads it.
impl FromStr for SecretUrl {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::new(text))
    }
}

impl PartialEq for SecretUrl {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.expose();
        let Some((scheme, rest)) = url.split_once("://") else { return f.write_str("***") };
        let rest = rest.split(['?', '#']).next().unwrap_or(rest);
        // A password may hold an `@`; the host begins behind the last one.
        match rest.rsplit_once('@') {
            Some((login, host)) => {
                let user = login.split(':').next().unwrap_or_default();
                write!(f, "{scheme}://{user}:***@{host}")
            }
            None => write!(f, "{scheme}://{rest}"),
        }
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'de> Deserialize<'de> for SecretUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl Serialize for SecretUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_printed() {
        for (url, printed) in [
            ("postgresql://u:p@ss@host:5432/db", "postgresql://u:***@host:5432/db"),
            ("postgresql://host/db?password=x", "postgresql://host/db"),
            ("sqlite:///tmp/a.sqlite3", "sqlite:///tmp/a.sqlite3"),
            ("host=x password=y", "***"),
        ] {
            assert_eq!(format!("{0} {0:?}", SecretUrl::new(url)), format!("{printed} {printed}"));
        }
    }
}
