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
    /// Pods by namespace and each of their labels, Services by namespace and one of the labels they select.
    pods: HashMap<(String, String), BTreeSet<Key>>,
    services: HashMap<(String, String), BTreeSet<Key>>,
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
        self.put_labels(key, before, now);
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

    fn put_labels(&mut self, key: &Key, before: Option<&Value>, now: Option<&Value>) {
        if !key.resource.group.is_empty() {
            return;
        }
        let (table, labels): (_, fn(&Value) -> Vec<String>) = match key.resource.plural.as_str() {
            "pods" => (&mut self.pods, |pod| pairs(&pod["metadata"]["labels"])),
            "services" => {
                (&mut self.services, |service| pairs(&service["spec"]["selector"]).into_iter().take(1).collect())
            }
            _ => return,
        };
        let (before, now) = (before.map(labels).unwrap_or_default(), now.map(labels).unwrap_or_default());
        if before == now {
            return;
        }
        for pair in before {
            let place = (key.namespace.clone(), pair);
            if let Some(all) = table.get_mut(&place) {
                all.remove(key);
                if all.is_empty() {
                    table.remove(&place);
                }
            }
        }
        for pair in now {
            table.entry((key.namespace.clone(), pair)).or_default().insert(key.clone());
        }
    }

    /// The pods that may match a selector: those with its first label.
    pub fn pods_with_label(&self, namespace: &str, selector: &Value) -> Vec<Key> {
        let Some(first) = pairs(selector).into_iter().next() else { return Vec::new() };
        self.pods.get(&(namespace.to_owned(), first)).into_iter().flatten().cloned().collect()
    }

    /// The Services that may select a pod.
    pub fn services_of(&self, namespace: &str, pod: &Value) -> Vec<Key> {
        let labels = pairs(&pod["metadata"]["labels"]).into_iter();
        let found = labels.filter_map(|pair| self.services.get(&(namespace.to_owned(), pair)));
        found.flatten().cloned().collect()
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

/// The labels of a map as `key=value`, in order.
fn pairs(map: &Value) -> Vec<String> {
    let labels = map.as_object().into_iter().flatten();
    labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect()
}

fn uid(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().unwrap_or_default()
}
