//! What this process remembers of the services: enough to answer a poll without a database, a file or a hash.
//!
//! Filled at the start, kept right by the change feed and, at once, by this process's own transitions. A "yes" may come
//! from here; a "no" may not, because another process may have started the name again (`poll.rs`). Decides nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use jiff::Timestamp;
use smallvec::SmallVec;

use super::judge::Judged;
use crate::cluster::watch::{Watched, watched_of};
use crate::domain::mark::ServiceTag;
use crate::domain::record::Details;
use crate::domain::{
    AppliedObject, Credential, Mark, ObjectId, ServerName, ServiceRecord, ServiceState, StartId, service_json,
};

/// One start, trimmed.
#[derive(Clone, Debug)]
pub struct KnownService {
    pub sequence: i64,
    pub credential: Credential,
    pub server_name: ServerName,
    pub start_id: StartId,
    pub(super) object_id: ObjectId,
    pub start_date: Timestamp,
    pub jhub_user_id: i64,
    /// When it is stopped by us.
    pub ends_at: Option<Timestamp>,
    pub state: ServiceState,
    pub details: Option<Details>,
    /// The answer to a poll while the service runs; nothing for a hub of Outpost's protocol, which has another one.
    pub running_answer: Box<[u8]>,
    /// What the watch cache files it under.
    pub(super) tag: ServiceTag,
    /// What must have been seen before the cache is believed.
    pub(super) watched: Arc<[Watched]>,
    /// The owner and what runs: what a stop deletes while the database is away.
    pub(super) objects: Box<[AppliedObject]>,
}

impl KnownService {
    fn new(record: &ServiceRecord, mark: &Mark, watched: Arc<[Watched]>) -> Self {
        let owner = record.objects.iter().take(1);
        let workloads = record.objects.iter().skip(1).filter(|it| it.is_workload);
        Self {
            sequence: record.sequence,
            credential: record.credential.clone(),
            server_name: record.server_name.clone(),
            start_id: record.start_id.clone(),
            object_id: record.object_id.clone(),
            start_date: record.start_date,
            jhub_user_id: record.jhub_user_id,
            ends_at: record.ends_at,
            state: record.state,
            details: record.details.clone(),
            running_answer: match record.server_name.outpost_name() {
                None => service_json::running(record).into_bytes().into(),
                Some(_) => Box::default(),
            },
            tag: mark.tag(),
            watched,
            objects: owner.chain(workloads).cloned().collect(),
        }
    }

    /// From a row, for somebody who will not keep it.
    pub(super) fn read(record: &ServiceRecord, mark: &Mark) -> Self {
        Self::new(record, mark, watched_of(&record.objects).into())
    }

    pub(super) fn judged(&self) -> Judged<'_> {
        Judged { sequence: self.sequence, object_id: &self.object_id, tag: self.tag, objects: &self.objects }
    }
}

/// All starts that are known.
#[derive(Default)]
pub struct Known(RwLock<Starts>);

/// The starts of a name, oldest first. Nearly all names have one, and a poll finds it without another step.
type Named = SmallVec<[Arc<KnownService>; 2]>;

#[derive(Default)]
struct Starts {
    by_sequence: BTreeMap<i64, Arc<KnownService>>,
    by_name: HashMap<Credential, HashMap<ServerName, Named>>,
    /// Most services are watched alike.
    watched: HashSet<Arc<[Watched]>>,
    /// While rows are read: what changed meanwhile is newer than they are.
    changed_while_reading: Option<HashSet<i64>>,
}

/// A reading of rows, from before the first until they are put.
pub struct Reading(());

impl Known {
    fn read(&self) -> RwLockReadGuard<'_, Starts> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Starts> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn newest(&self, credential: &Credential, server_name: &ServerName) -> Option<Arc<KnownService>> {
        self.read().by_name.get(credential)?.get(server_name)?.last().cloned()
    }

    pub fn of_sequence(&self, sequence: i64) -> Option<Arc<KnownService>> {
        self.read().by_sequence.get(&sequence).cloned()
    }

    /// All starts of a name, oldest first.
    pub fn named(&self, credential: &Credential, server_name: &ServerName) -> Vec<Arc<KnownService>> {
        let starts = self.read();
        let named = starts.by_name.get(credential).and_then(|it| it.get(server_name));
        named.into_iter().flatten().cloned().collect()
    }

    pub fn running(&self) -> Vec<Arc<KnownService>> {
        self.read().by_sequence.values().filter(|it| it.state == ServiceState::Running).cloned().collect()
    }

    /// The hubs that have services.
    pub fn credentials(&self) -> Vec<Credential> {
        self.read().by_name.keys().cloned().collect()
    }

    /// The highest sequence that is there.
    pub fn last_sequence(&self) -> i64 {
        self.read().by_sequence.keys().next_back().copied().unwrap_or_default()
    }

    /// All starts of a hub, oldest first.
    pub fn of(&self, credential: &Credential) -> Vec<Arc<KnownService>> {
        self.read().by_sequence.values().filter(|it| it.credential == *credential).cloned().collect()
    }

    /// What this process has just written.
    pub fn put(&self, record: &ServiceRecord, mark: &Mark) {
        let mut starts = self.write();
        starts.note_change(record.sequence);
        starts.put(record, mark);
    }

    pub fn set_state(&self, sequence: i64, state: ServiceState, details: Option<Details>) {
        let mut starts = self.write();
        starts.note_change(sequence);
        starts.change(sequence, |it| {
            if is_later(state, it.state) {
                (it.state, it.details) = (state, details);
            }
        });
    }

    pub fn set_end_date(&self, sequence: i64, ends_at: Timestamp) {
        let mut starts = self.write();
        starts.note_change(sequence);
        starts.change(sequence, |it| it.ends_at = Some(ends_at));
    }

    pub fn remove(&self, sequence: i64) {
        let mut starts = self.write();
        starts.note_change(sequence);
        starts.remove(sequence);
    }

    /// To be called before rows are read. Only one reads at a time.
    pub fn begin_reading(&self) -> Reading {
        self.write().changed_while_reading = Some(HashSet::new());
        Reading(())
    }

    /// Rows as they were read. Of what changed meanwhile the memory knows better.
    pub fn put_read(&self, _: &Reading, records: &[ServiceRecord], mark: impl Fn(&ServiceRecord) -> Mark) {
        for record in records {
            let mark = mark(record);
            let mut starts = self.write();
            if !starts.has_changed_while_reading(record.sequence) {
                starts.put(record, &mark);
            }
        }
    }

    /// Ends a reading: of what was asked for (`None`: everything), only what was found is there. Gives what is gone.
    pub fn end_reading(&self, _: Reading, asked: Option<&BTreeSet<i64>>, found: &HashSet<i64>) -> Vec<i64> {
        let mut starts = self.write();
        let mut gone: Vec<i64> = match asked {
            Some(asked) => asked.iter().copied().collect(),
            None => starts.by_sequence.keys().copied().collect(),
        };
        gone.retain(|sequence| !found.contains(sequence) && !starts.has_changed_while_reading(*sequence));
        gone.iter().for_each(|sequence| starts.remove(*sequence));
        starts.changed_while_reading = None;
        metrics::gauge!("k8smgr_services_known").set(starts.by_sequence.len() as f64);
        gone
    }
}

impl Starts {
    fn note_change(&mut self, sequence: i64) {
        if let Some(changed) = &mut self.changed_while_reading {
            changed.insert(sequence);
        }
    }

    fn has_changed_while_reading(&self, sequence: i64) -> bool {
        self.changed_while_reading.as_ref().is_some_and(|it| it.contains(&sequence))
    }

    fn put(&mut self, record: &ServiceRecord, mark: &Mark) {
        let known = self.by_sequence.get(&record.sequence);
        // A row that was read before a stop of ours was written down.
        if known.is_some_and(|known| is_later(known.state, record.state)) {
            return;
        }
        let watched = self.watched_alike(watched_of(&record.objects));
        self.file(Arc::new(KnownService::new(record, mark, watched)));
    }

    fn change(&mut self, sequence: i64, change: impl FnOnce(&mut KnownService)) {
        let Some(known) = self.by_sequence.get(&sequence) else { return };
        let mut changed = KnownService::clone(known);
        change(&mut changed);
        self.file(Arc::new(changed));
    }

    fn file(&mut self, known: Arc<KnownService>) {
        let names = self.by_name.entry(known.credential.clone()).or_default();
        let named = names.entry(known.server_name.clone()).or_default();
        match named.binary_search_by_key(&known.sequence, |it| it.sequence) {
            Ok(place) => named[place] = known.clone(),
            Err(place) => named.insert(place, known.clone()),
        }
        self.by_sequence.insert(known.sequence, known);
    }

    fn watched_alike(&mut self, watched: Vec<Watched>) -> Arc<[Watched]> {
        if let Some(alike) = self.watched.get(watched.as_slice()) {
            return alike.clone();
        }
        let watched: Arc<[Watched]> = watched.into();
        self.watched.insert(watched.clone());
        watched
    }

    fn remove(&mut self, sequence: i64) {
        let Some(known) = self.by_sequence.remove(&sequence) else { return };
        let Some(names) = self.by_name.get_mut(&known.credential) else { return };
        if let Some(named) = names.get_mut(&known.server_name) {
            named.retain(|it| it.sequence != sequence);
            if named.is_empty() {
                names.remove(&known.server_name);
            }
        }
        if names.is_empty() {
            self.by_name.remove(&known.credential);
        }
    }
}

/// States are never gone back to.
fn is_later(state: ServiceState, than: ServiceState) -> bool {
    let order = |state| match state {
        ServiceState::Starting => 0,
        ServiceState::Running => 1,
        ServiceState::Ended => 2,
        ServiceState::Stopping => 3,
    };
    order(state) > order(than)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Json, ServiceName};

    fn record(sequence: i64, name: &str, start_id: &str, state: ServiceState) -> ServiceRecord {
        let (server_name, start_id) = (ServerName::parse(name).unwrap(), StartId::parse(start_id).unwrap());
        ServiceRecord {
            sequence,
            credential: Credential::parse("hub").unwrap(),
            object_id: ObjectId::new(&server_name, &start_id),
            server_name,
            start_id,
            service: ServiceName::parse("a/b").unwrap(),
            user_options: Json::parse(b"{}").unwrap(),
            jhub_user_id: 7,
            start_date: Timestamp::UNIX_EPOCH,
            namespace: "n".to_owned(),
            state,
            objects: Vec::new(),
            update_manifest: None,
            flavor: None,
            ends_at: None,
            details: None,
            ended_at: None,
        }
    }

    fn mark(record: &ServiceRecord) -> Mark {
        Mark::new("i", &record.credential, &record.server_name, &record.start_id, record.start_date)
    }

    fn put(known: &Known, record: &ServiceRecord) {
        known.put(record, &mark(record));
    }

    fn newest(known: &Known, name: &str) -> Option<(i64, ServiceState)> {
        let (credential, server_name) = (Credential::parse("hub").unwrap(), ServerName::parse(name).unwrap());
        known.newest(&credential, &server_name).map(|it| (it.sequence, it.state))
    }

    #[test]
    fn the_newest_start_of_a_name_is_the_one_with_the_highest_sequence() {
        let known = Known::default();
        put(&known, &record(2, "lab", "s2", ServiceState::Starting));
        put(&known, &record(1, "lab", "s1", ServiceState::Running));
        put(&known, &record(3, "other", "s1", ServiceState::Running));
        assert_eq!(newest(&known, "lab"), Some((2, ServiceState::Starting)));
        known.remove(2);
        assert_eq!(newest(&known, "lab"), Some((1, ServiceState::Running)));
        known.remove(1);
        assert_eq!(newest(&known, "lab"), None);
        assert_eq!(known.of(&Credential::parse("hub").unwrap()).len(), 1);
    }

    #[test]
    fn a_row_that_was_read_too_early_undoes_nothing() {
        let known = Known::default();
        let (first, second) =
            (record(1, "lab", "s1", ServiceState::Running), record(2, "other", "s1", ServiceState::Running));
        put(&known, &first);
        put(&known, &second);
        let reading = known.begin_reading();
        known.set_state(1, ServiceState::Stopping, None);
        known.remove(2);
        put(&known, &record(3, "new", "s1", ServiceState::Starting));
        known.put_read(&reading, &[first.clone(), second], mark);
        known.end_reading(reading, None, &HashSet::from([1, 2]));
        assert_eq!(newest(&known, "lab"), Some((1, ServiceState::Stopping)));
        assert_eq!(newest(&known, "other"), None);
        assert_eq!(newest(&known, "new"), Some((3, ServiceState::Starting)));
        put(&known, &first);
        assert_eq!(newest(&known, "lab"), Some((1, ServiceState::Stopping)));
    }

    #[test]
    fn what_a_reading_asked_for_and_did_not_find_is_gone() {
        let known = Known::default();
        for (sequence, name) in [(1, "a"), (2, "b"), (3, "c")] {
            put(&known, &record(sequence, name, "s1", ServiceState::Running));
        }
        let reading = known.begin_reading();
        known.put_read(&reading, &[record(1, "a", "s1", ServiceState::Ended)], mark);
        assert_eq!(known.end_reading(reading, Some(&BTreeSet::from([1, 2])), &HashSet::from([1])), [2]);
        assert_eq!(newest(&known, "a"), Some((1, ServiceState::Ended)));
        assert_eq!(newest(&known, "b"), None);
        assert_eq!(newest(&known, "c"), Some((3, ServiceState::Running)));
    }
}
