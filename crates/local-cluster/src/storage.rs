//! What the cluster knows: every object under its key, with one revision counter and a bounded history.
//!
//! The API server, the controllers and the node all read and write here; nothing else holds state. The storage
//! keeps keys, revisions and history right and knows no Kubernetes rules (validation, defaulting, finalizers and
//! propagation are the API server's).

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::sync::broadcast;

/// How many changes a watch may start behind before it is told `410 Gone`.
const HISTORY: usize = 16_384;
/// How many changes a slow watcher may fall behind before its stream ends.
const BACKLOG: usize = 16_384;

/// A resource type: its API group (empty for the core group) and plural name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Resource {
    pub group: String,
    pub plural: String,
}

impl Resource {
    pub fn new(group: &str, plural: &str) -> Self {
        Self { group: group.to_owned(), plural: plural.to_owned() }
    }

    /// A resource of the core group, such as `pods`.
    pub fn core(plural: &str) -> Self {
        Self::new("", plural)
    }
}

/// Where one object is stored. The namespace of a cluster-scoped object is empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub resource: Resource,
    pub namespace: String,
    pub name: String,
}

impl Key {
    pub fn new(resource: Resource, namespace: &str, name: &str) -> Self {
        Self { resource, namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    Added,
    Modified,
    Deleted,
}

/// One change, as watches tell it. `object` carries the revision of the change, also when it was deleted.
#[derive(Clone, Debug)]
pub struct Change {
    pub kind: ChangeKind,
    pub key: Key,
    pub object: Arc<Value>,
    /// The object before the change, so that a selector can tell who entered and who left.
    pub previous: Option<Arc<Value>>,
    pub revision: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum StorageError<E = std::convert::Infallible> {
    #[error("the object exists already")]
    Exists,
    #[error("the object does not exist")]
    NotFound,
    #[error("{0}")]
    Refused(E),
}

/// The revision asked for is older than the history kept: `410 Gone`.
#[derive(Debug, thiserror::Error)]
#[error("the revision is too old: the oldest kept is {oldest}")]
pub struct Gone {
    pub oldest: u64,
}

/// The shared store; clones are handles to the same objects.
#[derive(Clone)]
pub struct Storage {
    inner: Arc<Mutex<Inner>>,
    changes: broadcast::Sender<Change>,
}

struct Inner {
    revision: u64,
    objects: BTreeMap<Key, Arc<Value>>,
    history: VecDeque<Change>,
    /// The newest revision that the history no longer holds.
    compacted: u64,
}

impl Default for Storage {
    fn default() -> Self {
        Self::new()
    }
}

impl Storage {
    pub fn new() -> Self {
        let inner = Inner { revision: 1, objects: BTreeMap::new(), history: VecDeque::new(), compacted: 1 };
        Self { inner: Arc::new(Mutex::new(inner)), changes: broadcast::channel(BACKLOG).0 }
    }

    /// A storage with objects of an earlier life, at the revision it had reached. What came before has no history.
    pub fn restore(revision: u64, objects: impl Iterator<Item = (Key, Value)>) -> Self {
        let objects = objects.map(|(key, object)| (key, Arc::new(object))).collect();
        let inner = Inner { revision, objects, history: VecDeque::new(), compacted: revision };
        Self { inner: Arc::new(Mutex::new(inner)), changes: broadcast::channel(BACKLOG).0 }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn revision(&self) -> u64 {
        self.lock().revision
    }

    pub fn get(&self, key: &Key) -> Option<Arc<Value>> {
        self.lock().objects.get(key).cloned()
    }

    /// All objects of a resource in one namespace (`None`: in all), in the order of their names, with the revision
    /// the list is true for.
    pub fn list(&self, resource: &Resource, namespace: Option<&str>) -> (u64, Vec<Arc<Value>>) {
        let inner = self.lock();
        let first = Key::new(resource.clone(), namespace.unwrap_or_default(), "");
        let objects = inner
            .objects
            .range(first..)
            .take_while(|(key, _)| key.resource == *resource && namespace.is_none_or(|it| it == key.namespace))
            .map(|(_, object)| object.clone())
            .collect();
        (inner.revision, objects)
    }

    /// The objects of a resource as they were at a revision, for the later pages of a list. `Gone` when the history
    /// does not reach back that far.
    pub fn list_at(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        revision: u64,
    ) -> Result<Vec<(Key, Arc<Value>)>, Gone> {
        let inner = self.lock();
        if revision < inner.compacted {
            return Err(Gone { oldest: inner.compacted });
        }
        let within = |key: &Key| key.resource == *resource && namespace.is_none_or(|it| it == key.namespace);
        let first = Key::new(resource.clone(), namespace.unwrap_or_default(), "");
        let mut objects: BTreeMap<Key, Arc<Value>> = inner
            .objects
            .range(first..)
            .take_while(|(key, _)| within(key))
            .map(|(key, object)| (key.clone(), object.clone()))
            .collect();
        // Undo what came later, newest first.
        for change in inner.history.iter().rev().take_while(|change| change.revision > revision) {
            if !within(&change.key) {
                continue;
            }
            match &change.previous {
                Some(before) => objects.insert(change.key.clone(), before.clone()),
                None => objects.remove(&change.key),
            };
        }
        Ok(objects.into_iter().collect())
    }

    /// Every object, for those who look at all kinds at once (garbage collection, snapshots).
    pub fn all(&self) -> Vec<(Key, Arc<Value>)> {
        self.lock().objects.iter().map(|(key, object)| (key.clone(), object.clone())).collect()
    }

    /// Stores a new object and gives it a uid, a creation time and a revision.
    pub fn create(&self, key: Key, mut object: Value) -> Result<Arc<Value>, StorageError> {
        let mut inner = self.lock();
        if inner.objects.contains_key(&key) {
            return Err(StorageError::Exists);
        }
        let metadata = &mut object["metadata"];
        metadata["uid"] = json!(uuid::Uuid::new_v4().to_string());
        metadata["creationTimestamp"] = json!(now());
        Ok(self.commit(&mut inner, ChangeKind::Added, key, object))
    }

    /// Changes an object in place; `edit` sees the current one. An edit that changes nothing makes no revision.
    pub fn update<E>(
        &self,
        key: &Key,
        edit: impl FnOnce(&mut Value) -> Result<(), E>,
    ) -> Result<Arc<Value>, StorageError<E>> {
        let mut inner = self.lock();
        let current = inner.objects.get(key).cloned().ok_or(StorageError::NotFound)?;
        let mut changed = (*current).clone();
        edit(&mut changed).map_err(StorageError::Refused)?;
        if changed == *current {
            return Ok(current);
        }
        Ok(self.commit(&mut inner, ChangeKind::Modified, key.clone(), changed))
    }

    /// Takes an object away for good.
    pub fn remove(&self, key: &Key) -> Option<Arc<Value>> {
        let mut inner = self.lock();
        let object = (**inner.objects.get(key)?).clone();
        Some(self.commit(&mut inner, ChangeKind::Deleted, key.clone(), object))
    }

    /// The changes after a revision, and a receiver of all later ones, without a gap in between.
    pub fn changes_since(&self, revision: u64) -> Result<(Vec<Change>, broadcast::Receiver<Change>), Gone> {
        let inner = self.lock();
        if revision < inner.compacted {
            return Err(Gone { oldest: inner.compacted });
        }
        let missed = inner.history.iter().filter(|change| change.revision > revision).cloned().collect();
        Ok((missed, self.changes.subscribe()))
    }

    fn commit(&self, inner: &mut Inner, kind: ChangeKind, key: Key, mut object: Value) -> Arc<Value> {
        inner.revision += 1;
        let revision = inner.revision;
        object["metadata"]["resourceVersion"] = json!(revision.to_string());
        let object = Arc::new(object);
        let previous = match kind {
            ChangeKind::Deleted => inner.objects.remove(&key),
            ChangeKind::Added | ChangeKind::Modified => inner.objects.insert(key.clone(), object.clone()),
        };
        let change = Change { kind, key, object: object.clone(), previous, revision };
        inner.history.push_back(change.clone());
        if inner.history.len() > HISTORY
            && let Some(dropped) = inner.history.pop_front()
        {
            inner.compacted = dropped.revision;
        }
        // Nobody listening is no error: the history has it.
        let _ = self.changes.send(change);
        object
    }
}

/// The time as Kubernetes writes it: seconds, UTC.
pub fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
