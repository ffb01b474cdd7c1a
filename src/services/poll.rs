//! Telling a hub whether a service runs. Never fails because of the cluster.

use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument;

use super::judge::{End, Judgement};
use super::stop::RemoveError;
use super::{PollError, Services, name_of};
use crate::cluster::Deadline;
use crate::domain::record::Details;
use crate::domain::{Credential, ServerName, ServiceRecord, ServiceState};
use crate::fail_points::fail_point;
use crate::store::StoreError;

const CANNOT_TELL: &str = "services.utils.status_service";
const WATCH_TIME: Duration = Duration::from_secs(10);
const DELETION_TIME: Duration = Duration::from_secs(30);

/// A service and whether it runs. `details` say why not.
#[derive(Clone, Debug)]
pub struct ServiceStatus {
    pub record: ServiceRecord,
    pub running: bool,
    pub details: Option<Details>,
}

impl Services {
    /// The newest start of a name. That it was polled lets the older ones go.
    pub async fn poll(
        self: &Arc<Self>,
        credential: &Credential,
        server_name: &ServerName,
    ) -> Result<ServiceStatus, PollError> {
        let record = self.store.newest_service(credential, server_name).await?.ok_or(PollError::NotFound)?;
        self.newest_was_polled(&record).await;
        self.status(record).await
    }

    pub(super) async fn status(self: &Arc<Self>, record: ServiceRecord) -> Result<ServiceStatus, PollError> {
        let running = |record, details| Ok(ServiceStatus { record, running: true, details });
        match record.state {
            ServiceState::Starting => running(record, None),
            ServiceState::Stopping => Ok(ServiceStatus { record, running: false, details: None }),
            ServiceState::Ended => {
                let details = record.details.clone();
                Ok(ServiceStatus { record, running: false, details })
            }
            ServiceState::Running => match self.judge(&record).await {
                Judgement::Runs => running(record, None),
                // Its watches may not have begun yet, but what this process started is known to have been made.
                Judgement::CannotTell if self.started().contains(&record.sequence) => running(record, None),
                Judgement::CannotTell => {
                    self.watch_soon(&record);
                    running(record, Some(self.cannot_tell()))
                }
                Judgement::Over(end) => Ok(self.end(record, &end).await?),
            },
        }
    }

    fn cannot_tell(&self) -> Details {
        let config = self.config.current();
        Details {
            error: config.error_message(CANNOT_TELL, "Could not check status service.").to_owned(),
            detailed_error:
                "The Kubernetes API server has not answered since K8s Manager was restarted; its log says why."
                    .to_owned(),
        }
    }

    /// Begins the watches that a service needs, where they are missing. Does not wait for them.
    pub(super) fn watch_soon(self: &Arc<Self>, record: &ServiceRecord) {
        let (services, objects) = (self.clone(), record.objects.clone());
        let watch = async move {
            if let Err(error) = services.cluster.watch(&objects, Deadline::after(WATCH_TIME)).await {
                tracing::debug!(%error, "a service cannot be watched yet");
            }
        };
        tokio::spawn(watch.in_current_span());
    }

    /// The service is over, for good: the hub will send no DELETE. Its explanation is kept, its workload goes at once.
    async fn end(self: &Arc<Self>, record: ServiceRecord, end: &End) -> Result<ServiceStatus, PollError> {
        let details = self.explain(&record, end).await;
        let (services, ended, kept) = (self.clone(), record.clone(), details.clone());
        // In one piece, also when the hub hangs up meanwhile.
        let latch = async move {
            fail_point!(EndBeforeLatch);
            if services.store.latch_end(ended.sequence, &kept, services.clock.now()).await? {
                fail_point!(EndAfterLatch);
                services.ages.seen_for(ended.sequence, ServiceState::Ended, &services.clock);
                tracing::info!(
                    credential = %ended.credential, server_name = %ended.server_name, start_id = %ended.start_id,
                    reason = kept.error, "service ended by itself"
                );
                tokio::spawn(async move { services.delete_workload(ended).await }.in_current_span());
            }
            Ok::<_, StoreError>(())
        };
        tokio::spawn(latch.in_current_span()).await??;
        Ok(ServiceStatus { record, running: false, details: Some(details) })
    }

    /// Deletes what runs of a service that ended, and takes note of it. What fails (false) is tried again by `recover`.
    pub(super) async fn delete_workload(&self, record: ServiceRecord) -> bool {
        let deadline = Deadline::after(DELETION_TIME);
        let Some(_turn) = self.turns.take(&name_of(&record), deadline).await else { return false };
        let mark = self.mark(&record);
        let (workload, others): (Vec<_>, Vec<_>) = record.objects.into_iter().partition(|it| it.is_workload);
        let noted = match self.delete_all(&workload, &mark, deadline).await {
            Ok(()) => {
                fail_point!(EndAfterWorkload);
                self.store.set_objects(record.sequence, &others).await.map_err(RemoveError::from)
            }
            Err(error) => Err(error.into()),
        };
        if let Err(error) = noted {
            tracing::warn!(id = %record.object_id, %error, "the workload of an ended service is deleted later");
            return false;
        }
        fail_point!(EndAfterNote);
        true
    }
}
