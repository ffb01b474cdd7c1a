//! Starting a service.

use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument;

use super::plan::{Plan, StartRequest};
use super::{Services, StartError, name_of};
use crate::cluster::Deadline;
use crate::domain::{ServiceRecord, ServiceState};
use crate::store::Inserted;

/// Hubs give up after 20 s unless told otherwise; the answer has to be there before.
const START_TIME: Duration = Duration::from_secs(13);
/// What may be spent on removing a start that failed before the hub is told. The rest happens in the background.
const ROLL_BACK_TIME: Duration = Duration::from_secs(2);

enum Claim {
    Ours(Box<ServiceRecord>),
    /// The same start was asked for before.
    StartedBefore(Box<ServiceRecord>),
}

impl Services {
    /// Starts a service, or finds it started by the same request before. It goes on when the caller hangs up: a start
    /// is carried through or rolled back, never left half done.
    pub async fn start(self: &Arc<Self>, request: StartRequest) -> Result<ServiceRecord, StartError> {
        let services = self.clone();
        tokio::spawn(async move { services.start_or_roll_back(request).await }.in_current_span()).await?
    }

    async fn start_or_roll_back(self: &Arc<Self>, request: StartRequest) -> Result<ServiceRecord, StartError> {
        let deadline = Deadline::after(START_TIME);
        let _turn = self.turns.take(&(request.credential.clone(), request.server_name.clone())).await;
        let (plan, mut record) = match self.claim(request, deadline).await? {
            (_, Claim::StartedBefore(record)) => return Ok(*record),
            (plan, Claim::Ours(record)) => (plan, record),
        };
        match self.carry_out(plan, &mut record, deadline).await {
            Ok(()) => {
                tracing::info!(
                    credential = %record.credential, server_name = %record.server_name, start_id = %record.start_id,
                    "service started"
                );
                Ok(*record)
            }
            Err(error) => {
                self.store.begin_stop(record.sequence).await?;
                if let Err(left) = self.remove(&record, Deadline::after(ROLL_BACK_TIME)).await {
                    tracing::warn!(id = %record.object_id, error = %left, "a failed start is removed later");
                }
                Err(error)
            }
        }
    }

    /// Writes the start down. From here on it is finished or rolled back, whatever happens to the process.
    async fn claim(self: &Arc<Self>, request: StartRequest, deadline: Deadline) -> Result<(Plan, Claim), StartError> {
        let plan = self.plan(request, deadline).await?;
        loop {
            let named = self.store.services_named(&plan.new.credential, &plan.new.server_name).await?;
            match named.iter().find(|it| it.start_id == plan.new.start_id) {
                Some(same) if matches!(same.state, ServiceState::Starting | ServiceState::Running) => {
                    return Ok((plan, Claim::StartedBefore(Box::new(same.clone()))));
                }
                // The same name and start id again after its end: what is left of it makes room first.
                Some(same) => {
                    self.store.begin_stop(same.sequence).await?;
                    self.remove(same, deadline).await.map_err(|_| StartError::EarlierStartRemains)?;
                    continue;
                }
                None => {}
            }
            match self.store.insert_service(&plan.new).await? {
                Inserted::New(record) => {
                    self.supersede(&record, named);
                    return Ok((plan, Claim::Ours(Box::new(record))));
                }
                Inserted::SameStart(record) => return Ok((plan, Claim::StartedBefore(Box::new(record)))),
                Inserted::IdTaken => {
                    return Err(StartError::NameTaken { object_id: plan.new.object_id.to_string() });
                }
            }
        }
    }

    async fn carry_out(&self, plan: Plan, record: &mut ServiceRecord, deadline: Deadline) -> Result<(), StartError> {
        self.make_home(record).await?;
        let mark = self.mark(record);
        let files = plan.files.clone();
        self.apply_all(plan, record, &mark, deadline).await?;
        self.write_files(&record.object_id, files).await;
        self.store.set_objects(record.sequence, &record.objects).await?;
        if !self.store.mark_running(record.sequence).await? {
            return Err(StartError::Stopped);
        }
        record.state = ServiceState::Running;
        Ok(())
    }

    async fn make_home(&self, record: &ServiceRecord) -> Result<(), StartError> {
        let config = self.config.current();
        let (credential, server_name) = name_of(record);
        let (service, user_id) = (record.service.clone(), record.jhub_user_id);
        let made = tokio::task::spawn_blocking(move || {
            crate::user_homes::ensure(&config.userhomes, &credential, &service, user_id)
        });
        let outcome = made.await??;
        tracing::debug!(%server_name, user_id, ?outcome, "user home is there");
        Ok(())
    }
}
