//! Flavors: what a start counts as, how many there may be of it, and why one more is refused.

use jiff::SignedDuration;

use super::{Credential, Json};

/// The flavor of one start.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    pub flavor: String,
    pub limits: Limits,
    /// How long it runs at most. `None`: as long as it likes.
    pub runtime: Option<SignedDuration>,
    /// What the flavor says of resources, for descriptions; an object.
    pub resources: Json,
}

/// How many starts there may be at the same time; `None`: as many as are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Of the flavor and the user of a hub.
    pub per_user: Option<i64>,
    /// Of the flavor and the hub.
    pub max: Option<i64>,
    /// Of the user of a hub, whatever the flavor.
    pub global_per_user: Option<i64>,
}

/// The limit that one more start would pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitReached {
    PerUser(i64),
    Max(i64),
    GlobalPerUser(i64),
}

impl Limits {
    /// Which limit forbids one more beside these, in the order in which they are looked at.
    pub fn reached(self, counted: Counted) -> Option<LimitReached> {
        let is_full = |limit: &i64, count: i64| count >= *limit;
        let per_user = self.per_user.filter(|it| is_full(it, counted.of_flavor_and_user)).map(LimitReached::PerUser);
        per_user
            .or_else(|| self.max.filter(|it| is_full(it, counted.of_flavor)).map(LimitReached::Max))
            .or_else(|| self.global_per_user.filter(|it| is_full(it, counted.of_user)).map(LimitReached::GlobalPerUser))
    }
}

/// The starts of a hub that are neither stopping nor over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    pub of_flavor: i64,
    pub of_flavor_and_user: i64,
    pub of_user: i64,
}

/// Why a start is refused. The texts are the reference's, to the letter: hubs show them to users.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(
        "{server_name} - Start with flavor {} not allowed. Allowed values for user: {}",
        flavor.as_deref().unwrap_or("None"), python_list(allowed)
    )]
    NotAllowed { server_name: String, flavor: Option<String>, allowed: Vec<String> },
    #[error("{server_name} - Start with flavor {flavor} not allowed. Each user may only start {most} of {flavor}")]
    PerUser { server_name: String, flavor: String, most: i64 },
    #[error("{server_name} - Start with {flavor} for {hub} not allowed. Maximum ({most}) already reached.")]
    Max { server_name: String, flavor: String, hub: Credential, most: i64 },
    #[error("{server_name} - User with user id {user_id} of {hub} has reached the maximum limit of services ({most})")]
    GlobalPerUser { server_name: String, user_id: i64, hub: Credential, most: i64 },
    /// Ours: nothing is known of what is allowed.
    #[error("{server_name} - Start not allowed for now: the flavors of K8s Manager cannot be read. Its log says why.")]
    Unreadable { server_name: String },
}

impl LimitReached {
    /// In words, for a start of this server.
    pub fn refusal(self, server_name: &str, flavor: &str, hub: &Credential, user_id: i64) -> Refusal {
        let (server_name, flavor, hub) = (server_name.to_owned(), flavor.to_owned(), hub.clone());
        match self {
            LimitReached::PerUser(most) => Refusal::PerUser { server_name, flavor, most },
            LimitReached::Max(most) => Refusal::Max { server_name, flavor, hub, most },
            LimitReached::GlobalPerUser(most) => Refusal::GlobalPerUser { server_name, user_id, hub, most },
        }
    }
}

fn python_list(names: &[String]) -> String {
    Json::List(names.iter().cloned().map(Json::String).collect()).python_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_looked_at_in_order() {
        let all = Limits { per_user: Some(1), max: Some(2), global_per_user: Some(3) };
        let counted = |of_flavor_and_user, of_flavor, of_user| Counted { of_flavor, of_flavor_and_user, of_user };
        assert_eq!(all.reached(counted(0, 1, 2)), None);
        assert_eq!(all.reached(counted(1, 2, 3)), Some(LimitReached::PerUser(1)));
        assert_eq!(all.reached(counted(0, 2, 3)), Some(LimitReached::Max(2)));
        assert_eq!(all.reached(counted(0, 1, 3)), Some(LimitReached::GlobalPerUser(3)));
        assert_eq!(Limits::default().reached(counted(99, 99, 99)), None);
        let nobody = Limits { max: Some(0), ..Limits::default() };
        assert_eq!(nobody.reached(Counted::default()), Some(LimitReached::Max(0)));
    }
}
