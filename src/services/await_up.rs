//! Starts of hubs that speak Outpost's protocol: they are answered when the server is up, or as soon as it certainly will not
//! come up.
//!
//! Waits for what the watches and the records tell and asks again only where time itself decides. A task of its own: a hub
//! that hangs up stops nothing, and a start that nobody waits for any more is still ended at its time.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Instrument;

use super::judge::{End, Judged, Judgement};
use super::plan::StartRequest;
use super::{Services, StartError};
use crate::cluster::Deadline;
use crate::domain::news::News;
use crate::domain::record::Details;
use crate::domain::status::{Failure, MainContainer, PodObservation};
use crate::domain::{ServiceRecord, ServiceState};

/// Between judgements of a start that looks bad: grace periods pass without news.
const JUDGE_AGAIN: Duration = Duration::from_secs(1);
/// Between attempts to write down that a start took too long.
const END_AGAIN: Duration = Duration::from_secs(5);
const LOOK_TIME: Duration = Duration::from_secs(3);
/// A start whose hub does not say how long it may take.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(300);

/// Why a server is not up.
#[derive(Debug, thiserror::Error)]
pub enum UpError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("{}", .0.error)]
    Failed(Box<Details>),
    #[error("the server did not come up in {seconds} seconds")]
    TooSlow { seconds: u64, details: Box<Details> },
    #[error("the service was stopped while it started")]
    Stopped,
}

/// A start that is waited for, until it is dropped: lists show it as pending.
struct Awaited<'a> {
    services: &'a Services,
    sequence: i64,
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        self.services.awaited().remove(&self.sequence);
    }
}

impl Services {
    /// Starts a service and waits until its main container is ready. What fails leaves nothing.
    pub async fn start_and_wait(self: &Arc<Self>, request: StartRequest) -> Result<ServiceRecord, UpError> {
        let (services, begun, timeout) = (self.clone(), Instant::now(), timeout_of(&request));
        let runtime = self.runtime_of(&request);
        let request = StartRequest { is_awaited: true, ..request };
        let asked = self.clock.now();
        let work = async move {
            let record = services.start(request).await?;
            let Err(error) = services.come_up(&record, begun, timeout).await else {
                services.count_runtime(&record, runtime).await;
                services.note_answered(record.sequence).await;
                services.announce(News::Answered { sequence: record.sequence });
                return Ok(record);
            };
            // One that was asked for before may be up, though it cannot be seen now.
            let was_there = record.start_date < asked;
            let stops = match error {
                UpError::Stopped | UpError::Start(_) => false,
                UpError::TooSlow { .. } => !was_there,
                UpError::Failed(_) => true,
            };
            if stops && let Err(error) = services.stop_start(record.clone()).await {
                tracing::warn!(id = %record.object_id, %error, "a start that failed is stopped without the database");
                let _ = services.stop_and_wait(&record.credential, &record.server_name).await;
            }
            Err(error)
        };
        tokio::spawn(work.in_current_span()).await.map_err(StartError::from)?
    }

    /// Starts a service; what becomes of it is told by polls.
    pub async fn start_in_background(self: &Arc<Self>, request: StartRequest) -> Result<ServiceRecord, StartError> {
        let (services, begun, timeout) = (self.clone(), Instant::now(), timeout_of(&request));
        let runtime = self.runtime_of(&request);
        let work = async move {
            let record = services.start(request).await?;
            let (waiting, started) = (services.clone(), record.clone());
            let late = async move {
                waiting.end_when_late(&started, begun, timeout).await;
                waiting.count_runtime(&started, runtime).await;
            };
            tokio::spawn(late.in_current_span());
            Ok(record)
        };
        tokio::spawn(work.in_current_span()).await?
    }

    /// Until the server is up, or over.
    async fn end_when_late(self: &Arc<Self>, record: &ServiceRecord, begun: Instant, timeout: Duration) {
        while let Err(UpError::TooSlow { details, .. }) = self.come_up(record, begun, timeout).await {
            // Until it is back, the database or the API server, the server may have come up.
            if self.is_certainly_late(record).await {
                match self.end_with(record.clone(), *details).await {
                    Ok(_) => return,
                    Err(error) => tracing::warn!(%error, "a start that took too long is ended later"),
                }
            }
            tokio::time::sleep(END_AGAIN).await;
        }
    }

    /// Looks past the cache: time alone is no evidence.
    async fn is_certainly_late(&self, record: &ServiceRecord) -> bool {
        if !self.cluster.is_synced(&record.objects) {
            return false;
        }
        let pods = self.cluster.watches().observe(self.mark(record).tag()).pods;
        match pods.into_iter().filter(|it| !it.is_deleting).max_by_key(|it| it.created) {
            Some(pod) => match self.cluster.look_at(&pod, Deadline::after(LOOK_TIME)).await {
                Ok(now) => !now.is_some_and(|it| it.serves() && it.is_ready),
                Err(_) => false,
            },
            // Its pods are in a cache that goes on only while the API server answers.
            None => self.confirm_gone(&record.objects).await.is_ok() && !self.has_unseen_pods(record).await,
        }
    }

    async fn come_up(
        self: &Arc<Self>,
        record: &ServiceRecord,
        begun: Instant,
        timeout: Duration,
    ) -> Result<(), UpError> {
        let sequence = record.sequence;
        self.awaited().insert(sequence);
        let _awaited = Awaited { services: self, sequence };
        let mut news = self.changes.listen(sequence);
        let mut pods = self.cluster.watches().changes().listen(self.mark(record).tag());
        loop {
            news.borrow_and_update();
            pods.borrow_and_update();
            let Some(is_suspicious) = self.look_at_start(record).await? else { return Ok(()) };
            tokio::select! {
                _ = news.changed() => {}
                _ = pods.changed() => {}
                () = tokio::time::sleep(JUDGE_AGAIN), if is_suspicious => {}
                () = tokio::time::sleep_until(begun + timeout) => {
                    let (seconds, details) = (timeout.as_secs(), Box::new(self.explain_slow(record, timeout).await));
                    return Err(UpError::TooSlow { seconds, details });
                }
            }
        }
    }

    /// `None`: it is up. Else whether it looks as though it might be over.
    async fn look_at_start(self: &Arc<Self>, record: &ServiceRecord) -> Result<Option<bool>, UpError> {
        let (state, details) = match self.known.of_sequence(record.sequence) {
            Some(known) => (known.state, known.details.clone()),
            // Another process may have begun it.
            None => match self.store.service(record.sequence).await {
                Ok(Some(stored)) => (stored.state, stored.details),
                Ok(None) => return Err(UpError::Stopped),
                Err(_) => return Ok(Some(true)),
            },
        };
        match state {
            ServiceState::Stopping => return Err(UpError::Stopped),
            ServiceState::Ended => return Err(UpError::Failed(Box::new(details.unwrap_or_default()))),
            // The hub looks for the server itself from there on; whoever comes after us tells how it ended.
            _ if self.is_ending() => return Ok(None),
            ServiceState::Starting => return Ok(Some(false)),
            ServiceState::Running => {}
        }
        let mark = self.mark(record);
        let observation = self.cluster.watches().observe(mark.tag());
        if observation.pods.iter().any(|it| it.serves() && it.is_ready) {
            return Ok(None);
        }
        let waits_for_events = !self.config.current().services.pod_events_to_fail.is_empty();
        let looks_bad = |it: &PodObservation| {
            let is_over = it.phase.is_terminal() || it.main == MainContainer::Terminated || it.stuck_since.is_some();
            !it.is_deleting && (is_over || waits_for_events && !it.serves())
        };
        let is_gone = observation.pods.is_empty() && observation.workloads.is_empty();
        if !is_gone && !observation.pods.iter().any(looks_bad) {
            return Ok(Some(false));
        }
        // As it is by now: what was made after the answer is in the record alone.
        let Ok(Some(current)) = self.store.service(record.sequence).await else { return Ok(Some(true)) };
        match self.end_of_start(&current).await {
            Some(end) => match self.end(current, &end).await {
                Ok(details) => Err(UpError::Failed(Box::new(details))),
                Err(error) => {
                    tracing::warn!(%error, "the end of a start is written down later");
                    Ok(Some(true))
                }
            },
            None => Ok(Some(true)),
        }
    }

    /// As a poll would judge it; and one that crashes again and again before it was ever up is over at once.
    async fn end_of_start(&self, record: &ServiceRecord) -> Option<End> {
        if record.state != ServiceState::Running {
            return None;
        }
        let (sequence, mark) = (record.sequence, self.mark(record));
        let judged = Judged { sequence, object_id: &record.object_id, tag: mark.tag(), objects: &record.objects };
        match self.judge(judged).await {
            Judgement::Over(end) => Some(end),
            Judgement::CannotTell => None,
            Judgement::Runs => {
                let crashes = |it: &PodObservation| it.stuck_since.is_some() && it.exit_code.is_some();
                let pods = self.cluster.watches().observe(mark.tag()).pods;
                if !pods.iter().any(crashes) {
                    return None;
                }
                let pod = self.crashing_pod(mark.tag()).await?;
                Some(End::Failed(Failure::MainTerminated(pod)))
            }
        }
    }

    /// What it waited for, as far as Kubernetes says.
    async fn explain_slow(&self, record: &ServiceRecord, timeout: Duration) -> Details {
        let error = format!("The server did not come up in {} seconds", timeout.as_secs());
        let pods = self.cluster.watches().observe(self.mark(record).tag()).pods;
        match pods.into_iter().max_by_key(|it| it.created) {
            None => Details::new(error, "It has no pod yet."),
            Some(pod) => {
                let details = self.explain(record, &End::Failed(Failure::CannotStart(pod))).await;
                Details { error, ..details }
            }
        }
    }
}

fn timeout_of(request: &StartRequest) -> Duration {
    request.outpost.as_ref().map_or(DEFAULT_TIMEOUT, |it| it.start_timeout)
}
