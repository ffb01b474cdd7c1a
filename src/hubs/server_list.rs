//! What a hub's own list of its servers says of the services that run here for it. Pure; the caller reads, brings the time and
//! stops.
//!
//! A server that is stopped wrongly is somebody's lost work, one that is left costs a few cores: so a list is doubted wherever
//! it may be wrong. A service is stopped only when two lists in a row lack it, a full period apart, both good:
//!
//! - an answer that is an error, no list, or has an entry that is no server's, counts for nothing, and what earlier ones said is
//!   forgotten;
//! - so does a list that names servers of another hub here and none of its own: somebody took one for the other;
//! - a list that names none of the hub's services here (an empty one, above all) counts only when the list before did not either
//!   and the hub has begun nothing within the grace period: it takes a third one to stop anything.

use std::collections::HashSet;

use crate::domain::ServerName;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    #[error("it answered something else than a JSON list of texts")]
    NoList,
    #[error("its list has an entry that is not `<user id>_<server name>_<start id>`")]
    Entry,
}

/// The servers of a hub, as `<name>_<start id>`. Of users nothing is asked: a start id is of one start.
#[derive(Debug, Default)]
pub struct ServerList(HashSet<String>);

impl ServerList {
    /// A JSON list of `<user id>_<name>_<start id>`; a default server has no name.
    pub fn parse(body: &[u8]) -> Result<Self, ListError> {
        let entries: Vec<String> = serde_json::from_slice(body).map_err(|_| ListError::NoList)?;
        entries
            .iter()
            .map(|it| server_of(it).map(str::to_owned))
            .collect::<Option<_>>()
            .map(Self)
            .ok_or(ListError::Entry)
    }

    fn names(&self, server: &str) -> bool {
        self.0.contains(server)
    }
}

fn server_of(entry: &str) -> Option<&str> {
    let (user_id, server) = entry.split_once('_')?;
    (user_id.parse::<u64>().is_ok() && server.contains('_')).then_some(server)
}

/// A service as a list of its hub would name it; `None` for a hub of the other protocol.
pub fn listed_name(server_name: &ServerName) -> Option<String> {
    let name = server_name.outpost_name()?;
    let start_id = server_name.as_str().get(name.len() + 1..)?;
    Some(format!("{name}_{start_id}"))
}

/// A service that runs here.
#[derive(Clone, Debug)]
pub struct Listed {
    pub sequence: i64,
    pub name: String,
    /// Older than the grace period.
    pub is_old: bool,
}

/// What came of a comparison.
#[derive(Debug, PartialEq, Eq)]
pub enum Compared {
    /// The services that no list has named twice.
    Unlisted(Vec<i64>),
    /// It names none of the hub's services, and that is to be confirmed.
    Unconfirmed,
    OfAnotherHub,
}

/// What the lists of one hub said so far.
#[derive(Debug, Default)]
pub struct Comparison {
    missing: HashSet<i64>,
    names_none: bool,
}

impl Comparison {
    /// There was no list: it all begins anew.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// `own`: what runs here of this hub; `others`: of all others, as their lists would name them.
    pub fn compare(&mut self, list: &ServerList, own: &[Listed], others: &HashSet<String>) -> Compared {
        let names_own = own.iter().any(|it| list.names(&it.name));
        if !names_own && others.iter().any(|it| list.names(it)) {
            self.forget();
            return Compared::OfAnotherHub;
        }
        let names_none = !names_own && own.iter().any(|it| it.is_old);
        let named_none_before = std::mem::replace(&mut self.names_none, names_none);
        if names_none {
            let is_confirmed = named_none_before && own.iter().all(|it| it.is_old);
            if !is_confirmed {
                self.missing.clear();
                return Compared::Unconfirmed;
            }
        }
        let missing: HashSet<i64> =
            own.iter().filter(|it| it.is_old && !list.names(&it.name)).map(|it| it.sequence).collect();
        let before = std::mem::replace(&mut self.missing, missing);
        let mut unlisted: Vec<i64> = self.missing.intersection(&before).copied().collect();
        unlisted.sort_unstable();
        Compared::Unlisted(unlisted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{OutpostName, StartId};

    fn list(entries: &[&str]) -> ServerList {
        ServerList::parse(serde_json::to_string(entries).unwrap().as_bytes()).unwrap()
    }

    fn old(sequence: i64, name: &str) -> Listed {
        Listed { sequence, name: name.to_owned(), is_old: true }
    }

    fn young(sequence: i64, name: &str) -> Listed {
        Listed { is_old: false, ..old(sequence, name) }
    }

    fn compare(it: &mut Comparison, entries: &[&str], own: &[Listed]) -> Compared {
        it.compare(&list(entries), own, &HashSet::from(["other_s9".to_owned()]))
    }

    fn unlisted(sequences: &[i64]) -> Compared {
        Compared::Unlisted(sequences.to_owned())
    }

    #[test]
    fn a_list_is_read_whole_or_not_at_all() {
        for (body, error) in [
            ("", ListError::NoList),
            ("<html>", ListError::NoList),
            (r#"{"a": 1}"#, ListError::NoList),
            (r#"["7_lab_s", 5]"#, ListError::NoList),
            (r#"["7_lab_s", "lab"]"#, ListError::Entry),
            (r#"["7_lab"]"#, ListError::Entry),
            (r#"["x_lab_s"]"#, ListError::Entry),
        ] {
            assert_eq!(ServerList::parse(body.as_bytes()).unwrap_err(), error, "{body}");
        }
        let found = list(&["7_lab_s1", "7__s2", "8_my_lab_s3", "9_lab_None"]);
        let name = |name: &str, start_id: &str| {
            let name = OutpostName::parse(name).unwrap();
            listed_name(&ServerName::of_outpost(&name, &StartId::parse(start_id).unwrap())).unwrap()
        };
        for (server, start_id) in [("lab", "s1"), ("", "s2"), ("my_lab", "s3")] {
            assert!(found.names(&name(server, start_id)), "{server}");
        }
        assert!(!found.names(&name("lab", "s3")));
        assert_eq!(listed_name(&ServerName::parse("lab").unwrap()), None);
    }

    #[test]
    fn what_two_lists_in_a_row_lack_is_unlisted() {
        let mut it = Comparison::default();
        let own = [old(1, "a_s1"), old(2, "b_s2"), young(3, "c_s3")];
        assert_eq!(compare(&mut it, &["7_a_s1", "8_x_y"], &own), unlisted(&[]));
        assert_eq!(compare(&mut it, &["7_a_s1"], &own), unlisted(&[2]));
        // Named again in between, or no list.
        assert_eq!(compare(&mut it, &["7_a_s1", "7_b_s2"], &own), unlisted(&[]));
        assert_eq!(compare(&mut it, &["7_a_s1"], &own), unlisted(&[]));
        it.forget();
        assert_eq!(compare(&mut it, &["7_a_s1"], &own), unlisted(&[]));
    }

    #[test]
    fn a_list_without_any_of_the_hub_s_servers_has_to_be_confirmed() {
        for entries in [[].as_slice(), &["8_elsewhere_s7"]] {
            let mut it = Comparison::default();
            let own = [old(1, "a_s1"), old(2, "b_s2")];
            assert_eq!(compare(&mut it, entries, &own), Compared::Unconfirmed);
            assert_eq!(compare(&mut it, entries, &own), unlisted(&[]));
            assert_eq!(compare(&mut it, entries, &own), unlisted(&[1, 2]));
            // The hub lives, and begins servers: its list ought to name some.
            let mut it = Comparison::default();
            let own = [old(1, "a_s1"), young(3, "c_s3")];
            for _ in 0..5 {
                assert_eq!(compare(&mut it, entries, &own), Compared::Unconfirmed);
            }
            // One that named some is the last word on none of them.
            let own = [old(1, "a_s1"), old(2, "b_s2")];
            let mut it = Comparison::default();
            assert_eq!(compare(&mut it, &["7_a_s1"], &own), unlisted(&[]));
            assert_eq!(compare(&mut it, entries, &own), Compared::Unconfirmed);
            assert_eq!(compare(&mut it, entries, &own), unlisted(&[]));
        }
        // Where none runs, or none that would be on it yet, an empty list is right, and confirms nothing.
        let mut it = Comparison::default();
        assert_eq!(compare(&mut it, &[], &[]), unlisted(&[]));
        assert_eq!(compare(&mut it, &[], &[young(1, "a_s1")]), unlisted(&[]));
        assert_eq!(compare(&mut it, &[], &[old(1, "a_s1")]), Compared::Unconfirmed);
    }

    #[test]
    fn a_list_of_another_hub_says_nothing() {
        let mut it = Comparison::default();
        for _ in 0..4 {
            assert_eq!(compare(&mut it, &["7_other_s9"], &[old(1, "a_s1")]), Compared::OfAnotherHub);
        }
        assert_eq!(compare(&mut it, &["7_other_s9", "7_a_s1"], &[old(1, "a_s1"), old(2, "b_s2")]), unlisted(&[]));
    }
}
