//! Starts whose teller is no more: a process that was restarted, or another one that died. Where the database is shared, those
//! who tell say so every two seconds, and who leads takes over what nobody says that he tells.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::SignedDuration;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::secret::of_secret;
use crate::cluster::{Cluster, ClusterError, Deadline};
use crate::config::SharedConfig;
use crate::domain::news::{HubAddress, StartUnderWay};
use crate::domain::pod_state::PodState;
use crate::domain::{Clock, Moment};
use crate::leader::Leader;
use crate::store::{Store, StoreError, TellerOf};

/// Between words that one tells, and between looks for what nobody tells.
const ROUND: Duration = Duration::from_secs(2);
/// Whoever has said nothing for longer is no more.
const SILENCE: Duration = Duration::from_secs(8);
const READING_TIME: Duration = Duration::from_secs(5);

/// A start that goes on being told here.
pub struct Resumed {
    pub start: StartUnderWay,
    /// How long it has been under way.
    pub age: Duration,
    pub address: HubAddress,
    pub pods: Vec<PodState>,
}

/// The starts that this process began or took over, and whether it tells them. Clones are the same.
#[derive(Clone, Default)]
pub struct OwnStarts(Arc<Mutex<HashMap<i64, bool>>>);

impl OwnStarts {
    fn all(&self) -> MutexGuard<'_, HashMap<i64, bool>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn note(&self, sequence: i64, is_told: bool) {
        self.all().insert(sequence, is_told);
    }

    /// It came up or is over.
    pub fn remove(&self, sequence: i64) {
        self.all().remove(&sequence);
    }

    fn told(&self) -> Vec<i64> {
        self.all().iter().filter(|(_, is_told)| **is_told).map(|(sequence, _)| *sequence).collect()
    }
}

pub struct Resumer {
    pub store: Store,
    pub cluster: Cluster,
    pub leader: Leader,
    pub config: SharedConfig,
    pub clock: Clock,
    pub own: OwnStarts,
    pub under_way: Arc<dyn Fn() -> Vec<StartUnderWay> + Send + Sync>,
    pub resumed: mpsc::Sender<Resumed>,
    /// Those that others have taken over.
    pub lost: mpsc::Sender<i64>,
}

/// What one process knows of the others.
#[derive(Default)]
struct Seen {
    /// Since when nobody has said anything new of a start.
    silent: HashMap<i64, (Option<TellerOf>, Moment)>,
    /// What this process has said that it tells.
    kept: HashSet<i64>,
}

impl Resumer {
    /// Runs until it is aborted.
    pub async fn run(self) {
        let name = Uuid::new_v4().simple().to_string();
        let mut seen = Seen::default();
        loop {
            if let Err(error) = self.round(&name, &mut seen).await {
                tracing::debug!(%error, "who tells of starts is looked at later");
            }
            tokio::time::sleep(ROUND).await;
        }
    }

    async fn round(&self, name: &str, seen: &mut Seen) -> Result<(), StoreError> {
        if self.store.is_shared() && !self.store.is_away() {
            self.keep(name, seen).await?;
        }
        if !self.leader.status().leading {
            seen.silent.clear();
            return Ok(());
        }
        let mut open = (self.under_way)();
        {
            let own = self.own.all();
            open.retain(|it| !own.contains_key(&it.sequence));
        }
        let tells = |it: &StartUnderWay| {
            let config = self.config.current();
            config.hubs.get(it.credential.as_str()).is_none_or(|hub| hub.progress_events)
        };
        open.retain(tells);
        seen.silent.retain(|it, _| open.iter().any(|start| start.sequence == *it));
        if open.is_empty() {
            return Ok(());
        }
        let tellers = match self.store.is_shared() {
            true => self.store.tellers().await?,
            false => HashMap::new(),
        };
        for start in open {
            if self.may_take(&start, &tellers, name, seen).await? {
                self.resume(start).await;
            }
        }
        Ok(())
    }

    /// Says what this process tells, and forgets what others do by now.
    async fn keep(&self, name: &str, seen: &mut Seen) -> Result<(), StoreError> {
        let told = self.own.told();
        let over: Vec<i64> = seen.kept.iter().copied().filter(|it| !told.contains(it)).collect();
        if !over.is_empty() {
            self.store.end_telling(name, &over).await?;
            seen.kept.retain(|it| !over.contains(it));
        }
        if told.is_empty() {
            return Ok(());
        }
        let kept = self.store.keep_telling(name, &told).await?;
        for lost in told.iter().filter(|it| !kept.contains(it)) {
            let _ = self.lost.send(*lost).await;
        }
        seen.kept.extend(kept);
        Ok(())
    }

    async fn may_take(
        &self,
        start: &StartUnderWay,
        tellers: &HashMap<i64, TellerOf>,
        name: &str,
        seen: &mut Seen,
    ) -> Result<bool, StoreError> {
        if !self.store.is_shared() {
            return Ok(true);
        }
        let (now, current) = (self.clock.moment(), tellers.get(&start.sequence));
        let (said, since) = seen.silent.entry(start.sequence).or_insert_with(|| (current.cloned(), now));
        if said.as_ref() != current {
            (*said, *since) = (current.cloned(), now);
        }
        if now.since(*since) < SILENCE {
            return Ok(false);
        }
        let is_ours = self.store.take_over_telling(start.sequence, current, name).await?;
        seen.kept.extend(is_ours.then_some(start.sequence));
        Ok(is_ours)
    }

    async fn resume(&self, start: StartUnderWay) {
        let sequence = start.sequence;
        match self.read(&start).await {
            Ok(Some((address, pods))) => {
                self.own.note(sequence, true);
                let age = self.clock.now().duration_since(start.start_date).max(SignedDuration::ZERO);
                let resumed = Resumed { age: age.unsigned_abs(), start, address, pods };
                let _ = self.resumed.send(resumed).await;
            }
            // Nothing that could be told.
            Ok(None) => self.own.note(sequence, false),
            Err(error) => tracing::debug!(id = %start.object_id, %error, "a start is told of later"),
        }
    }

    /// The token is where it always was: in the Secret that owns the start.
    async fn read(&self, start: &StartUnderWay) -> Result<Option<(HubAddress, Vec<PodState>)>, ClusterError> {
        let deadline = Deadline::after(READING_TIME);
        let Some(secret) = self.cluster.read(&start.owner, deadline).await? else { return Ok(None) };
        let address = of_secret(&secret, start.is_of_outpost);
        let mut pods = Vec::new();
        for namespace in &start.namespaces {
            pods.extend(self.cluster.pod_states(namespace, &start.label, deadline).await?);
        }
        Ok(Some((address, pods)))
    }
}
