//! `<id>`: the part of all object names that tells one start from every other.

use std::fmt;

use sha2::{Digest, Sha256};

use super::{Credential, OutpostName, ServerName, StartId};

/// A pod of the StatefulSet `depl-<id>` carries a label of its name and a revision hash, at most 63 characters.
pub const LONGEST: usize = 47;
const SEPARATOR: &str = "---";
const HASH_DIGITS: usize = 12;

/// `<server name>-<start id>` where that is a valid DNS label of at most 47 characters, else a safe slug with a hash.
///
/// The slug is the lower-cased name with every run of other characters as one `-`, at most 32 characters that begin
/// with a letter and end with a letter or digit, then `---` and the first 12 hex digits of the SHA-256 of
/// `<server name>/<start id>`. No name holds a `/`, so no two pairs are hashed alike; a name that looks like a slug
/// is made a slug itself, so it never meets one. `docs/object_id.py` is the same for a hub's `service_address`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId(String);

impl ObjectId {
    pub fn new(server_name: &ServerName, start_id: &StartId) -> Self {
        let plain = format!("{server_name}-{start_id}");
        if plain.len() <= LONGEST && is_dns_label(&plain) && !looks_like_slug(&plain) {
            Self(plain)
        } else {
            Self(slug(&plain, &format!("{server_name}/{start_id}")))
        }
    }

    /// Of a hub that speaks Outpost's protocol. Always a slug: hubs may send the same name and start id, and such names may be
    /// empty. The hash is of `<credential>/<name>/<start id>`, so that it is none of the other protocol either.
    pub fn of_outpost(credential: &Credential, name: &OutpostName, start_id: &StartId) -> Self {
        Self(slug(&format!("{name}-{start_id}"), &format!("{credential}/{name}/{start_id}")))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the database holds: it was made by `new` once.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_dns_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.chars().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

fn looks_like_slug(text: &str) -> bool {
    text.rsplit_once(SEPARATOR)
        .is_some_and(|(_, hash)| hash.len() == HASH_DIGITS && hash.chars().all(|c| c.is_ascii_hexdigit()))
}

fn slug(name: &str, hashed: &str) -> String {
    let digest = Sha256::digest(hashed.as_bytes());
    let hash: String = digest.iter().take(HASH_DIGITS / 2).map(|byte| format!("{byte:02x}")).collect();
    let mut readable = String::new();
    for c in name.chars() {
        match c.to_ascii_lowercase() {
            c if c.is_ascii_lowercase() || c.is_ascii_digit() => readable.push(c),
            _ if readable.ends_with('-') => {}
            _ => readable.push('-'),
        }
    }
    let readable = readable.trim_matches('-');
    let readable = if readable.starts_with(|c: char| c.is_ascii_lowercase()) {
        readable.to_owned()
    } else {
        format!("x-{readable}")
    };
    let room = LONGEST - SEPARATOR.len() - HASH_DIGITS;
    let readable = readable.get(..room).unwrap_or(&readable).trim_end_matches('-');
    format!("{readable}{SEPARATOR}{hash}")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn id(server: &str, start: &str) -> String {
        ObjectId::new(&ServerName::parse(server).unwrap(), &StartId::parse(start).unwrap()).0
    }

    #[test]
    fn a_plain_name_stays_as_it_is() {
        assert_eq!(id("aa01", "s0000001"), "aa01-s0000001");
        assert_eq!(id("123", "s0000001"), "123-s0000001");
        assert_eq!(id(&"l".repeat(38), "s0000001").len(), 47);
    }

    #[test]
    fn other_names_become_slugs() {
        assert_eq!(id("My Lab", "s0000001"), "my-lab-s0000001---2776dd764509");
        assert_eq!(id("Ü", "s1"), "s1---08b0bc727e08");
        assert_eq!(id("-a-", "s1"), "a-s1---939bcd84897d");
        assert_eq!(id(&"l".repeat(39), "s0000001").len(), 47);
    }

    proptest! {
        #[test]
        fn every_id_is_a_dns_label_that_fits(server in "[^/\\p{Cc}]{1,255}", start in "[^/\\p{Cc}]{1,40}") {
            let (Ok(server), Ok(start)) = (ServerName::parse(&server), StartId::parse(&start)) else { return Ok(()) };
            let id = ObjectId::new(&server, &start).0;
            prop_assert!(is_dns_label(&id) && id.len() <= LONGEST, "{}", id);
        }

        #[test]
        fn different_names_have_different_ids(names in prop::collection::hash_set("[aA.\\- ]{1,4}", 2..40)) {
            let names: HashSet<_> = names.iter().filter_map(|it| ServerName::parse(it).ok()).collect();
            let start = StartId::parse("s1").unwrap();
            let ids: HashSet<_> = names.iter().map(|it| ObjectId::new(it, &start)).collect();
            prop_assert_eq!(ids.len(), names.len());
        }
    }

    #[test]
    fn a_name_that_looks_like_a_slug_does_not_meet_one() {
        let slug = id("My Lab", "s1");
        let (server, start) = slug.rsplit_once('-').unwrap();
        assert_ne!(id(server, start), slug);
    }
}
