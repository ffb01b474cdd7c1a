//! Announces what happens to starts, and ends at once what somebody saw fail, as the next poll would. Knows nobody who
//! listens, waits for nobody, and loses what nobody takes.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use jiff::SignedDuration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Services;
use super::judge::{End, Judged, Judgement};
use super::known::KnownService;
use super::plan::Plan;
use crate::cluster::Deadline;
use crate::domain::mark::ServiceTag;
use crate::domain::news::{BegunStart, CountedService, HubAddress, News, StartUnderWay, Suspicion};
use crate::domain::status::{Failure, MainContainer, PodObservation};
use crate::domain::{AppliedObject, ServiceRecord, ServiceState};

/// A start that takes longer is not told of any more after a restart of ours.
const YOUNG: SignedDuration = SignedDuration::from_mins(15);
const AT_ONCE: usize = 8;
/// A database that is away is asked again by whoever suspects again.
const READING_TIME: Duration = Duration::from_secs(3);

impl Services {
    /// Where news go, too, from now on.
    pub fn announce_to(&self, listener: mpsc::Sender<News>) {
        self.news.write().unwrap_or_else(PoisonError::into_inner).push(listener);
    }

    pub(super) fn announce(&self, news: News) {
        for listener in self.news.read().unwrap_or_else(PoisonError::into_inner).iter() {
            if let Err(error) = listener.try_send(news.clone()) {
                tracing::debug!(%error, "nobody hears of a start");
            }
        }
        if let Some(sequence) = news.sequence() {
            self.changes.tell(&sequence);
        }
    }

    pub(super) fn announce_begun(&self, plan: &Plan, record: &ServiceRecord) {
        let Some(owner) = plan.objects.first() else { return };
        let environment = &owner.manifest.object["stringData"];
        let is_of_outpost = record.server_name.outpost_name().is_some();
        let address = HubAddress::of_environment(is_of_outpost, |name| environment[name].as_str().map(str::to_owned));
        let start = StartUnderWay {
            sequence: record.sequence,
            credential: record.credential.clone(),
            is_of_outpost,
            object_id: record.object_id.clone(),
            start_date: record.start_date,
            label: plan.mark.service().to_owned(),
            owner: owner.target.clone(),
            namespaces: namespaces(&record.objects),
        };
        let (began, is_awaited) = (self.clock.moment(), plan.is_awaited);
        self.announce(News::Begun(Box::new(BegunStart { start, began, address, is_awaited })));
    }

    /// Of what the change feed tells, whichever process it was.
    pub(super) fn announce_state(&self, record: &ServiceRecord) {
        let sequence = record.sequence;
        if record.server_name.outpost_name().is_some() {
            self.announce_counted(record);
        }
        match (record.state, &record.details) {
            (ServiceState::Stopping, _) => self.announce(News::Gone { sequence }),
            (ServiceState::Ended, Some(details)) => self.announce(News::Ended { sequence, details: details.clone() }),
            _ => {}
        }
    }

    /// One that counts. What ends or stops is announced anyway.
    fn announce_counted(&self, record: &ServiceRecord) {
        if !matches!(record.state, ServiceState::Starting | ServiceState::Running) {
            return;
        }
        let owner = record.objects.first().filter(|_| record.state == ServiceState::Running).cloned();
        let (sequence, credential) = (record.sequence, record.credential.clone());
        self.announce(News::Counted(Box::new(CountedService { sequence, credential, owner })));
    }

    /// Whether a pod of this service serves, as far as the watches have seen.
    pub fn serves(&self, record: &ServiceRecord) -> bool {
        self.cluster.watches().serves(self.mark(record).tag())
    }

    /// The starts of the last minutes whose servers do not run yet, as far as this process has seen.
    pub fn starts_under_way(&self) -> Vec<StartUnderWay> {
        let now = self.clock.now();
        let watches = self.cluster.watches();
        // On a database of its own a process has begun itself what was not there before.
        let inherited = if self.store.is_shared() { i64::MAX } else { self.inherited.load(Ordering::SeqCst) };
        let is_under_way = |it: &Arc<KnownService>| {
            it.sequence <= inherited
                && now.duration_since(it.start_date) < YOUNG
                && watches.are_synced(&it.watched)
                && !watches.serves(it.tag)
        };
        self.known.running().iter().filter(|it| is_under_way(it)).filter_map(|it| under_way(it)).collect()
    }

    async fn end_if_suspected(self: &Arc<Self>, Suspicion { sequence, has_crashed }: Suspicion) {
        let record = match self.store.in_time_or_away(READING_TIME, self.store.service(sequence)).await {
            Ok(Some(record)) if record.state == ServiceState::Running => record,
            // Whoever suspects did not hear of it: the change feed may have lost some.
            Ok(Some(record)) => return self.announce_state(&record),
            Ok(None) => return self.announce(News::Gone { sequence }),
            Err(error) => {
                tracing::debug!(sequence, %error, "a start that seems to have failed is judged later");
                return;
            }
        };
        let mark = self.mark(&record);
        let judged = Judged { sequence, object_id: &record.object_id, tag: mark.tag(), objects: &record.objects };
        let end = match self.judge(judged).await {
            Judgement::Over(end) => end,
            Judgement::Runs if has_crashed => match self.crashing_pod(mark.tag()).await {
                Some(pod) => End::Failed(Failure::MainTerminated(pod)),
                None => return,
            },
            Judgement::Runs | Judgement::CannotTell => return,
        };
        // From here on a poll says so, too.
        if let Err(error) = self.end(record, &end).await {
            tracing::debug!(sequence, %error, "the end of a start is written down later");
        }
    }

    /// The pod of a start, where it still waits to be started again after its crashes, and no other one serves.
    pub(super) async fn crashing_pod(&self, tag: ServiceTag) -> Option<PodObservation> {
        let pods = self.cluster.watches().observe(tag).pods;
        if pods.iter().any(PodObservation::serves) {
            return None;
        }
        let newest = pods.into_iter().filter(|it| !it.is_deleting).max_by_key(|it| it.created)?;
        let now = self.cluster.look_at(&newest, Deadline::after(READING_TIME)).await.ok()??;
        let waits = now.main == MainContainer::Waiting && now.stuck_since.is_some();
        (waits || now.main == MainContainer::Terminated).then_some(now)
    }
}

/// Judges services that somebody saw fail, until nobody can any more.
pub async fn end_suspected_forever(services: Arc<Services>, mut suspected: mpsc::Receiver<Suspicion>) {
    let mut judging = JoinSet::new();
    while let Some(suspicion) = suspected.recv().await {
        while judging.len() >= AT_ONCE {
            judging.join_next().await;
        }
        while judging.try_join_next().is_some() {}
        let services = services.clone();
        judging.spawn(async move { services.end_if_suspected(suspicion).await });
    }
}

fn under_way(known: &KnownService) -> Option<StartUnderWay> {
    Some(StartUnderWay {
        sequence: known.sequence,
        credential: known.credential.clone(),
        is_of_outpost: known.server_name.outpost_name().is_some(),
        object_id: known.object_id.clone(),
        start_date: known.start_date,
        label: known.tag.to_string(),
        owner: known.objects.first()?.clone(),
        namespaces: namespaces(&known.objects),
    })
}

fn namespaces(objects: &[AppliedObject]) -> Vec<String> {
    let mut found: Vec<String> =
        objects.iter().filter(|it| it.is_workload).filter_map(|it| it.namespace.clone()).collect();
    found.sort();
    found.dedup();
    found
}
