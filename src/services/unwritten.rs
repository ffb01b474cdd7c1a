//! Stops that could not be written down: the database is away, and a hub sends its DELETE once.
//!
//! They are kept in memory and written as soon as the database takes them. What runs is deleted at once all the same: when
//! this process ends before, the stop is not lost with it, because recovery finds that the service's objects are gone.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tracing::Instrument;

use super::{KnownService, Name, Services};
use crate::cluster::Deadline;
use crate::domain::{Mark, ServiceState};
use crate::store::StoreError;

/// Between attempts to write.
const PAUSE: Duration = Duration::from_secs(1);
const DELETION_TIME: Duration = Duration::from_secs(30);

/// The newest DELETE of each name.
#[derive(Default)]
pub struct UnwrittenStops {
    waiting: Mutex<HashMap<Name, WaitingStop>>,
}

#[derive(Clone, Debug)]
struct WaitingStop {
    asked: Timestamp,
    /// The starts that were known when it was asked for, whatever their clocks said.
    sequences: HashSet<i64>,
}

impl WaitingStop {
    /// A start that was asked for after the stop is another one's.
    fn is_of(&self, sequence: i64, start_date: Timestamp) -> bool {
        start_date <= self.asked || self.sequences.contains(&sequence)
    }
}

impl UnwrittenStops {
    fn waiting(&self) -> MutexGuard<'_, HashMap<Name, WaitingStop>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn contains(&self, name: &Name) -> bool {
        self.waiting().contains_key(name)
    }

    /// True: it is the first, and somebody has to begin to write.
    fn add(&self, name: Name, sequences: impl Iterator<Item = i64>) -> bool {
        let mut waiting = self.waiting();
        let is_first = waiting.is_empty();
        let asked = Timestamp::now();
        let stop = waiting.entry(name).or_insert_with(|| WaitingStop { asked, sequences: HashSet::new() });
        stop.asked = asked;
        stop.sequences.extend(sequences);
        show(&waiting);
        is_first
    }

    fn get(&self, name: &Name) -> Option<WaitingStop> {
        self.waiting().get(name).cloned()
    }

    /// Unless it was asked for again meanwhile.
    fn remove(&self, name: &Name, written: &WaitingStop) {
        let mut waiting = self.waiting();
        if waiting.get(name).is_some_and(|it| it.asked == written.asked) {
            waiting.remove(name);
        }
        show(&waiting);
    }

    fn names(&self) -> Vec<Name> {
        self.waiting().keys().cloned().collect()
    }
}

fn show(waiting: &HashMap<Name, WaitingStop>) {
    metrics::gauge!("k8smgr_stops_unwritten").set(waiting.len() as f64);
}

impl Services {
    /// Keeps a stop until it can be written, and deletes what is known to run.
    pub(super) fn stop_without_database(self: &Arc<Self>, name: Name) {
        let known = self.known.named(&name.0, &name.1);
        for service in &known {
            self.known.set_state(service.sequence, ServiceState::Stopping, None);
            self.changes.tell(&service.sequence);
        }
        if self.unwritten.add(name, known.iter().map(|it| it.sequence)) {
            let services = self.clone();
            self.drain.spawn(async move { services.write_stops().await }.in_current_span());
        }
        for service in known {
            let services = self.clone();
            self.drain.spawn(async move { services.delete_known(&service).await }.in_current_span());
        }
    }

    async fn write_stops(self: Arc<Self>) {
        loop {
            tokio::time::sleep(PAUSE).await;
            let names = self.unwritten.names();
            if names.is_empty() {
                return;
            }
            for name in names {
                if let Err(error) = self.write_waiting_stop(&name).await {
                    tracing::debug!(%error, "a stop still waits for the database");
                    break;
                }
            }
        }
    }

    /// Writes a stop down that waits for the database, if there is one, and begins to carry it out.
    pub(super) async fn write_waiting_stop(self: &Arc<Self>, name: &Name) -> Result<(), StoreError> {
        let Some(stop) = self.unwritten.get(name) else { return Ok(()) };
        let (credential, server_name) = name;
        let mut stopping = self.store.services_named(credential, server_name).await?;
        stopping.retain(|it| stop.is_of(it.sequence, it.start_date));
        for record in &stopping {
            self.begin_stop(record.sequence).await?;
        }
        self.unwritten.remove(name, &stop);
        tracing::info!(%credential, %server_name, starts = stopping.len(), "a stop that waited is written down");
        self.finish_stops(stopping);
        Ok(())
    }

    /// Deletes what runs, then the owner, which takes the rest along. What fails is done once the stop is written.
    async fn delete_known(&self, service: &KnownService) {
        let deadline = Deadline::after(DELETION_TIME);
        let name = (service.credential.clone(), service.server_name.clone());
        let Some(_turn) = self.turns.take(&name, deadline).await else { return };
        let Some((owner, workloads)) = service.objects.split_first() else { return };
        let KnownService { credential, server_name, start_id, start_date, .. } = service;
        let mark = Mark::new(&self.site.installation, credential, server_name, start_id, *start_date);
        let deleted = async {
            self.delete_all(workloads, &mark, deadline).await?;
            self.delete_all(std::slice::from_ref(owner), &mark, deadline).await
        };
        if let Err(error) = deleted.await {
            tracing::warn!(id = %service.object_id, %error, "a stop is carried out later");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Credential, ServerName};

    fn name(server_name: &str) -> Name {
        (Credential::parse("hub").unwrap(), ServerName::parse(server_name).unwrap())
    }

    #[test]
    fn a_start_that_was_asked_for_after_the_stop_is_spared() {
        let stops = UnwrittenStops::default();
        assert!(stops.add(name("lab"), [7].into_iter()));
        assert!(!stops.add(name("other"), std::iter::empty()));
        let stop = stops.get(&name("lab")).unwrap();
        let (before, after) = (Timestamp::UNIX_EPOCH, Timestamp::MAX);
        assert!(stop.is_of(7, before) && stop.is_of(7, after) && stop.is_of(8, before));
        assert!(!stop.is_of(8, after));
    }

    #[test]
    fn a_stop_that_came_while_another_was_written_stays() {
        let stops = UnwrittenStops::default();
        stops.add(name("lab"), [1].into_iter());
        let mut written = stops.get(&name("lab")).unwrap();
        written.asked = Timestamp::UNIX_EPOCH;
        stops.remove(&name("lab"), &written);
        assert!(stops.contains(&name("lab")));
        stops.remove(&name("lab"), &stops.get(&name("lab")).unwrap());
        assert!(!stops.contains(&name("lab")));
    }
}
