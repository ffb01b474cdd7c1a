//! What the controllers remember of all objects, so that no change needs a look at all of them.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use super::owners;
use crate::storage::Key;

#[derive(Default)]
pub struct Index {
    by_uid: HashMap<String, Key>,
    dependents: HashMap<String, BTreeSet<Key>>,
    namespaces: HashMap<String, BTreeSet<Key>>,
}

impl Index {
    /// Takes in a change: `before` and `now` as far as there are such.
    pub fn put(&mut self, key: &Key, before: Option<&Value>, now: Option<&Value>) {
        for owner in before.into_iter().flat_map(owners) {
            if let Some(all) = self.dependents.get_mut(owner) {
                all.remove(key);
                if all.is_empty() {
                    self.dependents.remove(owner);
                }
            }
        }
        for owner in now.into_iter().flat_map(owners) {
            self.dependents.entry(owner.to_owned()).or_default().insert(key.clone());
        }
        if let (Some(before), None) = (before, now) {
            self.by_uid.remove(uid(before));
            if let Some(all) = self.namespaces.get_mut(&key.namespace) {
                all.remove(key);
                if all.is_empty() {
                    self.namespaces.remove(&key.namespace);
                }
            }
        }
        if let (None, Some(now)) = (before, now) {
            self.by_uid.insert(uid(now).to_owned(), key.clone());
            if !key.namespace.is_empty() {
                self.namespaces.entry(key.namespace.clone()).or_default().insert(key.clone());
            }
        }
    }

    pub fn key_of(&self, uid: &str) -> Option<&Key> {
        self.by_uid.get(uid)
    }

    /// The objects that name this uid among their owners.
    pub fn dependents(&self, uid: &str) -> Vec<Key> {
        self.dependents.get(uid).into_iter().flatten().cloned().collect()
    }

    pub fn in_namespace(&self, namespace: &str) -> Vec<Key> {
        self.namespaces.get(namespace).into_iter().flatten().cloned().collect()
    }
}

fn uid(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().unwrap_or_default()
}
