//! Removes objects that carry our installation's label and have no record.
//!
//! A record is written before its objects are made and removed after them, so the records are read after the objects.
//! What has no record twice, the grace period apart, goes. Never what is to be kept, never anything while a watch is not
//! well, and never many or running services, due or not: then the database is likely to be an old backup, and the sweep
//! stops until somebody has decided.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{StreamExt, stream};
use tokio::task::JoinSet;

use super::Services;
use crate::cluster::{ClusterError, Deadline, Labelled};
use crate::config;
use crate::domain::mark::ServiceTag;
use crate::domain::status::MainContainer;
use crate::domain::{AppliedObject, Moment};
use crate::store::StoreError;

const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
const LONGEST_INTERVAL: Duration = Duration::from_secs(300);
const LIST_TIME: Duration = Duration::from_secs(120);
const DELETE_TIME: Duration = Duration::from_secs(20);
const DELETIONS_AT_ONCE: usize = 4;

#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why the sweep has stopped: removing all this needs somebody's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SweepHalt {
    /// Services in the cluster that have no record.
    pub services: usize,
    /// How many of them run.
    pub running: usize,
}

impl std::fmt::Display for SweepHalt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { services, running } = self;
        write!(f, "{services} services in the cluster ({running} of them run) have no record; the log says what to do")
    }
}

/// What the sweep remembers from one look to the next.
#[derive(Default)]
pub struct Sweeping {
    /// Objects without a record, by uid, and since when.
    suspects: Mutex<HashMap<String, Moment>>,
    halt: Mutex<Option<SweepHalt>>,
    namespaces: Mutex<BTreeSet<String>>,
}

/// An object without a record.
struct Suspect {
    object: Labelled,
    /// Nobody has known of it for the grace period.
    is_due: bool,
}

impl Sweeping {
    /// Remembers since when objects are without a record.
    fn suspect(&self, orphans: Vec<Labelled>, now: Moment, grace: Duration) -> Vec<Suspect> {
        let mut suspects = self.suspects.lock().unwrap_or_else(PoisonError::into_inner);
        let orphans: Vec<_> = orphans.into_iter().filter(|it| !it.is_kept && !it.is_deleting).collect();
        let present: HashSet<&String> = orphans.iter().map(|it| &it.uid).collect();
        suspects.retain(|uid, _| present.contains(uid));
        let known_before: HashSet<String> = suspects.keys().cloned().collect();
        for orphan in &orphans {
            suspects.entry(orphan.uid.clone()).or_insert(now);
        }
        let is_due = |it: &Labelled| {
            known_before.contains(&it.uid) && suspects.get(&it.uid).is_some_and(|since| now.since(*since) >= grace)
        };
        orphans.into_iter().map(|object| Suspect { is_due: is_due(&object), object }).collect()
    }
}

/// Why nothing of what is due may be removed, where it is so. What is not due yet counts, too: what an old backup lacks
/// may be found in several rounds, and is not to go in portions.
fn halt_of(suspects: &[Suspect], config: &config::Services, runs: impl Fn(&Labelled) -> bool) -> Option<SweepHalt> {
    if !suspects.iter().any(|it| it.is_due && !it.object.is_controlled) {
        return None;
    }
    let objects: Vec<&Labelled> = suspects.iter().map(|it| &it.object).collect();
    // Where only what controllers made is left, their garbage collector is at it.
    let made_by_us = objects.iter().filter(|it| !it.is_controlled).map(|it| (it.service.as_str(), false));
    let mut services: BTreeMap<&str, bool> = made_by_us.collect();
    for object in objects {
        if let Some(is_running) = services.get_mut(object.service.as_str()) {
            *is_running |= runs(object);
        }
    }
    let running = services.values().filter(|it| **it).count();
    let is_many = services.len() > config.sweep_most_services;
    let halts = is_many || (running > 0 && !config.sweep_running_services);
    halts.then_some(SweepHalt { services: services.len(), running })
}

/// Runs until it is aborted.
pub(super) async fn sweep_forever(services: Arc<Services>) {
    loop {
        let sweeper = services.clone();
        let mut running = JoinSet::new();
        running.spawn(async move { sweeper.sweep().await });
        match running.join_next().await {
            Some(Ok(Err(error))) => tracing::warn!(%error, "the sweep for objects without a record is tried again"),
            Some(Err(error)) => tracing::error!(%error, "a sweep broke off"),
            _ => {}
        }
        let grace = services.sweep_grace();
        tokio::time::sleep(grace.clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL)).await;
    }
}

impl Services {
    fn sweep_grace(&self) -> Duration {
        Duration::from_secs(self.config.current().services.sweep_grace_seconds)
    }

    /// Why the sweep has stopped; `None` while it does its work. For `/readyz`.
    pub fn sweep_halt(&self) -> Option<SweepHalt> {
        self.sweeping.halt.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where objects of ours may be, for when we have no right to look into all namespaces.
    pub(super) fn note_namespaces(&self, objects: &[AppliedObject]) {
        let mut namespaces = self.sweeping.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        for namespace in objects.iter().filter_map(|it| it.namespace.as_ref()) {
            if !namespaces.contains(namespace) {
                namespaces.insert(namespace.clone());
            }
        }
    }

    async fn sweep(&self) -> Result<(), SweepError> {
        if !self.cluster.watches().are_well() {
            return Ok(());
        }
        let mut namespaces = self.sweeping.namespaces.lock().unwrap_or_else(PoisonError::into_inner).clone();
        namespaces.insert(self.site.namespace.clone());
        let labelled = self.cluster.labelled(&namespaces, Deadline::after(LIST_TIME)).await?;
        // Afterwards, so that whatever was made meanwhile has its record here.
        let keys = self.store.service_keys().await?;
        let jobs = self.store.user_job_marks(&self.site.installation).await?;
        let recorded = keys.iter().map(|key| self.mark_of(key)).chain(jobs).map(|it| it.service().to_owned());
        let recorded: HashSet<String> = recorded.collect();
        let orphans: Vec<_> = labelled.into_iter().filter(|it| !recorded.contains(&it.service)).collect();
        let suspects = self.sweeping.suspect(orphans, self.clock.moment(), self.sweep_grace());
        if !self.may_remove(&suspects) {
            return Ok(());
        }
        let due = suspects.into_iter().filter(|it| it.is_due && !it.object.is_controlled);
        let deletable: Vec<_> = due.map(|it| it.object).collect();
        stream::iter(deletable)
            .for_each_concurrent(DELETIONS_AT_ONCE, |object| async move { self.remove_orphan(&object).await })
            .await;
        Ok(())
    }

    fn may_remove(&self, suspects: &[Suspect]) -> bool {
        let config = self.config.current();
        let halt = halt_of(suspects, &config.services, |it| self.runs(it));
        let halts = halt.is_some();
        let mut told = self.sweeping.halt.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(halt) = &halt
            && told.as_ref() != Some(halt)
        {
            tracing::error!(
                services = halt.services,
                running = halt.running,
                "the cluster holds services of this installation that the database does not know, and they are more than \
                 may be removed unasked; if the database is an old backup, run `k8smgr rebuild`; if they are to go, set \
                 services.sweep_most_services and services.sweep_running_services accordingly"
            );
        }
        *told = halt;
        !halts
    }

    /// A pod that runs as far as anybody knows.
    fn runs(&self, object: &Labelled) -> bool {
        if object.kind() != "Pod" {
            return false;
        }
        let observation = ServiceTag::parse(&object.service).map(|it| self.cluster.watches().observe(it));
        let known = observation.and_then(|it| it.pods.into_iter().find(|it| it.uid == object.uid));
        known.is_none_or(|it| it.main == MainContainer::Running && !it.phase.is_terminal())
    }

    async fn remove_orphan(&self, object: &Labelled) {
        let (kind, name, namespace) = (object.kind(), &object.name, object.namespace.as_deref().unwrap_or_default());
        match self.cluster.delete_labelled(object, Deadline::after(DELETE_TIME)).await {
            Ok(()) => {
                metrics::counter!("k8smgr_swept_objects_total").increment(1);
                tracing::info!(kind, name, namespace, "an object of ours without a record is removed");
            }
            Err(error) => tracing::warn!(kind, name, namespace, %error, "an object without a record is removed later"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(300);

    fn orphans(services: &[&str]) -> Vec<Labelled> {
        services.iter().map(|it| Labelled::config_map_of(it)).collect()
    }

    fn at(seconds: u64) -> Moment {
        Moment::after(Duration::from_secs(seconds))
    }

    fn names(suspects: &[Suspect], is_due: bool) -> Vec<&str> {
        suspects.iter().filter(|it| it.is_due == is_due).map(|it| it.object.service.as_str()).collect()
    }

    #[test]
    fn services_that_are_found_in_several_rounds_count_together() {
        let sweeping = Sweeping::default();
        let mut config = config::Services { sweep_most_services: 2, ..config::Services::default() };
        let first = sweeping.suspect(orphans(&["a", "b"]), at(0), GRACE);
        assert_eq!(names(&first, false), ["a", "b"]);
        assert_eq!(halt_of(&first, &config, |_| false), None);

        let second = sweeping.suspect(orphans(&["a", "b", "c"]), at(300), GRACE);
        assert_eq!((names(&second, true), names(&second, false)), (vec!["a", "b"], vec!["c"]));
        assert_eq!(halt_of(&second, &config, |_| false), Some(SweepHalt { services: 3, running: 0 }));
        config.sweep_most_services = 3;
        assert_eq!(halt_of(&second, &config, |_| false), None);
        let runs = |it: &Labelled| it.service == "c";
        assert_eq!(halt_of(&second, &config, runs), Some(SweepHalt { services: 3, running: 1 }));
        config.sweep_running_services = true;
        assert_eq!(halt_of(&second, &config, runs), None);
    }

    #[test]
    fn while_nothing_is_due_nothing_halts() {
        let sweeping = Sweeping::default();
        let config = config::Services { sweep_most_services: 0, ..config::Services::default() };
        for (seconds, halt) in [(0, None), (299, None), (300, Some(SweepHalt { services: 1, running: 1 }))] {
            let suspects = sweeping.suspect(orphans(&["a"]), at(seconds), GRACE);
            assert_eq!(halt_of(&suspects, &config, |_| true), halt, "{seconds}");
        }
    }
}
