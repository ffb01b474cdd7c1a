//! The rules in force, shared by all rooms; what they say to a start, and to a hub that asks.

use std::sync::Arc;

use tokio::sync::watch;

use super::book::{Authentication, AuthenticationError, Book, Choice};
use super::entries::{Credit, Flavor};
use crate::domain::{Claim, Credential, Json, Limits, Refusal};

/// What one of the files says.
#[derive(Debug)]
pub enum Source<E> {
    /// There is none, or it is empty: nothing is asked for.
    Absent,
    Book(Arc<Book<E>>),
    /// It could not be read since the process began: nobody knows what is allowed.
    Unreadable,
}

impl<E> Clone for Source<E> {
    fn clone(&self) -> Self {
        match self {
            Source::Absent => Source::Absent,
            Source::Book(book) => Source::Book(book.clone()),
            Source::Unreadable => Source::Unreadable,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Rules {
    pub flavors: Source<Flavor>,
    pub credits: Source<Credit>,
}

impl Default for Rules {
    fn default() -> Self {
        Self { flavors: Source::Absent, credits: Source::Absent }
    }
}

/// A handle to the rules; clones see the same ones.
#[derive(Clone, Default)]
pub struct SharedRules(Arc<watch::Sender<Arc<Rules>>>);

impl SharedRules {
    /// From now on these are in force.
    pub fn replace(&self, rules: Rules) {
        self.0.send_replace(Arc::new(rules));
    }

    pub fn current(&self) -> Arc<Rules> {
        self.0.borrow().clone()
    }
}

/// A start, as far as flavors go.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    pub hub: &'a Credential,
    /// As its hub calls it.
    pub server_name: &'a str,
    pub flavor: Option<&'a str>,
    pub user: Option<&'a Authentication>,
    /// Whether the hub says of every start who the user is. Otherwise what is not said is no reason to refuse.
    pub sends_authentication: bool,
    pub global_max_per_user: Option<u32>,
}

/// The answer to a hub that asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    Json(String),
    /// The file cannot be read.
    Unreadable,
}

impl Rules {
    /// Whether there is a file of flavors.
    pub fn has_flavors(&self) -> bool {
        !matches!(self.flavors, Source::Absent)
    }

    /// What a start counts as, if anything is counted. Whether there is room is the store's to say.
    pub fn claim(&self, wanted: &Wanted<'_>) -> Result<Result<Option<Claim>, Refusal>, AuthenticationError> {
        let book = match &self.flavors {
            Source::Absent => return Ok(Ok(None)),
            Source::Book(book) => book,
            Source::Unreadable => {
                return Ok(Err(Refusal::Unreadable { server_name: wanted.server_name.to_owned() }));
            }
        };
        let hub = wanted.hub.as_str();
        let is_unknown = wanted.user.is_none() && wanted.sends_authentication && book.asks_who_users_are(hub);
        let entries = match is_unknown {
            true => &[],
            false => book.of_user(hub, wanted.user)?.entries,
        };
        let found = entries.iter().find(|(name, _)| Some(name.as_str()) == wanted.flavor);
        Ok(match found {
            Some((name, flavor)) => Ok(Some(Claim {
                flavor: name.clone(),
                limits: Limits { global_per_user: wanted.global_max_per_user.map(i64::from), ..flavor.limits },
                runtime: flavor.runtime,
                resources: flavor.resources.clone(),
            })),
            None => Err(Refusal::NotAllowed {
                server_name: wanted.server_name.to_owned(),
                flavor: wanted.flavor.map(str::to_owned),
                allowed: entries.iter().map(|(name, _)| name.clone()).collect(),
            }),
        })
    }

    /// The flavors of a hub, or of one of its users, each with how many there are of it: `counts` by name. Those in use
    /// come first.
    pub fn flavors_answer(
        &self,
        hub: &Credential,
        user: Option<&Authentication>,
        counts: &[(String, i64)],
    ) -> Result<Answered, AuthenticationError> {
        let book = match &self.flavors {
            Source::Absent => return Ok(Answered::Json("{}".to_owned())),
            Source::Book(book) => book,
            Source::Unreadable => return Ok(Answered::Unreadable),
        };
        let entries = book.of_user(hub.as_str(), user)?.entries;
        let count = |name: &str| counts.iter().find(|(known, _)| known == name).map_or(0, |(_, count)| *count);
        let mut counted: Vec<_> = entries.iter().map(|(name, flavor)| (name, flavor, count(name))).collect();
        // The reference's order is that of the database, which groups by name.
        counted.sort_by_key(|(name, _, count)| (*count == 0, (*count > 0).then_some(*name)));
        let members = counted.into_iter().map(|(name, flavor, count)| {
            let mut members = flavor.members.clone();
            members.retain(|(key, _)| key != "current");
            members.push(("current".to_owned(), Json::Integer(count.to_string())));
            (name.clone(), Json::Object(members))
        });
        Ok(Answered::Json(Json::Object(members.collect()).to_text()))
    }

    /// The credits of a hub, or of one of its users.
    pub fn credits_answer(
        &self,
        hub: &Credential,
        user: Option<&Authentication>,
    ) -> Result<Answered, AuthenticationError> {
        let book = match &self.credits {
            Source::Absent => return Ok(Answered::Json("{}".to_owned())),
            Source::Book(book) => book,
            Source::Unreadable => return Ok(Answered::Unreadable),
        };
        let Choice { entries, is_forbidden } = book.of_user(hub.as_str(), user)?;
        if is_forbidden {
            return Ok(Answered::Json(r#"{"cap":0,"grant_value":0,"grant_interval":86400}"#.to_owned()));
        }
        let members = entries.iter().map(|(name, Credit(value))| (name.clone(), value.clone()));
        Ok(Answered::Json(Json::Object(members.collect()).to_text()))
    }

    /// A flavor as it holds for the users of a hub about whom nothing more is known. Sets of users start from all flavors, so
    /// that it need not be among the hub's.
    pub fn flavor(&self, hub: &Credential, name: &str) -> Option<&Flavor> {
        let Source::Book(book) = &self.flavors else { return None };
        let entries = book.of_hub(hub.as_str()).ok()?.entries;
        entries.iter().chain(&book.all).find(|(known, _)| known == name).map(|(_, flavor)| flavor)
    }
}
