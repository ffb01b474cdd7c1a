//! The controllers: one task that follows all changes, keeps what it needs to know of them in memory, and brings
//! every object that a change touched to where its spec wants it.
//!
//! Each controller is a function over the storage; none holds state of its own, so that a lost change or a restart
//! costs no more than looking at everything once.

mod claims;
mod daemon_set;
mod deployment;
mod endpoints;
mod garbage;
mod index;
mod job;
mod namespace;
mod pods;
mod replica_set;
mod scheduler;
mod stateful_set;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::watch;
use tokio::time::Instant;

pub use index::Index;

use crate::addresses::Addresses;
use crate::storage::{Change, ChangeKind, Key, Resource, Storage};

/// How many objects are brought forward before the other tasks get a turn.
const TURN: usize = 64;

/// As long as a real cluster keeps them.
const EVENTS_KEPT: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);
const EVENTS_LOOKED_AT: Duration = Duration::from_secs(60);

/// What controllers share.
pub struct Controllers {
    pub storage: Storage,
    pub index: Index,
    pub addresses: Arc<Addresses>,
    /// The certificate authority, as every namespace shows it (empty without TLS).
    pub ca: String,
    /// The node that pods are scheduled to.
    pub node_name: String,
    pub service_account_admission: bool,
    queue: VecDeque<Key>,
    queued: HashSet<Key>,
    timers: BinaryHeap<Reverse<(Instant, Key)>>,
}

impl Controllers {
    pub fn new(storage: Storage, addresses: Arc<Addresses>, node_name: &str, service_account_admission: bool) -> Self {
        Self {
            storage,
            index: Index::default(),
            addresses,
            ca: String::new(),
            node_name: node_name.to_owned(),
            service_account_admission,
            queue: VecDeque::new(),
            queued: HashSet::new(),
            timers: BinaryHeap::new(),
        }
    }

    /// Follows the storage until `stop` is true.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut changes = self.look_at_everything();
        let mut expiry = tokio::time::interval(EVENTS_LOOKED_AT);
        loop {
            if !self.take_ready(&mut changes) {
                changes = self.look_at_everything();
            }
            self.take_due_timers();
            for _ in 0..TURN {
                let Some(key) = self.queue.pop_front() else { break };
                self.queued.remove(&key);
                self.reconcile(&key);
            }
            if *stop.borrow() {
                return;
            }
            if !self.queue.is_empty() {
                tokio::task::yield_now().await;
                continue;
            }
            let due = self.timers.peek().map(|Reverse((at, _))| *at);
            tokio::select! {
                change = changes.recv() => match change {
                    Ok(change) => self.note(&change),
                    Err(RecvError::Lagged(_)) => changes = self.look_at_everything(),
                    Err(RecvError::Closed) => return,
                },
                () = sleep_until(due) => {}
                _ = expiry.tick() => self.forget_old_events(),
                _ = stop.changed() => return,
            }
        }
    }

    /// Takes in all changes that are there; false when some were lost.
    fn take_ready(&mut self, changes: &mut Receiver<Change>) -> bool {
        loop {
            match changes.try_recv() {
                Ok(change) => self.note(&change),
                Err(TryRecvError::Lagged(_)) => return false,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return true,
            }
        }
    }

    fn take_due_timers(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((at, _))) = self.timers.peek()
            && *at <= now
        {
            if let Some(Reverse((_, key))) = self.timers.pop() {
                self.enqueue(key);
            }
        }
    }

    fn look_at_everything(&mut self) -> Receiver<Change> {
        let (changes, all) = loop {
            let revision = self.storage.revision();
            let all = self.storage.all();
            if let Ok((missed, changes)) = self.storage.changes_since(revision)
                && missed.is_empty()
            {
                break (changes, all);
            }
        };
        self.index = Index::default();
        for (key, object) in &all {
            self.index.put(key, None, Some(object));
        }
        for (key, _) in all {
            self.enqueue(key);
        }
        changes
    }

    fn note(&mut self, change: &Change) {
        let now = (change.kind != ChangeKind::Deleted).then_some(&*change.object);
        self.index.put(&change.key, change.previous.as_deref(), now);
        // Events are many and no controller looks at them.
        if change.key.resource.plural == "events" && change.key.resource.group.is_empty() {
            return;
        }
        self.enqueue(change.key.clone());
        for object in change.previous.iter().chain([&change.object]) {
            for owner in owners(object) {
                if let Some(key) = self.index.key_of(owner).cloned() {
                    self.enqueue(key);
                }
            }
        }
        if change.key.resource.plural == "pods" {
            for pod in change.previous.iter().chain([&change.object]) {
                for service in self.index.services_of(&change.key.namespace, pod) {
                    self.enqueue(service);
                }
            }
        }
        if change.kind == ChangeKind::Deleted {
            let uid = change.object["metadata"]["uid"].as_str().unwrap_or_default();
            for dependent in self.index.dependents(uid) {
                self.enqueue(dependent);
            }
            if change.key.resource.plural == "services"
                && let Some(Ok(address)) = change.object["spec"]["clusterIP"].as_str().map(str::parse)
            {
                self.addresses.free(address);
            }
            match change.key.resource.plural.as_str() {
                "persistentvolumeclaims" => claims::release(self, &change.object),
                "services" => {
                    let endpoints = Resource::core("endpoints");
                    self.storage.remove(&Key::new(endpoints, &change.key.namespace, &change.key.name));
                }
                _ => {}
            }
            if !change.key.namespace.is_empty() {
                self.enqueue(Key::new(Resource::core("namespaces"), "", &change.key.namespace));
            }
        }
    }

    fn forget_old_events(&self) {
        let oldest = jiff::Timestamp::now() - EVENTS_KEPT;
        let oldest = oldest.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        for event in self.storage.list(&Resource::core("events"), None).1 {
            let text = |field: &str| event["metadata"][field].as_str().unwrap_or_default();
            let last = event["lastTimestamp"].as_str().unwrap_or(text("creationTimestamp"));
            if last < oldest.as_str() {
                self.storage.remove(&Key::new(Resource::core("events"), text("namespace"), text("name")));
            }
        }
    }

    pub fn enqueue(&mut self, key: Key) {
        if self.queued.insert(key.clone()) {
            self.queue.push_back(key);
        }
    }

    pub fn enqueue_after(&mut self, key: Key, delay: Duration) {
        self.timers.push(Reverse((Instant::now() + delay, key)));
    }

    fn reconcile(&mut self, key: &Key) {
        let Some(object) = self.storage.get(key) else { return };
        if garbage::collect(self, key, &object) {
            return;
        }
        let deleted = object["metadata"]["deletionTimestamp"].is_string();
        match (key.resource.group.as_str(), key.resource.plural.as_str()) {
            ("", "namespaces") => namespace::reconcile(self, key, &object),
            ("", "pods") => scheduler::schedule(self, key, &object),
            ("apps", "deployments") if !deleted => deployment::reconcile(self, key, &object),
            ("apps", "replicasets") if !deleted => replica_set::reconcile(self, key, &object),
            ("apps", "statefulsets") if !deleted => stateful_set::reconcile(self, key, &object),
            ("apps", "daemonsets") if !deleted => daemon_set::reconcile(self, key, &object),
            ("batch", "jobs") if !deleted => job::reconcile(self, key, &object),
            ("", "nodes") => scheduler::look_again(self),
            ("", "services") if !deleted => endpoints::reconcile(self, key, &object),
            ("", "persistentvolumeclaims") => claims::reconcile(self, key, &object),
            _ => {}
        }
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// The uids of an object's owners.
fn owners(object: &Value) -> impl Iterator<Item = &str> {
    object["metadata"]["ownerReferences"].as_array().into_iter().flatten().filter_map(|it| it["uid"].as_str())
}

/// The uid of the owner that controls an object.
fn controller_uid(object: &Value) -> Option<&str> {
    let mut owners = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    owners.find(|it| it["controller"] == true)?["uid"].as_str()
}
