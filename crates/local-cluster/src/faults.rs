//! Faults on demand, for tests: what should go wrong with which requests, and how often.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request is held back this long, then carried out.
    Delay(Duration),
    /// Answered with this status and reason; nothing is carried out.
    Refuse { code: u16, reason: String },
    /// The connection closes; nothing is carried out.
    DropBeforeEffect,
    /// It is carried out, and the connection closes without an answer.
    DropAfterEffect,
    /// `429` with `Retry-After`; nothing is carried out.
    TooManyRequests { retry_after_seconds: u64 },
    /// A watch (or a list with a revision) is told that its revision is gone.
    Gone,
    /// A list answers without items.
    EmptyList,
    /// A list answers with its first items only, as many as are named here.
    ShortList(usize),
    /// It is carried out, and the answer is a web page instead of JSON.
    Garbage,
    /// A list answers what it first answered after the rule was added.
    StaleList,
}

/// Which requests a fault meets; what is `None` matches all.
#[derive(Clone, Debug)]
pub struct FaultRule {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: Option<String>,
    /// The plural; a subresource as `pods/log`.
    pub resource: Option<String>,
    /// A part of the object's name (for a POST: the name in its body).
    pub name_contains: Option<String>,
    /// How many requests it meets before it is spent; `None`: all until it is cleared.
    pub count: Option<u64>,
    /// Of those that match, how many in a hundred it meets: picked by chance, the same in every run.
    pub percent: u64,
    pub fault: Fault,
}

impl FaultRule {
    pub fn new(fault: Fault) -> Self {
        Self { verb: None, resource: None, name_contains: None, count: None, percent: 100, fault }
    }

    pub fn verb(mut self, verb: &str) -> Self {
        self.verb = Some(verb.to_owned());
        self
    }

    pub fn resource(mut self, resource: &str) -> Self {
        self.resource = Some(resource.to_owned());
        self
    }

    pub fn name_contains(mut self, part: &str) -> Self {
        self.name_contains = Some(part.to_owned());
        self
    }

    pub fn percent(mut self, percent: u64) -> Self {
        self.percent = percent;
        self
    }

    pub fn times(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }
}

struct Armed {
    id: u64,
    rule: FaultRule,
    stale: Option<bytes::Bytes>,
}

/// The rules in force. All methods take effect with the next request.
pub struct Faults {
    rules: Mutex<Vec<Armed>>,
    any: AtomicBool,
    next_id: AtomicU64,
    met: AtomicU64,
    chances: AtomicU64,
    down: watch::Sender<bool>,
    silent: watch::Sender<bool>,
}

/// A fault that met a request, with the rule's id.
#[derive(Clone, Debug)]
pub struct Met {
    pub id: u64,
    pub fault: Fault,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            rules: Mutex::default(),
            any: AtomicBool::new(false),
            next_id: AtomicU64::new(1),
            met: AtomicU64::new(0),
            chances: AtomicU64::new(0),
            down: watch::channel(false).0,
            silent: watch::channel(false).0,
        }
    }
}

impl Faults {
    /// Adds a rule and answers its id. Of several that match a request, the oldest meets it.
    pub fn add(&self, rule: FaultRule) -> u64 {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        rules.push(Armed { id, rule, stale: None });
        self.any.store(true, Ordering::Release);
        id
    }

    pub fn remove(&self, id: u64) {
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        rules.retain(|it| it.id != id);
        self.any.store(!rules.is_empty(), Ordering::Release);
    }

    /// Takes all rules away; `down` stays as it is.
    pub fn clear(&self) {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.any.store(false, Ordering::Release);
    }

    /// How many requests were met so far.
    pub fn met(&self) -> u64 {
        self.met.load(Ordering::Relaxed)
    }

    /// While down, the listener is closed (connections are refused) and open connections are cut.
    pub fn down(&self, down: bool) {
        self.down.send_replace(down);
    }

    /// While silent, nothing is answered, and what is connected then stays so and never hears anything again: a network
    /// that lost its state. Those who connect meanwhile are answered afterwards.
    pub fn silent(&self, silent: bool) {
        self.silent.send_replace(silent);
    }

    pub(crate) fn watch_silent(&self) -> watch::Receiver<bool> {
        self.silent.subscribe()
    }

    pub(crate) fn watch_down(&self) -> watch::Receiver<bool> {
        self.down.subscribe()
    }

    /// A number below 100, well mixed (splitmix64).
    fn chance(&self) -> u64 {
        let mut mixed =
            self.chances.fetch_add(1, Ordering::Relaxed).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % 100
    }

    /// The fault that meets this request, if any; counts it.
    pub(crate) fn meet(&self, verb: &str, resource: &str, name: &str) -> Option<Met> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let index = rules.iter().position(|armed| {
            let rule = &armed.rule;
            rule.verb.as_deref().is_none_or(|it| it == verb)
                && rule.resource.as_deref().is_none_or(|it| it == resource)
                && rule.name_contains.as_deref().is_none_or(|it| name.contains(it))
                && (rule.percent >= 100 || self.chance() < rule.percent)
        })?;
        let met = Met { id: rules[index].id, fault: rules[index].rule.fault.clone() };
        if let Some(left) = &mut rules[index].rule.count {
            *left -= 1;
            if *left == 0 {
                rules.remove(index);
                self.any.store(!rules.is_empty(), Ordering::Release);
            }
        }
        self.met.fetch_add(1, Ordering::Relaxed);
        Some(met)
    }

    /// The answer that a stale list repeats: what it was given first.
    pub(crate) fn stale(&self, id: u64, fresh: bytes::Bytes) -> bytes::Bytes {
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        match rules.iter_mut().find(|it| it.id == id) {
            Some(armed) => armed.stale.get_or_insert(fresh).clone(),
            None => fresh,
        }
    }
}
