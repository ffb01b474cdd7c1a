//! Telling a hub whether a service runs. Never fails because of the cluster or the database.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tracing::Instrument;

use super::judge::{End, Judged, Judgement};
use super::known::KnownService;
use super::stop::RemoveError;
use super::{PollError, Services, name_of};
use crate::cluster::Deadline;
use crate::domain::news::News;
use crate::domain::record::Details;
use crate::domain::{AppliedObject, Credential, ServerName, ServiceRecord, ServiceState};
use crate::fail_points::fail_point;
use crate::store::StoreError;

const CANNOT_TELL: &str = "services.utils.status_service";
/// A poll waits this long for the database.
const CONFIRM_TIME: Duration = Duration::from_secs(3);
const DELETION_TIME: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub(super) enum EndError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the writing broke off")]
    BrokeOff(#[from] tokio::task::JoinError),
}

/// A service and whether it runs. `details` say why not.
#[derive(Clone, Debug)]
pub struct ServiceStatus {
    pub record: ServiceRecord,
    pub running: bool,
    pub details: Option<Details>,
}

/// What a poll is told.
#[derive(Clone, Debug)]
pub enum Polled {
    /// From memory: it runs, and there is no more to say.
    Runs(Arc<KnownService>),
    /// From memory, with details or without the database's confirmation.
    Remembered { service: Arc<KnownService>, running: bool, details: Option<Details> },
    /// From the database.
    Status(Box<ServiceStatus>),
    /// The database cannot be asked and nothing was ever known: true, until somebody knows.
    Unknown(Details),
}

impl Polled {
    pub fn is_running(&self) -> bool {
        match self {
            Polled::Runs(_) | Polled::Unknown(_) => true,
            Polled::Remembered { running, .. } => *running,
            Polled::Status(status) => status.running,
        }
    }
}

impl Services {
    /// The newest start of a name. That it was polled lets the older ones go.
    ///
    /// Where the memory says that it runs, nobody else is asked. Whatever else it says is confirmed by the database:
    /// another process may have started the name again.
    pub async fn poll(
        self: &Arc<Self>,
        credential: &Credential,
        server_name: &ServerName,
    ) -> Result<Polled, PollError> {
        let Some(known) = self.known.newest(credential, server_name) else {
            // Boxed, here and below: the future of the everyday poll stays small.
            return Box::pin(self.poll_database(credential, server_name, None)).await;
        };
        let over = match self.judge_known(&known).await {
            Some(Judgement::Over(end)) => Some((known.sequence, end)),
            Some(Judgement::Runs) => {
                self.newest_was_polled(credential, server_name, known.sequence).await;
                return Ok(Polled::Runs(known));
            }
            Some(Judgement::CannotTell) => {
                self.newest_was_polled(credential, server_name, known.sequence).await;
                return Ok(Polled::Remembered { service: known, running: true, details: Some(self.cannot_tell()) });
            }
            None => None,
        };
        Box::pin(self.poll_database(credential, server_name, over)).await
    }

    /// `None` where the memory alone cannot say that a service runs.
    async fn judge_known(self: &Arc<Self>, known: &Arc<KnownService>) -> Option<Judgement> {
        match known.state {
            ServiceState::Starting => return Some(Judgement::Runs),
            ServiceState::Running => {}
            ServiceState::Stopping | ServiceState::Ended => return None,
        }
        let watches = self.cluster.watches();
        if watches.are_synced(&known.watched) && watches.serves(known.tag) {
            return Some(Judgement::Runs);
        }
        Some(match Box::pin(self.judge(known.judged())).await {
            Judgement::CannotTell => self.not_seen_yet(known.sequence, &known.objects),
            judgement => judgement,
        })
    }

    /// The watches that decide have not begun, or have not seen everything yet.
    fn not_seen_yet(self: &Arc<Self>, sequence: i64, objects: &[AppliedObject]) -> Judgement {
        self.watch_soon(objects.to_owned());
        // What was started while we were here, by whomever, is known to have been made.
        if sequence > self.inherited.load(Ordering::SeqCst) { Judgement::Runs } else { Judgement::CannotTell }
    }

    /// `over`: the memory's newest start and why it is over, as far as the cluster says.
    async fn poll_database(
        self: &Arc<Self>,
        credential: &Credential,
        server_name: &ServerName,
        mut over: Option<(i64, End)>,
    ) -> Result<Polled, PollError> {
        loop {
            let record = match self.newest_in_database(credential, server_name).await {
                Ok(record) => record.ok_or(PollError::NotFound)?,
                Err(error) => return self.poll_without_database(credential, server_name, &error),
            };
            self.newest_was_polled(credential, server_name, record.sequence).await;
            let judgement = match record.state {
                ServiceState::Starting => Judgement::Runs,
                ServiceState::Running => match over.take() {
                    Some((sequence, end)) if sequence == record.sequence => Judgement::Over(end),
                    _ => {
                        let (sequence, object_id, mark) = (record.sequence, &record.object_id, self.mark(&record));
                        self.judge(Judged { sequence, object_id, tag: mark.tag(), objects: &record.objects }).await
                    }
                },
                ServiceState::Stopping => return Ok(told(record, false, None)),
                ServiceState::Ended => {
                    let details = record.details.clone();
                    return Ok(told(record, false, details));
                }
            };
            let judgement = match judgement {
                Judgement::CannotTell => self.not_seen_yet(record.sequence, &record.objects),
                judgement => judgement,
            };
            match judgement {
                Judgement::Runs => return Ok(told(record, true, None)),
                Judgement::CannotTell => return Ok(told(record, true, Some(self.cannot_tell()))),
                Judgement::Over(end) => match self.end(record.clone(), &end).await {
                    // Explaining took a while: the name may have been started again meanwhile.
                    Ok(details) => match self.newest_in_database(credential, server_name).await {
                        Ok(Some(newest)) if newest.sequence != record.sequence => continue,
                        _ => return Ok(told(record, false, Some(details))),
                    },
                    // The hub sends no DELETE after `running: false`: nobody is told that a server is over before that is
                    // written down, or the workload of a server that nobody asks for again would stay for ever. The
                    // next poll tries again.
                    Err(error) => {
                        tracing::warn!(id = %record.object_id, %error, "the end of a service is written down later");
                        return Ok(told(record, true, None));
                    }
                },
            }
        }
    }

    async fn newest_in_database(
        &self,
        credential: &Credential,
        server_name: &ServerName,
    ) -> Result<Option<ServiceRecord>, StoreError> {
        self.store.in_time_or_away(CONFIRM_TIME, self.store.newest_service(credential, server_name)).await
    }

    /// The answer while the database cannot be asked. A hub takes `running: false`, a 404 and every failure alike for the
    /// end of the server, forgets it and sends no DELETE: what really runs would run for ever. A "yes" that is wrong is
    /// put right by the first poll after the outage. So:
    ///
    /// - a stop that was asked of this very process is told as one;
    /// - what was known to run goes on;
    /// - what was known to be over is over where nobody else can have started it again, and "cannot be told" where other
    ///   processes share the database: hubs poll what they believe to run, and they were told of this end;
    /// - so is a name that is not known: the hub polls it because somebody once told it 201.
    fn poll_without_database(
        &self,
        credential: &Credential,
        server_name: &ServerName,
        error: &StoreError,
    ) -> Result<Polled, PollError> {
        tracing::debug!(%error, %credential, %server_name, "a poll is answered without the database");
        metrics::counter!("k8smgr_polls_without_database_total").increment(1);
        let was_stopped = self.unwritten.contains(&(credential.clone(), server_name.clone()));
        let details = self.database_away();
        Ok(match self.known.newest(credential, server_name) {
            None if was_stopped => return Err(PollError::NotFound),
            None => Polled::Unknown(details),
            Some(it) if matches!(it.state, ServiceState::Starting | ServiceState::Running) => Polled::Runs(it),
            Some(service) if was_stopped || !self.store.is_shared() => {
                let details = service.details.clone();
                Polled::Remembered { service, running: false, details }
            }
            Some(service) => Polled::Remembered { service, running: true, details: Some(details) },
        })
    }

    fn database_away(&self) -> Details {
        let config = self.config.current();
        Details::new(
            config.error_message(CANNOT_TELL, "Could not check status service."),
            "The database of K8s Manager does not answer; its log says why.",
        )
    }

    fn cannot_tell(&self) -> Details {
        let config = self.config.current();
        Details::new(
            config.error_message(CANNOT_TELL, "Could not check status service."),
            "The Kubernetes API server has not answered since K8s Manager was restarted; its log says why.",
        )
    }

    /// As a poll would, for a service that nobody may poll.
    pub(super) async fn end_if_over(self: &Arc<Self>, record: ServiceRecord) -> Result<(), EndError> {
        let (sequence, object_id, mark) = (record.sequence, &record.object_id, self.mark(&record));
        if let Judgement::Over(end) =
            self.judge(Judged { sequence, object_id, tag: mark.tag(), objects: &record.objects }).await
        {
            self.end(record, &end).await?;
        }
        Ok(())
    }

    /// The service is over, for good: the hub will send no DELETE. Its explanation is kept, its workload goes at once.
    pub(super) async fn end(self: &Arc<Self>, record: ServiceRecord, end: &End) -> Result<Details, EndError> {
        let details = self.explain(&record, end).await;
        self.end_with(record, details).await
    }

    /// The same, explained already.
    pub(super) async fn end_with(
        self: &Arc<Self>,
        record: ServiceRecord,
        details: Details,
    ) -> Result<Details, EndError> {
        let (services, ended, kept) = (self.clone(), record, details.clone());
        // In one piece, also when the hub hangs up meanwhile.
        let latch = async move {
            fail_point!(EndBeforeLatch);
            if services.store.latch_end(ended.sequence, &kept, services.clock.now()).await? {
                fail_point!(EndAfterLatch);
                services.ages.seen_for(ended.sequence, ServiceState::Ended, &services.clock);
                services.known.set_state(ended.sequence, ServiceState::Ended, Some(kept.clone()));
                services.announce(News::Ended { sequence: ended.sequence, details: kept.clone() });
                metrics::counter!("k8smgr_services_ended_total").increment(1);
                tracing::info!(
                    credential = %ended.credential, server_name = %ended.server_name, start_id = %ended.start_id,
                    reason = kept.error, "service ended by itself"
                );
                services.clone().drain.spawn(async move { services.delete_workload(ended).await }.in_current_span());
            }
            Ok::<_, StoreError>(())
        };
        self.drain.spawn(latch.in_current_span()).await??;
        Ok(details)
    }

    /// Deletes what runs of a service that ended, and takes note of it. What fails (false) is tried again by `recover`.
    pub(super) async fn delete_workload(&self, record: ServiceRecord) -> bool {
        let deadline = Deadline::after(DELETION_TIME);
        let Some(_turn) = self.turns.take(&name_of(&record), deadline).await else { return false };
        if let Err(error) = self.delete_workload_in_turn(record.sequence, deadline).await {
            tracing::warn!(id = %record.object_id, %error, "the workload of an ended service is deleted later");
            return false;
        }
        fail_point!(EndAfterNote);
        true
    }

    async fn delete_workload_in_turn(&self, sequence: i64, deadline: Deadline) -> Result<(), RemoveError> {
        // As it is by now: an update that had the turn before may have made more.
        let record = match self.store.service(sequence).await? {
            Some(record) if record.state == ServiceState::Ended => record,
            _ => return Ok(()),
        };
        let (mark, is_unsettled) = (self.mark(&record), self.is_unsettled(&record));
        let (workload, others): (Vec<_>, Vec<_>) = record.objects.into_iter().partition(|it| it.is_workload);
        self.delete_all(&workload, &mark, deadline).await?;
        fail_point!(EndAfterWorkload);
        // What the API server did not confirm may still come: the next survey looks again.
        if !is_unsettled {
            self.store.set_objects(sequence, &others).await?;
        }
        Ok(())
    }
}

fn told(record: ServiceRecord, running: bool, details: Option<Details>) -> Polled {
    Polled::Status(Box::new(ServiceStatus { record, running, details }))
}
