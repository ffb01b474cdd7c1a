//! Supervises one container: starts it, watches it, ends it, starts it again as its policy says.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::backoff::{CrashBackoff, go_duration};
use super::pod::{PodWorker, Stop, Volumes};
use super::probes::{self, Finding, Kind};
use super::records::{Ended, Record, State};
use super::running::{Running, seconds};
use super::starting::{IMAGE_PULL, StartError};
use super::status::{restart_policy, restarts};
use crate::events::EventText;
use crate::storage::now;

/// How often what is missing is looked for, beside every change of a Secret, ConfigMap or claim.
const RETRY: Duration = Duration::from_secs(10);

/// One container of a pod and what it takes to run it.
pub struct Supervisor {
    pub worker: Arc<PodWorker>,
    pub index: usize,
    pub container: Value,
    pub volumes: Arc<Volumes>,
    pub stop: watch::Receiver<Option<Stop>>,
    backoff: CrashBackoff,
}

impl Supervisor {
    pub fn new(
        worker: &Arc<PodWorker>,
        index: usize,
        container: &Value,
        volumes: &Arc<Volumes>,
        stop: watch::Receiver<Option<Stop>>,
    ) -> Self {
        let starts = worker.record(index, |it| if it.ended().is_some() { it.restart_count + 1 } else { 0 });
        Self {
            worker: Arc::clone(worker),
            index,
            container: container.clone(),
            volumes: Arc::clone(volumes),
            stop,
            backoff: CrashBackoff::after_restarts(starts.saturating_sub(1)),
        }
    }

    /// Returns when the container has ended for good or is to stay ended.
    pub async fn run(mut self) {
        let mut sources = self.worker.node.sources.subscribe();
        let mut ran = Duration::ZERO;
        let mut ended = self.record(|it| it.ended().cloned());
        loop {
            if let Some(ended) = ended.take()
                && !self.again(&ended, ran).await
            {
                return;
            }
            if self.stopping() {
                return;
            }
            sources.mark_unchanged();
            ran = match self.worker.start_container(self.index, &self.container, &self.volumes).await {
                Ok(running) => self.watch_over(running).await,
                Err(StartError::Run(error)) => {
                    self.could_not_start(&error);
                    Duration::ZERO
                }
                Err(StartError::Wait { reason, error }) => {
                    self.tell_failed(if reason == IMAGE_PULL { reason } else { &error });
                    self.change(|it| it.wait(reason, Some(error)));
                    if !changed_or_stopped(&mut sources, &mut self.stop).await {
                        return;
                    }
                    continue;
                }
            };
            ended = self.record(|it| it.ended().cloned());
        }
    }

    fn record<T>(&self, read: impl FnOnce(&Record) -> T) -> T {
        self.worker.record(self.index, read)
    }

    fn change(&self, edit: impl FnOnce(&mut Record)) {
        self.worker.change(self.index, edit);
    }

    fn stopping(&self) -> bool {
        self.stop.borrow().is_some()
    }

    /// Whether a container that ended is to be started again; waits out the back-off.
    async fn again(&mut self, ended: &Ended, ran: Duration) -> bool {
        let role = self.record(|it| it.role);
        if self.stopping() || !restarts(restart_policy(&self.worker.pod), role, ended.exit_code) {
            return false;
        }
        let wait = self.backoff.wait(ran);
        if !wait.is_zero() {
            let name = self.record(|it| it.name.clone());
            let pod = self.worker.full_name();
            let message = format!("back-off {} restarting failed container={name} pod={pod}", go_duration(wait));
            self.change(|it| it.wait("CrashLoopBackOff", Some(message)));
            let told = format!("Back-off restarting failed container {name} in pod {pod}");
            self.worker.report_for(self.index, &EventText::warning("BackOff", &told));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stopped(&mut self.stop) => return false,
            }
        }
        true
    }

    fn tell_failed(&self, error: &str) {
        self.worker.report_for(self.index, &EventText::warning("Failed", &format!("Error: {error}")));
    }

    /// A command that cannot be executed, in the words and states that containerd and a kubelet have for it.
    fn could_not_start(&self, error: &str) {
        let message = format!(
            "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create \
             failed: unable to start container process: error during container init: {error}"
        );
        self.tell_failed(&message);
        let again = restarts(restart_policy(&self.worker.pod), self.record(|it| it.role), 128);
        self.change(|it| {
            let ended = Ended {
                exit_code: 128,
                reason: "StartError".to_owned(),
                message: Some(message.clone()),
                started_at: "1970-01-01T00:00:00Z".to_owned(),
                finished_at: now(),
                container_id: it.container_id.clone(),
            };
            it.state = State::Terminated(ended);
            if again {
                it.wait("RunContainerError", Some(message));
            }
        });
    }

    /// From a started container to an ended one; answers how long it ran.
    async fn watch_over(&mut self, mut running: Running) -> Duration {
        let began = Instant::now();
        let probed = |name: &str| self.container[name].is_object();
        let started = !probed("startupProbe");
        let ready = started && !probed("readinessProbe");
        self.change(|it| {
            it.state = State::Running { started_at: now() };
            (it.started, it.ready) = (started, ready);
        });
        self.worker.report_for(self.index, &EventText::normal("Started", "Container started"));
        let (findings, mut found) = mpsc::channel(8);
        let probing = tokio::spawn(probes::run(self.container.clone(), running.inside.clone(), findings));
        let hook = self.container["lifecycle"]["postStart"].clone();
        if hook.is_object()
            && let Err(error) = self.post_start(&hook, &mut running).await
        {
            let told = format!("PostStartHook failed: {error}");
            self.worker.report_for(self.index, &EventText::warning("FailedPostStartHook", &told));
            self.end(&mut running, None).await;
        }
        loop {
            tokio::select! {
                () = running.exited() => break,
                () = stopped(&mut self.stop) => {
                    self.change(|it| it.ready = false);
                    self.worker.report_for(self.index, &EventText::normal("Killing", &self.stopping_text()));
                    self.end(&mut running, None).await;
                    break;
                }
                Some(finding) = found.recv() => {
                    if let Some(why) = self.take(finding) {
                        let name = self.record(|it| it.name.clone());
                        let told = format!("Container {name} failed {why} probe, will be restarted");
                        self.worker.report_for(self.index, &EventText::normal("Killing", &told));
                        let grace = &self.container[format!("{why}Probe")]["terminationGracePeriodSeconds"];
                        self.end(&mut running, seconds(grace)).await;
                        break;
                    }
                }
            }
        }
        probing.abort();
        self.finish(running).await;
        began.elapsed()
    }

    fn stopping_text(&self) -> String {
        format!("Stopping container {}", self.record(|it| it.name.clone()))
    }

    async fn post_start(&mut self, hook: &Value, running: &mut Running) -> Result<(), String> {
        let inside = running.inside.clone();
        tokio::select! {
            result = super::running::hook(hook, &self.container, &inside) => result,
            () = running.exited() => Ok(()),
            () = stopped(&mut self.stop) => Ok(()),
        }
    }

    /// What a probe found; answers which one wants the container ended.
    fn take(&self, finding: Finding) -> Option<&'static str> {
        match finding {
            Finding::Failed(kind, said) => {
                let told = format!("{} probe failed: {said}", kind.title());
                self.worker.report_for(self.index, &EventText::warning("Unhealthy", &told));
            }
            Finding::Started => {
                let ready = !self.container["readinessProbe"].is_object();
                self.change(|it| (it.started, it.ready) = (true, ready));
            }
            Finding::Ready(ready) => self.change(|it| it.ready = ready),
            Finding::Unhealthy(Kind::Startup) => return Some("startup"),
            Finding::Unhealthy(_) => return Some("liveness"),
        }
        None
    }

    /// preStop hook, SIGTERM, and SIGKILL when the time is over. A later stop may shorten the time.
    async fn end(&self, running: &mut Running, own_grace: Option<Duration>) {
        let mut stop = self.stop.clone();
        let grace =
            |stop: Option<Stop>| stop.map_or_else(|| own_grace.unwrap_or_else(|| self.worker.grace()), |it| it.grace);
        let mut limit = Instant::now() + grace(*stop.borrow_and_update());
        let hook = self.container["lifecycle"]["preStop"].clone();
        let inside = running.inside.clone();
        let mut asking = Box::pin(async {
            if hook.is_object()
                && let Err(error) = super::running::hook(&hook, &self.container, &inside).await
            {
                let told = format!("PreStopHook failed: {error}");
                self.worker.report_for(self.index, &EventText::warning("FailedPreStopHook", &told));
            }
        });
        let (mut asked, mut killed) = (false, false);
        loop {
            tokio::select! {
                () = running.exited() => return,
                () = &mut asking, if !asked => {
                    asked = true;
                    running.terminate();
                }
                () = sleep_until(limit), if !killed => {
                    (asked, killed) = (true, true);
                    running.kill();
                }
                Ok(()) = stop.changed() => {
                    limit = limit.min(Instant::now() + grace(*stop.borrow_and_update()));
                }
            }
        }
    }

    async fn finish(&self, running: Running) {
        let container_id = self.record(|it| it.container_id.clone());
        let started_at = self.record(|it| match &it.state {
            State::Running { started_at } => started_at.clone(),
            _ => now(),
        });
        let end = running.finish(&self.container).await;
        if let Some(error) = end.not_executed {
            self.could_not_start(&error);
            self.change(|it| (it.ready, it.started) = (false, false));
            return;
        }
        let reason = if end.exit_code == 0 { "Completed" } else { "Error" };
        self.change(|it| {
            (it.ready, it.started) = (false, false);
            it.state = State::Terminated(Ended {
                exit_code: end.exit_code,
                reason: reason.to_owned(),
                message: end.message,
                started_at,
                finished_at: now(),
                container_id,
            });
        });
    }
}

/// Waits for a reason to try again; false when the pod is to end.
pub async fn changed_or_stopped(sources: &mut watch::Receiver<u64>, stop: &mut watch::Receiver<Option<Stop>>) -> bool {
    tokio::select! {
        // The sender lives as long as the node.
        _ = sources.changed() => true,
        () = tokio::time::sleep(RETRY) => true,
        () = stopped(stop) => false,
    }
}

/// Returns when the pod is to stop.
pub async fn stopped(stop: &mut watch::Receiver<Option<Stop>>) {
    // Without a sender nobody can ask any more: that is a stop too.
    let _ = stop.wait_for(Option::is_some).await;
}
