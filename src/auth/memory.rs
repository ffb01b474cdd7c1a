//! Credentials that were found good a short while ago, so that a poll costs no argon2 and no query.
//!
//! Keys are HMACs under a random key of this process: what is kept tells nothing about a password, and how long a
//! look-up takes tells nothing either.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Principal;
use crate::store::UserChanges;

/// Changed users, groups and tokens count in every process after it, where the database can be reached.
pub const CHANGES_COUNT_WITHIN: Duration = Duration::from_secs(2);
/// For so long a good credential is not looked up again. A change is told by the feed long before.
pub(super) const REMEMBERED_FOR: Duration = Duration::from_secs(60);
/// For so long a good credential lets in while the database cannot be asked: a hub that is refused takes all of its
/// servers for stopped. A night; nobody can change a user meanwhile but over another process's connection.
const TRUSTED_WITHOUT_DATABASE: Duration = Duration::from_secs(12 * 60 * 60);
/// For so long after its last use, a look-up that finds the same password hash saves the argon2.
const KNOWN_FOR: Duration = Duration::from_secs(15 * 60);
const MOST_ENTRIES: usize = 1024;

pub(super) type Key = [u8; 32];

#[derive(Clone)]
pub(super) struct Remembered {
    pub(super) principal: Arc<Principal>,
    /// The hash that the password was found to match; `None` for a token.
    pub(super) password_hash: Option<Arc<str>>,
    /// From before the look-up.
    pub(super) user_changes: UserChanges,
    pub(super) checked_at: Instant,
}

impl Remembered {
    /// Nothing needs to be looked up.
    pub(super) fn is_fresh(&self, user_changes: UserChanges, now: Instant) -> bool {
        self.user_changes == user_changes && now.duration_since(self.checked_at) < REMEMBERED_FOR
    }

    /// It may let in where the database cannot be asked: no user is known to have changed since.
    pub(super) fn may_stand_in(&self, user_changes: UserChanges, now: Instant) -> bool {
        self.user_changes.certain == user_changes.certain
            && now.duration_since(self.checked_at) < TRUSTED_WITHOUT_DATABASE
    }

    /// The password need not be checked against the same hash again.
    pub(super) fn saves_the_check(&self, now: Instant) -> bool {
        now.duration_since(self.checked_at) < KNOWN_FOR
    }
}

#[derive(Default)]
pub(super) struct Memory(Mutex<HashMap<Key, Remembered>>);

impl Memory {
    pub(super) fn get(&self, key: &Key, now: Instant) -> Option<Remembered> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(key).filter(|it| now.duration_since(it.checked_at) < TRUSTED_WITHOUT_DATABASE).cloned()
    }

    pub(super) fn put(&self, key: Key, remembered: Remembered) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = remembered.checked_at;
        if entries.len() >= MOST_ENTRIES && !entries.contains_key(&key) {
            entries.retain(|_, it| now.duration_since(it.checked_at) < TRUSTED_WITHOUT_DATABASE);
        }
        if entries.len() >= MOST_ENTRIES
            && !entries.contains_key(&key)
            && let Some(oldest) = entries.iter().min_by_key(|(_, it)| it.checked_at).map(|(key, _)| *key)
        {
            entries.remove(&oldest);
        }
        entries.insert(key, remembered);
    }

    pub(super) fn remove(&self, key: &Key) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::domain::Credential;

    const SEEN: UserChanges = UserChanges { certain: 1, possible: 1 };

    fn remembered(checked_at: Instant) -> Remembered {
        let credential = Credential::parse("hub").unwrap();
        let principal = Arc::new(Principal { credential, is_superuser: false, groups: BTreeSet::new() });
        Remembered { principal, password_hash: None, user_changes: SEEN, checked_at }
    }

    fn key(number: usize) -> Key {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_le_bytes());
        key
    }

    #[test]
    fn a_credential_is_fresh_until_its_time_is_over_or_a_user_may_have_changed() {
        let now = Instant::now();
        let before = |time: Duration| now + time - Duration::from_millis(1);
        let entry = remembered(now);
        let (certain, possible) = (UserChanges { certain: 2, ..SEEN }, UserChanges { possible: 2, ..SEEN });
        assert!(entry.is_fresh(SEEN, before(REMEMBERED_FOR)));
        assert!(!entry.is_fresh(SEEN, now + REMEMBERED_FOR));
        assert!(!entry.is_fresh(certain, now) && !entry.is_fresh(possible, now));
        assert!(entry.may_stand_in(possible, before(TRUSTED_WITHOUT_DATABASE)));
        assert!(!entry.may_stand_in(SEEN, now + TRUSTED_WITHOUT_DATABASE));
        assert!(!entry.may_stand_in(certain, now));
        assert!(entry.saves_the_check(before(KNOWN_FOR)) && !entry.saves_the_check(now + KNOWN_FOR));
        let memory = Memory::default();
        memory.put(key(1), entry);
        assert!(memory.get(&key(1), before(TRUSTED_WITHOUT_DATABASE)).is_some());
        assert!(memory.get(&key(1), now + TRUSTED_WITHOUT_DATABASE).is_none());
        assert!(memory.get(&key(2), now).is_none());
    }

    #[test]
    fn the_memory_is_bounded_and_drops_the_oldest() {
        let memory = Memory::default();
        let begin = Instant::now();
        for number in 0..MOST_ENTRIES + 10 {
            memory.put(key(number), remembered(begin + Duration::from_millis(number as u64)));
        }
        assert_eq!(memory.0.lock().unwrap().len(), MOST_ENTRIES);
        let now = begin + Duration::from_secs(2);
        assert!(memory.get(&key(9), now).is_none());
        assert!(memory.get(&key(10), now).is_some());
    }
}
