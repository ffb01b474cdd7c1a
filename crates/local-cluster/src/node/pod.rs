//! One pod: the order of its containers, its deadline and its end. One task a pod, one more a container.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Shared;
use super::container::{Supervisor, changed_or_stopped, stopped};
use super::identity::identity;
use super::logs::Log;
use super::records::{Record, Role, State};
use super::removal;
use super::reporting::{field_path, report};
use super::running::seconds;
use super::status::{self, PodView};
use super::volumes::{Maker, Volume};
use crate::deletion;
use crate::events::{EventText, set_pod_status};
use crate::storage::{Key, Resource, now};

pub type Volumes = BTreeMap<String, Volume>;

/// The logs of a container's last runs, by the number of the run.
pub type Runs = Vec<(u32, Arc<Log>)>;

const DEFAULT_GRACE: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopKind {
    /// `activeDeadlineSeconds` is over: the pod stays, failed.
    Deadline,
    /// It was deleted: the object goes when nothing runs any more.
    Deleted,
    /// The object is gone already.
    Gone,
    /// The node ends; the pod's object stays as it is.
    Shutdown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    pub kind: StopKind,
    pub grace: Duration,
}

#[derive(Default)]
struct Facts {
    failed: Option<(&'static str, String)>,
    over: bool,
    volumes_ready: bool,
}

pub struct PodWorker {
    pub node: Arc<Shared>,
    pub namespace: String,
    pub name: String,
    pub uid: String,
    /// The pod as it was when it came to this node: its spec does not change any more.
    pub pod: Arc<Value>,
    /// This pod's own files.
    pub folder: PathBuf,
    start_time: String,
    /// The same to the instant, which the text lacks; `None`: an earlier run of the node took it.
    began: Option<Instant>,
    records: Mutex<(Vec<Record>, Facts)>,
    pub(super) logs: Mutex<BTreeMap<String, Runs>>,
    pub stop: watch::Sender<Option<Stop>>,
}

impl PodWorker {
    pub fn new(node: &Arc<Shared>, pod: Arc<Value>) -> Arc<Self> {
        let text = |field: &str| pod["metadata"][field].as_str().unwrap_or_default().to_owned();
        let (start_time, began) = match pod["status"]["startTime"].as_str() {
            Some(time) => (time.to_owned(), None),
            None => (now(), Some(Instant::now())),
        };
        Arc::new(Self {
            namespace: text("namespace"),
            name: text("name"),
            folder: node.config.data_dir.join("pods").join(text("uid")),
            uid: text("uid"),
            node: Arc::clone(node),
            start_time,
            began,
            records: Mutex::new((records(&pod), Facts::default())),
            logs: Mutex::default(),
            stop: watch::Sender::new(None),
            pod,
        })
    }

    /// As events and back-off messages name a pod.
    pub fn full_name(&self) -> String {
        format!("{}_{}({})", self.name, self.namespace, self.uid)
    }

    pub fn grace(&self) -> Duration {
        seconds(&self.pod["spec"]["terminationGracePeriodSeconds"]).unwrap_or(DEFAULT_GRACE)
    }

    /// The pod as the storage has it now, for what can change: labels, annotations, status.
    pub fn current(&self) -> Arc<Value> {
        let key = Key::new(Resource::core("pods"), &self.namespace, &self.name);
        self.node.storage.get(&key).filter(|it| it["metadata"]["uid"] == self.uid.as_str()).unwrap_or(self.pod.clone())
    }

    pub fn record<T>(&self, index: usize, read: impl FnOnce(&Record) -> T) -> T {
        read(&self.records.lock().unwrap_or_else(PoisonError::into_inner).0[index])
    }

    pub fn find_record(&self, container: &str) -> Option<Record> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.0.iter().find(|it| it.name == container).cloned()
    }

    /// Changes a record and the pod's status with it.
    pub fn change(&self, index: usize, edit: impl FnOnce(&mut Record)) {
        self.update(|records, _| edit(&mut records[index]));
    }

    fn update(&self, edit: impl FnOnce(&mut Vec<Record>, &mut Facts)) {
        let mut held = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let (records, facts) = &mut *held;
        edit(records, facts);
        let failed = facts.failed.as_ref().map(|(reason, message)| (*reason, message.as_str()));
        let view = PodView {
            pod: &self.pod,
            records,
            start_time: &self.start_time,
            failed,
            over: facts.over,
            volumes_ready: facts.volumes_ready,
        };
        // Held until it is written, so that two changes reach the storage in their order.
        set_pod_status(&self.node.storage, &self.namespace, &self.name, &self.uid, |it| status::write(&view, it));
    }

    pub fn report(&self, text: &EventText<'_>) {
        report(&self.node.storage, &self.node.config.node_name, &self.current(), text);
    }

    pub fn report_for(&self, index: usize, text: &EventText<'_>) {
        let path = self.record(index, |it| field_path(it.role, &it.name));
        self.report(&EventText { field_path: Some(&path), ..text.clone() });
    }

    /// How often the container has been made before.
    pub fn next_attempt(&self, index: usize) -> u32 {
        self.record(index, |it| if it.container_id.is_empty() { 0 } else { it.restart_count + 1 })
    }

    pub fn created(&self, index: usize, attempt: u32) {
        let id = format!("bwrap://{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
        self.change(index, |it| {
            it.wait("ContainerCreating", None);
            (it.container_id, it.restart_count) = (id, attempt);
        });
    }

    /// Runs the pod to its end. Returns when nothing of it is left, or the node ends.
    pub async fn run(self: Arc<Self>) {
        let mut stop = self.stop.subscribe();
        let phase = self.pod["status"]["phase"].as_str();
        if !matches!(phase, Some("Succeeded" | "Failed")) {
            self.update(|_, _| ());
            self.live().await;
        }
        let removed = |stop: &Option<Stop>| stop.is_some_and(|it| it.kind != StopKind::Deadline);
        // Without a sender the node is gone.
        let kind =
            stop.wait_for(removed).await.map_or(StopKind::Shutdown, |it| it.map_or(StopKind::Shutdown, |it| it.kind));
        if kind == StopKind::Deleted && !matches!(phase, Some("Succeeded" | "Failed")) {
            self.update(|_, facts| facts.over = true);
        }
        if kind != StopKind::Shutdown {
            self.clean_up().await;
        }
        if kind == StopKind::Deleted {
            let key = Key::new(Resource::core("pods"), &self.namespace, &self.name);
            deletion::finish_pod(&self.node.storage, &key, &self.uid);
        }
    }

    async fn live(self: &Arc<Self>) {
        let deadline = seconds(&self.pod["spec"]["activeDeadlineSeconds"]);
        let over = async {
            match deadline {
                Some(limit) => tokio::time::sleep_until(self.started() + limit).await,
                None => std::future::pending().await,
            }
        };
        let mut containers = Box::pin(self.run_containers());
        tokio::select! {
            () = &mut containers => return,
            () = over => {}
        }
        let message = "Pod was active on the node longer than the specified deadline";
        self.report(&EventText::normal("DeadlineExceeded", message));
        self.update(|_, facts| facts.failed = Some(("DeadlineExceeded", message.to_owned())));
        self.ask_to_stop(Stop { kind: StopKind::Deadline, grace: self.grace() });
        containers.await;
    }

    /// When the pod started, on the clock that timers use.
    fn started(&self) -> Instant {
        if let Some(began) = self.began {
            return began;
        }
        let start: Option<jiff::Timestamp> = self.start_time.parse().ok();
        let ago = start.map_or(0, |it| jiff::Timestamp::now().as_second() - it.as_second());
        Instant::now().checked_sub(Duration::from_secs(u64::try_from(ago).unwrap_or(0))).unwrap_or_else(Instant::now)
    }

    /// Asks for the end. A deadline never takes a deletion back, and the time left never grows.
    pub fn ask_to_stop(&self, stop: Stop) {
        self.stop.send_if_modified(|current| {
            let new = match *current {
                Some(before) if stop.kind == StopKind::Deadline => before,
                Some(before) => Stop { kind: stop.kind, grace: stop.grace.min(before.grace) },
                None => stop,
            };
            let changed = *current != Some(new);
            *current = Some(new);
            changed
        });
    }

    async fn run_containers(self: &Arc<Self>) {
        let mut stop = self.stop.subscribe();
        let Some(volumes) = self.volumes(&mut stop).await else { return };
        let volumes = Arc::new(volumes);
        let list = |name: &str| self.pod["spec"][name].as_array().cloned().unwrap_or_default();
        let init = list("initContainers");
        let sidecar_stop = watch::Sender::new(None);
        let mut sidecars = JoinSet::new();
        let mut initialized = true;
        for (index, container) in init.iter().enumerate() {
            if self.record(index, |it| it.role) == Role::Sidecar {
                let supervisor = Supervisor::new(self, index, container, &volumes, sidecar_stop.subscribe());
                sidecars.spawn(supervisor.run());
                initialized = self.sidecar_started(index, &mut stop).await;
            } else if !self.done(index) {
                Supervisor::new(self, index, container, &volumes, stop.clone()).run().await;
                initialized = self.done(index);
            }
            if !initialized {
                break;
            }
        }
        if initialized && stop.borrow().is_none() {
            let mut containers = JoinSet::new();
            for (index, container) in list("containers").iter().enumerate() {
                let supervisor = Supervisor::new(self, init.len() + index, container, &volumes, stop.clone());
                self.change(init.len() + index, |it| {
                    if matches!(it.state, State::Waiting { .. }) {
                        it.state = State::waiting("ContainerCreating", None);
                    }
                });
                containers.spawn(supervisor.run());
            }
            while containers.join_next().await.is_some() {}
        }
        let grace = stop.borrow().map_or_else(|| self.grace(), |it| it.grace);
        sidecar_stop.send_replace(Some(Stop { kind: StopKind::Deleted, grace }));
        while sidecars.join_next().await.is_some() {}
    }

    fn done(&self, index: usize) -> bool {
        self.record(index, |it| matches!(&it.state, State::Terminated(ended) if ended.exit_code == 0))
    }

    /// Waits until a sidecar has started; false when the pod is to end first.
    async fn sidecar_started(&self, index: usize, stop: &mut watch::Receiver<Option<Stop>>) -> bool {
        let (_, mut changes) = match self.node.storage.changes_since(self.node.storage.revision()) {
            Ok(found) => found,
            Err(_) => return false,
        };
        while !self.record(index, |it| it.started) {
            tokio::select! {
                // Falling behind is as good a reason to look as a change.
                _ = changes.recv() => {}
                () = stopped(stop) => return false,
            }
        }
        true
    }

    /// The pod's volumes, as soon as all of them can be made. `None` when the pod is to end first.
    async fn volumes(self: &Arc<Self>, stop: &mut watch::Receiver<Option<Stop>>) -> Option<Volumes> {
        let mut sources = self.node.sources.subscribe();
        loop {
            sources.mark_unchanged();
            if stop.borrow().is_some() {
                return None;
            }
            let worker = Arc::clone(self);
            let made = tokio::task::spawn_blocking(move || worker.make_volumes()).await;
            let (name, error) = match made {
                Ok(Ok(volumes)) => {
                    self.update(|_, facts| facts.volumes_ready = true);
                    return Some(volumes);
                }
                Ok(Err(failed)) => failed,
                Err(error) => (String::new(), error.to_string()),
            };
            let told = format!("MountVolume.SetUp failed for volume \"{name}\" : {error}");
            self.report(&EventText::warning("FailedMount", &told));
            if !changed_or_stopped(&mut sources, stop).await {
                return None;
            }
        }
    }

    fn make_volumes(&self) -> Result<Volumes, (String, String)> {
        let pod = self.current();
        let owner = identity(&pod, &pod["spec"]["containers"][0]).ok().map(|it| (it.uid, it.gid));
        let folder = self.folder.join("volumes");
        std::fs::create_dir_all(&folder).map_err(|error| (String::new(), error.to_string()))?;
        Maker {
            storage: &self.node.storage,
            pod: &pod,
            folder: &folder,
            claims: &self.node.config.data_dir.join("claims"),
            owner: owner.filter(|_| self.node.privileged),
            capacity: self.node.capacity,
            issue_token: self.node.issue_token.as_deref(),
        }
        .make_all()
        .map_err(|(name, error)| (name, error.to_string()))
    }

    async fn clean_up(&self) {
        for folder in [self.folder.clone(), self.log_folder()] {
            if let Err(error) = removal::remove(folder).await {
                tracing::warn!(error = %error, pod = %self.full_name(), "failed to remove a pod's files");
            }
        }
    }
}

/// The records of a pod: fresh ones, or what an earlier run of the node left in its status.
fn records(pod: &Value) -> Vec<Record> {
    let now = now();
    let of = |list: &str, statuses: &str, role: fn(&Value) -> Role| -> Vec<Record> {
        let statuses = pod["status"][statuses].as_array().cloned().unwrap_or_default();
        let containers = pod["spec"][list].as_array().into_iter().flatten();
        containers
            .map(|container| {
                let mut record = Record::new(container, role(container));
                if let Some(status) = statuses.iter().find(|it| it["name"] == container["name"]) {
                    record.adopt(status, &now);
                }
                record
            })
            .collect()
    };
    let sidecar = |it: &Value| if it["restartPolicy"] == "Always" { Role::Sidecar } else { Role::Init };
    let mut records = of("initContainers", "initContainerStatuses", sidecar);
    let initializing = !records.is_empty();
    records.extend(of("containers", "containerStatuses", |_| Role::Main));
    if initializing {
        for record in &mut records {
            if matches!(record.state, State::Waiting { .. }) {
                record.state = State::waiting("PodInitializing", None);
            }
        }
    }
    records
}
