//! All descriptions in memory, each with the configuration that it was good with.
//!
//! A start takes both at once and is made from nothing else, so that it never sees a change half-way through. A
//! description that is found bad keeps its last good version and the configuration of then; one that was removed is
//! gone. What is not in memory (not seen yet, too large, never good) is read from the disk at the start.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use super::find::{self, Found, Key};
use super::select::{self, Stamp, folder_of};
use super::snapshot::Snapshot;
use super::{DescriptionError, DescriptionRequest, Prepared, prepare, prepare_from, sample};
use crate::config::Config;
use crate::domain::{Credential, ServiceName};

/// All descriptions together; those beyond are read from the disk.
const MOST_BYTES: u64 = 256 * 1024 * 1024;
/// Below, a description is prepared in a fraction of a millisecond.
const LIGHT_BYTES: u64 = 32 * 1024;
/// A file that was changed so shortly before it was read may have been changed again without a later time.
const TIME_STEP_NANOSECONDS: i128 = 50_000_000;

/// A version of a description, and the configuration that it was good with.
#[derive(Clone)]
struct Good {
    snapshot: Arc<Snapshot>,
    config: Arc<Config>,
}

#[derive(Clone)]
struct Known {
    good: Option<Good>,
    /// Why what is on the disk is not used.
    broken: Option<String>,
    /// What was on the disk, and when it was looked at.
    stamps: Vec<Stamp>,
    read: i128,
}

/// The descriptions at one moment. Never changed: a reload makes the next one.
pub struct Catalogue {
    pub config: Arc<Config>,
    /// Folders that could not be looked into, beneath the descriptions, and why.
    pub unreadable: Vec<String>,
    known: BTreeMap<Key, Known>,
}

/// A description that starts do not get as it is on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    pub name: String,
    pub reason: String,
    /// Starts use the last good version.
    pub has_good: bool,
}

/// What a start is made from.
#[derive(Clone)]
pub struct Chosen {
    pub config: Arc<Config>,
    snapshot: Option<Arc<Snapshot>>,
}

impl Chosen {
    /// Whatever is on the disk when it is read.
    pub fn from_disk(config: Arc<Config>) -> Self {
        Self { config, snapshot: None }
    }

    /// Whether it is in memory and so small that preparing it holds nobody up. A template may loop.
    pub fn is_light(&self) -> bool {
        self.snapshot.as_ref().is_some_and(|it| it.bytes() <= LIGHT_BYTES && !it.is_template(&self.config))
    }

    /// Selects, packs, renders and reads. The request holds our configuration.
    pub fn prepare(&self, request: &DescriptionRequest<'_>) -> Result<Prepared, DescriptionError> {
        match &self.snapshot {
            Some(snapshot) => prepare_from(snapshot, request),
            None => prepare(request),
        }
    }
}

/// Where K8s Manager stands, for trying descriptions out.
#[derive(Clone, Debug)]
pub struct Place {
    pub stage: Option<String>,
    pub deployment_name: String,
    pub namespace: String,
}

impl Catalogue {
    /// Knows no description yet: all are read from the disk.
    pub fn empty(config: Arc<Config>) -> Self {
        Self { config, unreadable: Vec::new(), known: BTreeMap::new() }
    }

    pub fn choose(&self, credential: &Credential, service: &ServiceName) -> Chosen {
        let key = (folder_of(&self.config.services, credential).to_owned(), service.clone());
        match self.known.get(&key).and_then(|it| it.good.clone()) {
            Some(Good { snapshot, config }) => Chosen { config, snapshot: Some(snapshot) },
            None => Chosen { config: self.config.clone(), snapshot: None },
        }
    }

    pub fn broken(&self) -> Vec<Broken> {
        let broken = self.known.iter().filter_map(|(key, known)| {
            let reason = known.broken.clone()?;
            Some(Broken { name: name(key), reason, has_good: known.good.is_some() })
        });
        broken.collect()
    }

    /// How many there are, broken ones included.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The names of descriptions that starts get another version of than before, or none.
    pub fn differences(&self, before: &Catalogue) -> Vec<String> {
        let version = |of: &Catalogue, key: &Key| of.known.get(key).and_then(|it| it.good.clone());
        let is_other = |key: &Key| match (version(self, key), version(before, key)) {
            (Some(own), Some(other)) => !own.snapshot.is_same(&other.snapshot),
            (own, other) => own.is_some() != other.is_some(),
        };
        let keys: BTreeSet<_> = self.known.keys().chain(before.known.keys()).collect();
        keys.into_iter().filter(|key| is_other(key)).map(name).collect()
    }

    /// The same less what was removed: while the configuration is bad nothing else may change.
    pub fn without_removed(&self) -> Self {
        let found = find::descriptions(&self.config.services);
        let there = self.known.iter().filter(|(key, _)| !found.lacks(key));
        let known = there.map(|(key, known)| (key.clone(), known.clone())).collect();
        Self { config: self.config.clone(), unreadable: unreadable(&found), known }
    }

    /// Looks at the disk. What did not change is not read again.
    pub fn next(&self, config: Arc<Config>, place: &Place) -> Self {
        let found = find::descriptions(&config.services);
        let mut known = BTreeMap::new();
        let mut bytes_left = MOST_BYTES;
        for key in self.keys_of(&found) {
            let mut it = self.look_at(&key, &config, place);
            if let Some(good) = &it.good {
                match bytes_left.checked_sub(good.snapshot.bytes()) {
                    Some(left) => bytes_left = left,
                    None => it.good = None,
                }
            }
            known.insert(key, it);
        }
        Self { config, unreadable: unreadable(&found), known }
    }

    /// What is there, and what cannot be seen now.
    fn keys_of(&self, found: &Found) -> Vec<Key> {
        let unseen = self.known.keys().filter(|key| !found.descriptions.contains(*key) && !found.lacks(key));
        found.descriptions.iter().chain(unseen).cloned().collect()
    }

    fn look_at(&self, key: &Key, config: &Arc<Config>, place: &Place) -> Known {
        let before = self.known.get(key);
        let is_same_config = Arc::ptr_eq(config, &self.config);
        if let Some(known) = before.filter(|known| is_same_config && known.is_untouched(config, key)) {
            return known.clone();
        }
        let last_good = before.and_then(|it| it.good.clone());
        let read = now();
        let broken =
            |reason: String, stamps: Vec<Stamp>| Known { good: last_good.clone(), broken: Some(reason), stamps, read };
        let (entries, stamps) = match Snapshot::read(&config.services, &key.0, &key.1) {
            Ok(found) => found,
            Err(error) => return broken(error.to_string(), Vec::new()),
        };
        if let Some(good) =
            last_good.as_ref().filter(|it| Arc::ptr_eq(&it.config, config) && it.snapshot.holds(&entries))
        {
            return Known { good: Some(good.clone()), broken: None, stamps, read };
        }
        let snapshot = Arc::new(Snapshot::new(entries));
        match sample::problem(&snapshot, key, config, place) {
            Some(reason) => broken(reason, stamps),
            None => Known { good: Some(Good { snapshot, config: config.clone() }), broken: None, stamps, read },
        }
    }
}

impl Known {
    /// Nothing on the disk has changed since it was read, as far as times can tell.
    fn is_untouched(&self, config: &Config, key: &Key) -> bool {
        let newest = self.stamps.iter().map(Stamp::changed).max();
        newest.is_some_and(|it| it + TIME_STEP_NANOSECONDS < self.read)
            && select::stamps(&config.services, &key.0, &key.1).is_ok_and(|it| it == self.stamps)
    }
}

fn unreadable(found: &Found) -> Vec<String> {
    let unreadable = found.unreadable.iter();
    unreadable.map(|(path, error)| format!("services.descriptions/{}: {error}", path.display())).collect()
}

fn name((folder, service): &Key) -> String {
    format!("{folder}/{service}")
}

fn now() -> i128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i128::try_from(since.as_nanos()).unwrap_or(i128::MAX)
}

/// A handle to the descriptions in force; clones see the same ones.
#[derive(Clone)]
pub struct SharedCatalogue(Arc<RwLock<Arc<Catalogue>>>);

impl SharedCatalogue {
    pub fn new(config: Arc<Config>) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(Catalogue::empty(config)))))
    }

    pub fn current(&self) -> Arc<Catalogue> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn replace(&self, catalogue: Arc<Catalogue>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = catalogue;
    }
}

#[cfg(test)]
#[path = "catalogue_tests.rs"]
mod tests;
