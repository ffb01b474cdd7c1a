//! Names that come from outside, checked once at the door.
//!
//! Whatever becomes a path, a label or part of an object's name is one of these types; further in nobody looks at
//! raw text again.

use std::fmt;

/// JupyterHub allows server names up to this many characters.
const LONGEST_NAME: usize = 255;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The texts of the first two are those of the reference, which hubs show to users.
    #[error("This field may not be blank.")]
    Blank,
    #[error("Null characters are not allowed.")]
    Null,
    #[error("Ensure this field has no more than {LONGEST_NAME} characters.")]
    TooLong,
    #[error("Control characters are not allowed.")]
    Control,
    #[error("Slashes are not allowed.")]
    Slash,
    #[error("Must be a relative path of plain segments below the service descriptions, such as `JupyterLab/Default`.")]
    Path,
    #[error("Use letters, digits and @ . + - _ only, at most 150 characters.")]
    Credential,
}

fn plain(text: &str) -> Result<&str, NameError> {
    let text = text.trim();
    if text.is_empty() {
        Err(NameError::Blank)
    } else if text.contains('\0') {
        Err(NameError::Null)
    } else if text.chars().any(char::is_control) {
        Err(NameError::Control)
    } else if text.chars().count() > LONGEST_NAME {
        Err(NameError::TooLong)
    } else {
        Ok(text)
    }
}

macro_rules! text_type {
    ($name:ident) => {
        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

/// The name of a user's server as the hub knows it: the header `uuidcode`, the last segment of the path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerName(String);
text_type!(ServerName);

impl ServerName {
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let text = plain(text)?;
        if text.contains('/') { Err(NameError::Slash) } else { Ok(Self(text.to_owned())) }
    }

    /// A start of a hub that speaks Outpost's protocol: there only name and start id together say which server is meant, since
    /// every user may have one of a name. `<name>/<start id>`, so that it never meets a name of the other protocol.
    pub fn of_outpost(name: &OutpostName, start_id: &StartId) -> Self {
        Self(format!("{name}/{start_id}"))
    }

    /// As the database and annotations hold it, of either protocol.
    pub fn stored(text: &str) -> Result<Self, NameError> {
        let Some((name, start_id)) = text.split_once('/') else { return Self::parse(text) };
        Ok(Self::of_outpost(&OutpostName::parse(name)?, &StartId::parse(start_id)?))
    }

    /// The name that a hub of Outpost's protocol knows; `None` for the other protocol.
    pub fn outpost_name(&self) -> Option<&str> {
        self.0.split_once('/').map(|(name, _)| name)
    }
}

/// The name of a user's server as a hub of Outpost's protocol sends it: empty for the default server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OutpostName(String);
text_type!(OutpostName);

impl OutpostName {
    /// White space counts here: the hub polls the very name that it sent.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        match plain(text) {
            Ok(_) if text.contains('/') => Err(NameError::Slash),
            Ok(_) => Ok(Self(text.to_owned())),
            Err(NameError::Blank) if text.is_empty() => Ok(Self(String::new())),
            Err(error) => Err(error),
        }
    }
}

/// What tells one start of a server from the next.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StartId(String);
text_type!(StartId);

impl StartId {
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let text = plain(text)?;
        if text.contains('/') { Err(NameError::Slash) } else { Ok(Self(text.to_owned())) }
    }
}

/// `user_options.service`: which service description a user chose, as a relative path such as `JupyterLab/Default`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceName(String);
text_type!(ServiceName);

impl ServiceName {
    /// Slashes at the end do not count, as in the reference.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let text = text.trim_end_matches('/');
        let plain_segment = |segment: &str| {
            !segment.is_empty()
                && segment != "."
                && segment != ".."
                && !segment.contains('\\')
                && !segment.chars().any(char::is_control)
        };
        if text.chars().count() > LONGEST_NAME {
            Err(NameError::TooLong)
        } else if text.split('/').all(plain_segment) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::Path)
        }
    }
}

/// Who called: the name of a hub's user in our database. It becomes a folder's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Credential(String);
text_type!(Credential);

impl Credential {
    /// The characters are those that the reference's user model takes.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let allowed = |c: char| c.is_alphanumeric() || "@.+-_".contains(c);
        let only_dots = text.chars().all(|c| c == '.');
        if text.is_empty() || text.chars().count() > 150 || only_dots || !text.chars().all(allowed) {
            Err(NameError::Credential)
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_users_choose_are_taken() {
        for name in ["lab1", "My Lab", "a.b", "Ü", "..", "*", "a<id>b", r"a\nb", &"x".repeat(255)] {
            assert_eq!(ServerName::parse(name).map(|it| it.0), Ok(name.to_owned()));
        }
        assert_eq!(ServerName::parse(" lab ").map(|it| it.0), Ok("lab".to_owned()));
    }

    #[test]
    fn names_that_could_break_out_are_refused() {
        assert_eq!(ServerName::parse(""), Err(NameError::Blank));
        assert_eq!(ServerName::parse("a/b"), Err(NameError::Slash));
        assert_eq!(ServerName::parse("a\0b"), Err(NameError::Null));
        assert_eq!(StartId::parse("a\nb"), Err(NameError::Control));
        assert_eq!(ServerName::parse("a\u{85}b"), Err(NameError::Control));
        assert_eq!(ServerName::parse(&"x".repeat(256)), Err(NameError::TooLong));
    }

    #[test]
    fn a_start_of_an_outposts_hub_is_named_with_its_id() {
        let start_id = StartId::parse("s1").unwrap();
        for name in ["", "lab", "My Lab ü", " lab "] {
            let named = ServerName::of_outpost(&OutpostName::parse(name).unwrap(), &start_id);
            assert_eq!(named.outpost_name(), Some(name));
            assert_eq!(ServerName::stored(named.as_str()), Ok(named));
        }
        assert_eq!(OutpostName::parse("a/b"), Err(NameError::Slash));
        assert_eq!(OutpostName::parse(" "), Err(NameError::Blank));
        assert_eq!(ServerName::stored("lab"), ServerName::parse("lab"));
        assert_eq!(ServerName::parse("lab").unwrap().outpost_name(), None);
        assert!(ServerName::stored("a/b/c").is_err() && ServerName::stored("a/").is_err());
    }

    #[test]
    fn a_service_is_a_path_below_the_descriptions() {
        assert_eq!(ServiceName::parse("JupyterLab/Run/").map(|it| it.0), Ok("JupyterLab/Run".to_owned()));
        for path in ["", "/", ".", "..", "../x", "/etc", "a//b", "a/./b", "a/../b", "a/..", "a\nb/c", r"a\b"] {
            assert_eq!(ServiceName::parse(path), Err(NameError::Path), "{path}");
        }
    }

    #[test]
    fn a_credential_is_a_plain_file_name() {
        for bad in ["", ".", "..", "a/b", "a b", "a\nb"] {
            assert_eq!(Credential::parse(bad), Err(NameError::Credential), "{bad}");
        }
        assert!(Credential::parse("jupyter-hub_1@site.org").is_ok());
    }
}
