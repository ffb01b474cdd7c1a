//! Telling a hub whether a service runs. Never fails because of the cluster.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tracing::Instrument;

use super::judge::{End, Judgement};
use super::{PollError, Services};
use crate::cluster::Deadline;
use crate::domain::record::Details;
use crate::domain::{Credential, ServerName, ServiceRecord, ServiceState};
use crate::store::StoreError;

const CANNOT_TELL: &str = "services.utils.status_service";
/// Between attempts to delete the workload of a service that ended.
const DELETION_PAUSE: Duration = Duration::from_secs(5);
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
                Judgement::CannotTell if record.start_date >= self.began => running(record, None),
                Judgement::CannotTell => running(record, Some(self.cannot_tell())),
                Judgement::Over(end) => Ok(self.end(record, &end).await?),
            },
        }
    }

    fn cannot_tell(&self) -> Details {
        let config = self.config.current();
        Details {
            error: config.error_message(CANNOT_TELL, "Could not check status service.").to_owned(),
            detailed_error: "The Kubernetes API server has not been reached since this service was restarted."
                .to_owned(),
        }
    }

    /// The service is over, for good: the hub will send no DELETE. Its explanation is kept, its workload goes at once.
    async fn end(self: &Arc<Self>, record: ServiceRecord, end: &End) -> Result<ServiceStatus, StoreError> {
        let details = self.explain(&record, end).await;
        let ended_at = Timestamp::now();
        if self.store.latch_end(record.sequence, &details, ended_at).await? {
            tracing::info!(
                credential = %record.credential, server_name = %record.server_name, start_id = %record.start_id,
                reason = details.error, "service ended by itself"
            );
            self.delete_workload(record.clone());
        }
        Ok(ServiceStatus { record, running: false, details: Some(details) })
    }

    /// Deletes what runs of a service that ended, in the background, for as long as it takes.
    pub(super) fn delete_workload(self: &Arc<Self>, record: ServiceRecord) {
        let services = self.clone();
        let work = async move {
            let workload: Vec<_> = record.objects.iter().filter(|it| it.is_workload).cloned().collect();
            let mark = services.mark(&record);
            while let Err(error) = services.delete_all(&workload, &mark, Deadline::after(DELETION_TIME)).await {
                tracing::warn!(id = %record.object_id, %error, "the workload of an ended service is deleted later");
                tokio::time::sleep(DELETION_PAUSE).await;
            }
        }
        .in_current_span();
        tokio::spawn(work);
    }
}
