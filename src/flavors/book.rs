//! Who gets what: the sets of hubs and of users, and which of them counts.

use std::fmt;

use super::pattern::{Pattern, Undecided};
use crate::domain::Json;

/// Names and what they stand for, in the order of the file.
pub type Entries<E> = Vec<(String, E)>;

/// A file, read. Each set holds what its members get, overrides applied.
#[derive(Clone, Debug)]
pub struct Book<E> {
    pub(super) all: Entries<E>,
    pub(super) hubs: Vec<HubSet<E>>,
    pub(super) users: Vec<UserSet<E>>,
}

#[derive(Clone, Debug)]
pub(super) struct HubSet<E> {
    pub(super) hubs: Names,
    pub(super) entries: Entries<E>,
}

#[derive(Clone, Debug)]
pub(super) enum Names {
    List(Vec<String>),
    Pattern(Pattern),
}

#[derive(Clone, Debug)]
pub(super) struct UserSet<E> {
    /// `None`: of all hubs.
    pub(super) hubs: Option<Vec<String>>,
    /// Any of them is enough.
    pub(super) wanted: Vec<(String, Values)>,
    /// For those whom none of it matches.
    pub(super) is_negated: bool,
    pub(super) weight: f64,
    pub(super) is_forbidden: bool,
    pub(super) entries: Entries<E>,
}

#[derive(Clone, Debug)]
pub(super) enum Values {
    List(Vec<Json>),
    Pattern(Pattern),
}

/// What somebody gets.
#[derive(Clone, Copy, Debug)]
pub struct Choice<'a, E> {
    pub entries: &'a [(String, E)],
    /// Nothing, and for good.
    pub is_forbidden: bool,
}

/// What a hub says of a user, such as name and groups. May hold a token: never printed, never kept.
#[derive(Clone)]
pub struct Authentication(Vec<(String, Vec<Json>)>);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticationError {
    #[error("authentication must be an object")]
    NoObject,
    #[error("`{0}` must be a text or a list of texts")]
    Nested(String),
    #[error(transparent)]
    Undecided(#[from] Undecided),
}

impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(key, _)| (key, "***"))).finish()
    }
}

impl Authentication {
    /// `None`: the hub says nothing, which null and an empty object do, too.
    pub fn read(value: &Json) -> Result<Option<Self>, AuthenticationError> {
        match value {
            Json::Null => Ok(None),
            Json::Object(members) if members.is_empty() => Ok(None),
            Json::Object(members) => {
                Ok(Some(Self(members.iter().map(|(key, it)| (key.clone(), listed(it))).collect())))
            }
            _ => Err(AuthenticationError::NoObject),
        }
    }

    /// The values of a key, which are plain ones.
    fn plain(&self, key: &str) -> Result<&[Json], AuthenticationError> {
        let values = self.0.iter().find(|(name, _)| name == key).map_or(&[][..], |(_, values)| values);
        match values.iter().any(|it| matches!(it, Json::List(_) | Json::Object(_))) {
            true => Err(AuthenticationError::Nested(key.to_owned())),
            false => Ok(values),
        }
    }
}

fn listed(value: &Json) -> Vec<Json> {
    match value {
        Json::List(items) => items.clone(),
        value => vec![value.clone()],
    }
}

impl<E> Book<E> {
    /// What all users of a hub get. The first set that matches counts.
    pub fn of_hub(&self, hub: &str) -> Result<Choice<'_, E>, AuthenticationError> {
        for set in &self.hubs {
            if set.hubs.hold(hub)? {
                return Ok(Choice { entries: &set.entries, is_forbidden: false });
            }
        }
        Ok(Choice { entries: &self.all, is_forbidden: false })
    }

    /// What a user gets: by the heaviest set that matches, the last of equal ones; else what the hub gets.
    pub fn of_user(&self, hub: &str, user: Option<&Authentication>) -> Result<Choice<'_, E>, AuthenticationError> {
        let Some(user) = user else { return self.of_hub(hub) };
        let mut heaviest: Option<&UserSet<E>> = None;
        for set in self.users.iter().filter(|it| it.is_of_hub(hub)) {
            if set.holds(user)? && heaviest.is_none_or(|it| set.weight >= it.weight) {
                heaviest = Some(set);
            }
        }
        match heaviest {
            Some(set) if set.is_forbidden => Ok(Choice { entries: &[], is_forbidden: true }),
            Some(set) => Ok(Choice { entries: &set.entries, is_forbidden: false }),
            None => self.of_hub(hub),
        }
    }

    /// Whether it matters for a hub's users who they are.
    pub fn asks_who_users_are(&self, hub: &str) -> bool {
        self.users.iter().any(|it| it.is_of_hub(hub))
    }
}

impl Names {
    fn hold(&self, name: &str) -> Result<bool, Undecided> {
        match self {
            Names::List(names) => Ok(names.iter().any(|it| it == name)),
            Names::Pattern(pattern) => pattern.matches_hub(name),
        }
    }
}

impl<E> UserSet<E> {
    fn is_of_hub(&self, hub: &str) -> bool {
        self.hubs.as_ref().is_none_or(|it| it.iter().any(|name| name == hub))
    }

    fn holds(&self, user: &Authentication) -> Result<bool, AuthenticationError> {
        let mut is_matched = false;
        for (key, wanted) in &self.wanted {
            for value in user.plain(key)? {
                is_matched |= wanted.hold(value)?;
            }
        }
        Ok(is_matched != self.is_negated)
    }
}

impl Values {
    fn hold(&self, value: &Json) -> Result<bool, Undecided> {
        match self {
            Values::List(values) => Ok(values.contains(value)),
            Values::Pattern(pattern) => pattern.matches_user(&value.python_str()),
        }
    }
}
