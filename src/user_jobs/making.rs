//! Making one job: Service, connection, forwards, in that order. A step that is done already is found done.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::host::Host;
use super::master::{Forward, Master};
use super::ssh::SshError;
use super::{MakeError, UserJobs, requests, target};
use crate::domain::{UserJob, UserJobState};
use crate::fail_points::fail_point;

/// Whoever asked waits a little longer than this.
const MAKE_TIME: Duration = Duration::from_secs(12);

impl Host {
    /// Makes what is missing of a job. One that is asked for and cannot be made is undone. False: something failed.
    pub(super) async fn see_to(&mut self, job: &UserJob) -> bool {
        let made = timeout(MAKE_TIME, self.make(job)).await;
        let made = made.unwrap_or_else(|_| Err(MakeError::Slow(MAKE_TIME.as_secs())));
        match made {
            Ok(()) => {
                self.jobs.note(job, None);
                true
            }
            Err(error) if job.state == UserJobState::Starting => {
                self.undo(job, &error).await;
                // Nothing is left to be tried again.
                true
            }
            Err(error) => {
                self.jobs.note(job, Some(error.to_string()));
                false
            }
        }
    }

    async fn make(&mut self, job: &UserJob) -> Result<(), MakeError> {
        // As it is now: what is handed out may be a moment old.
        let found = self.jobs.store.user_job_by_sequence(job.sequence).await?;
        let Some(mut job) = found.filter(|it| it.state.is_wanted()) else { return Ok(()) };
        self.jobs.check_stored(&job).await?;
        let own = self.forwards.get(&job.sequence).into_iter().flat_map(|it| it.keys().copied()).collect();
        let tries = self.tries.entry(job.sequence).or_default();
        self.jobs.choose_ports(&mut job, &own, tries).await?;
        fail_point!(UserJobAfterPorts);
        let uid = self.jobs.make_service(&job).await?;
        fail_point!(UserJobAfterService);
        if job.service_uid.as_ref() != Some(&uid) {
            self.jobs.store.set_user_job_service(job.sequence, &uid).await?;
        }
        self.connect().await?;
        fail_point!(UserJobAfterConnection);
        self.forward(&job).await?;
        fail_point!(UserJobBeforeRunning);
        if job.state == UserJobState::Starting {
            let running = UserJobState::Running;
            // A stop that came in between is the next look's.
            self.jobs.store.change_user_job(job.sequence, &[UserJobState::Starting], running, None).await?;
            let (service, hostname) = (&job.service, &job.hostname);
            tracing::info!(service, hostname, credential = %job.credential, "a user job is made");
        }
        self.made.insert(job.sequence);
        fail_point!(UserJobAfterRunning);
        Ok(())
    }

    async fn connect(&mut self) -> Result<(), MakeError> {
        if self.master.is_some() {
            return Ok(());
        }
        // One attempt a look, whatever the number of jobs.
        if let Some(why) = &self.unreachable {
            return Err(MakeError::Unreachable(why.clone()));
        }
        self.jobs.control_folder.prepare()?;
        let alias = UserJobs::alias(&self.hostname);
        match Master::connect(self.jobs.ssh()?, &alias, self.jobs.control_folder.socket(&alias)).await {
            Ok(master) => {
                self.master = Some(master);
                self.connected_at = Instant::now();
                Ok(())
            }
            Err(error) => {
                self.unreachable = Some(error.to_string());
                Err(error.into())
            }
        }
    }

    async fn forward(&mut self, job: &UserJob) -> Result<(), MakeError> {
        for port in &job.ports {
            let Some(local) = port.local else { continue };
            let Some(master) = &self.master else { continue };
            let forward = Forward::new(self.jobs.bind_address, local, &job.target_node, port.remote);
            let known = self.forwards.entry(job.sequence).or_default();
            if self.made.contains(&job.sequence) && known.get(&local) == Some(&forward) {
                continue;
            }
            // Noted before it is asked for: an answer may be lost.
            known.insert(local, forward.clone());
            match master.forward(&forward).await {
                Ok(()) => fail_point!(UserJobAfterForward),
                Err(error @ SshError::Refused { .. }) => {
                    known.remove(&local);
                    return Err(error.into());
                }
                Err(error) => {
                    self.note_loss(&error.to_string()).await;
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }

    /// Leaves nothing of a job that could not be made, and why for whoever asked.
    async fn undo(&mut self, job: &UserJob, error: &MakeError) {
        let problem = if error.is_refusal() { requests::refusal(error) } else { error.to_string() };
        tracing::warn!(service = job.service, hostname = job.hostname, %error, "a user job could not be made");
        self.cancel(job.sequence).await;
        let undone = async {
            let Some(job) = self.jobs.store.user_job_by_sequence(job.sequence).await? else { return Ok(()) };
            let told = if error.is_refusal() { UserJobState::Refused } else { UserJobState::Failed };
            let state = match self.jobs.delete_service(&job).await {
                Ok(()) => told,
                // Told now, removed when the API server answers again.
                Err(error) => {
                    tracing::warn!(service = job.service, %error, "what was made of a user job is removed later");
                    UserJobState::Stopping
                }
            };
            self.jobs.store.change_user_job(job.sequence, &[UserJobState::Starting], state, Some(&problem)).await?;
            Ok::<(), MakeError>(())
        };
        if let Err(error) = undone.await {
            tracing::warn!(service = job.service, %error, "a user job that could not be made is removed later");
        }
    }
}

impl UserJobs {
    /// Before ssh is started: the configuration may have changed, and what was taken over was never checked.
    async fn check_stored(&self, job: &UserJob) -> Result<(), MakeError> {
        target::check_service(&job.service)?;
        target::check_ports(&job.ports)?;
        target::check_hostname(&job.hostname)?;
        target::check_target_node(&job.target_node, &self.config.current().userjobs.allowed_target_nodes)?;
        match self.hostnames().await?.contains(&job.hostname) {
            true => Ok(()),
            false => Err(MakeError::NoAlias(job.hostname.clone())),
        }
    }
}
