//! What hubs ask for. Any replica takes it: the record is written, the one that leads does the work, and the change feed
//! tells what came of it.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};
use uuid::Uuid;

use super::{MakeError, RequestError, UserJobs, target};
use crate::domain::{Credential, ForwardedPort, NewUserJob, ServerName, ServiceState, UserJob, UserJobState};
use crate::store::{Changes, StoreError};

/// A hub gives up after 20 s.
const ANSWER_TIME: Duration = Duration::from_millis(14_500);
/// A DELETE is answered then, and carried out all the same.
const DELETE_TIME: Duration = Duration::from_secs(8);
const EXISTS: &str = "user jobs model with this service already exists.";

/// A job that is asked for.
#[derive(Clone, Debug)]
pub struct UserJobRequest {
    pub credential: Credential,
    pub service: String,
    pub hostname: String,
    pub target_node: String,
    pub ports: Vec<ForwardedPort>,
    /// The server that asks for it, where that is told.
    pub server_name: Option<ServerName>,
}

impl UserJobs {
    /// Makes a job, or leaves nothing of it.
    pub async fn create(&self, request: UserJobRequest) -> Result<UserJob, RequestError> {
        let created = self.try_create(request).await;
        let outcome = match &created {
            Ok(_) => "made",
            Err(RequestError::Wrong(_)) => "refused",
            Err(_) => "failed",
        };
        metrics::counter!("k8smgr_user_job_requests_total", "outcome" => outcome).increment(1);
        created
    }

    async fn try_create(&self, request: UserJobRequest) -> Result<UserJob, RequestError> {
        self.check(&request).await?;
        let mut changes = self.store.changes().await;
        let job = self.write_down(request).await?;
        if let Some(told) = self.outcome(job.sequence, &mut changes).await {
            return told;
        }
        // Not made in time: from here on it is not to be made.
        if self.store.change_user_job(job.sequence, &[UserJobState::Starting], UserJobState::Stopping, None).await? {
            let text = match self.ending.is_cancelled() {
                true => "K8s Manager is being restarted; try again".to_owned(),
                false => format!("it was not made within {} s, and is not made any more", ANSWER_TIME.as_secs()),
            };
            return Err(RequestError::Failed(text));
        }
        match self.look(job.sequence).await? {
            Some(told) => told,
            None => Err(RequestError::Failed("it was not made".to_owned())),
        }
    }

    /// Everything that can be told without making anything.
    async fn check(&self, request: &UserJobRequest) -> Result<(), RequestError> {
        let settings = self.config.current();
        let checks = [
            target::check_service(&request.service),
            target::check_ports(&request.ports),
            target::check_hostname(&request.hostname),
            target::check_target_node(&request.target_node, &settings.userjobs.allowed_target_nodes),
        ];
        let wrong: Vec<_> = checks.into_iter().filter_map(Result::err).collect();
        if !wrong.is_empty() {
            return Err(RequestError::Wrong(wrong));
        }
        let hostnames = self.hostnames().await.map_err(failed)?;
        if !hostnames.contains(&request.hostname) {
            let error = MakeError::NoAlias(request.hostname.clone());
            return Err(RequestError::wrong(error.field(), &error.to_string()));
        }
        match self.store.user_job(&request.credential, &request.service).await? {
            Some(job) if job.state == UserJobState::Stopping => {
                return Err(RequestError::wrong("service", "The job of this name is just being removed; try again."));
            }
            Some(job) if job.state.is_wanted() => return Err(RequestError::wrong("service", EXISTS)),
            _ => {}
        }
        let is_taken = self.has_service(&request.service).await;
        let is_taken =
            is_taken.map_err(|source| failed(MakeError::Service { name: request.service.clone(), source }))?;
        if is_taken {
            let text = "There is a Service of this name already, which belongs to somebody else.";
            return Err(RequestError::wrong("service", text));
        }
        Ok(())
    }

    async fn write_down(&self, request: UserJobRequest) -> Result<UserJob, RequestError> {
        let new = NewUserJob {
            owner: self.owner_of(&request).await?,
            credential: request.credential,
            service: request.service,
            hostname: request.hostname,
            target_node: request.target_node,
            ports: request.ports,
            state: UserJobState::Starting,
            token: Uuid::new_v4().simple().to_string(),
        };
        if let Some(job) = self.store.insert_user_job(&new).await? {
            return Ok(job);
        }
        // One that failed is kept only to tell why.
        let present = self.store.user_job(&new.credential, &new.service).await?;
        let told = [UserJobState::Refused, UserJobState::Failed];
        if let Some(job) = present.filter(|it| told.contains(&it.state)) {
            self.store.remove_user_job(job.sequence).await?;
        }
        let inserted = self.store.insert_user_job(&new).await?;
        inserted.ok_or_else(|| RequestError::wrong("service", EXISTS))
    }

    /// The running service that asks: the one that the request names, else the one that is called as the job is.
    async fn owner_of(&self, request: &UserJobRequest) -> Result<Option<i64>, StoreError> {
        let by_job = || ServerName::parse(&request.service).ok();
        let Some(name) = request.server_name.clone().or_else(by_job) else { return Ok(None) };
        let record = self.store.newest_service(&request.credential, &name).await?;
        let is_alive = |state| matches!(state, ServiceState::Starting | ServiceState::Running);
        Ok(record.filter(|it| is_alive(it.state)).map(|it| it.sequence))
    }

    /// What became of a job that is asked for. `None`: nothing yet.
    async fn outcome(&self, sequence: i64, changes: &mut Changes) -> Option<Result<UserJob, RequestError>> {
        let deadline = Instant::now() + ANSWER_TIME;
        loop {
            // A database that is away for a moment may still tell in time.
            if let Ok(Some(told)) = self.look(sequence).await {
                return Some(told);
            }
            tokio::select! {
                () = told_of_jobs(changes) => {}
                () = sleep_until(deadline) => return None,
                () = self.ending.cancelled() => return None,
            }
        }
    }

    async fn look(&self, sequence: i64) -> Result<Option<Result<UserJob, RequestError>>, StoreError> {
        let Some(job) = self.store.user_job_by_sequence(sequence).await? else {
            return Ok(Some(Err(RequestError::Failed("it was removed while it was being made".to_owned()))));
        };
        let problem = || job.problem.clone().unwrap_or_else(|| "it was stopped while it was being made".to_owned());
        Ok(match job.state {
            UserJobState::Starting => None,
            UserJobState::Running => Some(Ok(job)),
            UserJobState::Stopping => Some(Err(told(&problem()))),
            UserJobState::Refused | UserJobState::Failed => {
                self.store.remove_user_job(sequence).await?;
                Some(Err(told(&problem())))
            }
        })
    }

    /// The jobs of a hub, oldest first.
    pub async fn list(&self, credential: &Credential) -> Result<Vec<UserJob>, RequestError> {
        let jobs = self.store.user_jobs().await?;
        Ok(jobs.into_iter().filter(|it| it.credential == *credential && it.state.is_wanted()).collect())
    }

    pub async fn get(&self, credential: &Credential, service: &str) -> Result<UserJob, RequestError> {
        let job = self.store.user_job(credential, service).await?;
        job.filter(|it| it.state.is_wanted()).ok_or(RequestError::NotFound)
    }

    /// Written down first, so that it is not forgotten; then a while is waited for the work.
    pub async fn delete(&self, credential: &Credential, service: &str) -> Result<(), RequestError> {
        let mut changes = self.store.changes().await;
        let job = self.store.user_job(credential, service).await?;
        let is_there = |it: &UserJob| it.state.is_wanted() || it.state == UserJobState::Stopping;
        let job = job.filter(is_there).ok_or(RequestError::NotFound)?;
        let from = [UserJobState::Starting, UserJobState::Running];
        self.store.change_user_job(job.sequence, &from, UserJobState::Stopping, None).await?;
        let gone = async {
            while !matches!(self.store.user_job_by_sequence(job.sequence).await, Ok(None)) {
                tokio::select! {
                    () = told_of_jobs(&mut changes) => {}
                    () = self.ending.cancelled() => return,
                }
            }
        };
        if timeout(DELETE_TIME, gone).await.is_err() {
            tracing::warn!(service, "the removal of a user job takes long and goes on");
        }
        Ok(())
    }
}

async fn told_of_jobs(changes: &mut Changes) {
    loop {
        let batch = changes.next().await;
        if batch.user_jobs || batch.everything {
            return;
        }
    }
}

fn failed(error: MakeError) -> RequestError {
    RequestError::Failed(error.to_string())
}

/// A refusal is written down as its field, a bar and a text.
pub(super) fn refusal(error: &MakeError) -> String {
    format!("{}|{error}", error.field())
}

fn told(problem: &str) -> RequestError {
    let fields = ["service", "ports", "hostname", "target_node"];
    match problem.split_once('|') {
        Some((field, text)) => match fields.into_iter().find(|it| *it == field) {
            Some(field) => RequestError::wrong(field, text),
            None => RequestError::Failed(problem.to_owned()),
        },
        None => RequestError::Failed(problem.to_owned()),
    }
}
