//! Credentials that were found good a short while ago, so that a poll costs no argon2 and no query.
//!
//! Keys are HMACs under a random key of this process: what is kept tells nothing about a password, and how long a
//! look-up takes tells nothing either.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Principal;

/// For so long a good credential is not looked up again; a change made elsewhere shows after it at the latest.
pub const REMEMBERED_FOR: Duration = Duration::from_secs(60);
/// For so long after its last use, a look-up that finds the same password hash saves the argon2.
const KNOWN_FOR: Duration = Duration::from_secs(15 * 60);
const MOST_ENTRIES: usize = 1024;

pub(super) type Key = [u8; 32];

#[derive(Clone)]
pub(super) struct Remembered {
    pub(super) principal: Arc<Principal>,
    /// The hash that the password was found to match; `None` for a token.
    pub(super) password_hash: Option<Arc<str>>,
    /// `Store::user_changes` from before the look-up.
    pub(super) user_changes: u64,
    pub(super) checked_at: Instant,
}

impl Remembered {
    /// Nothing needs to be looked up.
    pub(super) fn is_fresh(&self, user_changes: u64, now: Instant) -> bool {
        self.user_changes == user_changes && now.duration_since(self.checked_at) < REMEMBERED_FOR
    }
}

#[derive(Default)]
pub(super) struct Memory(Mutex<HashMap<Key, Remembered>>);

impl Memory {
    pub(super) fn get(&self, key: &Key, now: Instant) -> Option<Remembered> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(key).filter(|it| now.duration_since(it.checked_at) < KNOWN_FOR).cloned()
    }

    pub(super) fn put(&self, key: Key, remembered: Remembered) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = remembered.checked_at;
        if entries.len() >= MOST_ENTRIES && !entries.contains_key(&key) {
            entries.retain(|_, it| now.duration_since(it.checked_at) < KNOWN_FOR);
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

    fn remembered(checked_at: Instant) -> Remembered {
        let credential = Credential::parse("hub").unwrap();
        let principal = Arc::new(Principal { credential, is_superuser: false, groups: BTreeSet::new() });
        Remembered { principal, password_hash: None, user_changes: 1, checked_at }
    }

    fn key(number: usize) -> Key {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_le_bytes());
        key
    }

    #[test]
    fn a_credential_is_fresh_until_its_time_is_over_or_a_user_changes() {
        let now = Instant::now();
        let entry = remembered(now);
        assert!(entry.is_fresh(1, now + REMEMBERED_FOR - Duration::from_millis(1)));
        assert!(!entry.is_fresh(1, now + REMEMBERED_FOR));
        assert!(!entry.is_fresh(2, now));
        let memory = Memory::default();
        memory.put(key(1), entry);
        assert!(memory.get(&key(1), now + KNOWN_FOR - Duration::from_millis(1)).is_some());
        assert!(memory.get(&key(1), now + KNOWN_FOR).is_none());
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
