//! The simulated runtime: no process runs, a pod's state follows from its images.
//!
//! `x/run:1` runs, `x/pullfail:1` cannot be pulled, `x/slow:1` never gets past its pull, `x/crash:1` exits with 3,
//! `x/done:1` exits with 0; any other image runs. States, events and logs are those that the recordings of the
//! reference implementation were made with.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::deletion;
use crate::events::{self, EventText, Source, set_condition};
use crate::kubelet::{Kubelet, LogError, LogQuery, LogStream};
use crate::storage::{Change, ChangeKind, Key, Resource, Storage, now};

pub const NODE_NAME: &str = "fake-node";
/// How long a container that ends has run.
const RUN_TIME: Duration = Duration::from_millis(250);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Runs,
    PullFails,
    Slow,
    Ends { exit_code: i32 },
}

fn fate(image: &str) -> Fate {
    match image.rsplit_once(':').map_or(image, |(name, _)| name) {
        "x/pullfail" => Fate::PullFails,
        "x/slow" => Fate::Slow,
        "x/crash" => Fate::Ends { exit_code: 3 },
        "x/done" => Fate::Ends { exit_code: 0 },
        _ => Fate::Runs,
    }
}

/// Answers for the logs; [`run`] does the rest.
pub struct Simulated {
    storage: Storage,
}

impl Simulated {
    pub fn new(storage: Storage) -> Self {
        Self { storage }
    }
}

impl Kubelet for Simulated {
    fn logs(&self, namespace: &str, pod: &str, query: &LogQuery) -> BoxFuture<'_, Result<LogStream, LogError>> {
        let key = Key::new(Resource::core("pods"), namespace, pod);
        let query = query.clone();
        Box::pin(async move {
            let container = query.container.clone().unwrap_or_default();
            let text = log_text(&container, &query);
            if !query.follow {
                return Ok(stream::iter([Bytes::from(text)]).boxed());
            }
            Ok(stream::iter([Bytes::from(text)]).chain(until_it_ends(self.storage.clone(), key)).boxed())
        })
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

fn log_text(container: &str, query: &LogQuery) -> String {
    let mut lines: Vec<String> = (1..20).map(|number| format!("{number} line of {container}")).collect();
    lines.push("20 the <script>alert(1)</script> end".to_owned());
    let skipped = query.tail_lines.map_or(0, |tail| lines.len().saturating_sub(tail));
    let mut text = String::new();
    for line in &lines[skipped..] {
        if query.timestamps {
            text.push_str(&jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%9fZ ").to_string());
        }
        text.push_str(line);
        text.push('\n');
    }
    text.truncate(query.limit_bytes.unwrap_or(usize::MAX));
    text
}

/// An empty stream that ends when the pod no longer runs.
fn until_it_ends(storage: Storage, key: Key) -> impl futures::Stream<Item = Bytes> + Send + 'static {
    let waiting = async move {
        let Ok((_, mut changes)) = storage.changes_since(storage.revision()) else { return };
        let ended = |pod: Option<&Value>| pod.is_none_or(|it| it["status"]["phase"] != "Running");
        if ended(storage.get(&key).as_deref()) {
            return;
        }
        while let Ok(change) = changes.recv().await {
            if change.key == key && (change.kind == ChangeKind::Deleted || ended(Some(&change.object))) {
                return;
            }
        }
    };
    stream::once(waiting).filter_map(|()| std::future::ready(None))
}

/// Follows the pods of the node until `stop` is true.
pub async fn run(storage: Storage, mut stop: watch::Receiver<bool>) {
    let mut node = Node { storage, known: HashMap::new(), endings: BinaryHeap::new(), addresses: AtomicU32::new(1) };
    let mut changes = node.look_at_everything();
    loop {
        let due = node.endings.peek().map(|Reverse((at, _, _))| *at);
        let wait = async {
            match due {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            change = changes.recv() => match change {
                Ok(change) => node.note(&change),
                Err(RecvError::Lagged(_)) => changes = node.look_at_everything(),
                Err(RecvError::Closed) => return,
            },
            () = wait => node.end_what_is_due(),
            _ = stop.changed() => return,
        }
    }
}

struct Node {
    storage: Storage,
    /// Pods that were started, by uid.
    known: HashMap<String, ()>,
    endings: BinaryHeap<Reverse<(Instant, Key, String)>>,
    addresses: AtomicU32,
}

const SOURCE: Source<'static> = Source { component: "kubelet", host: NODE_NAME };

impl Node {
    fn look_at_everything(&mut self) -> Receiver<Change> {
        let (changes, all) = loop {
            let revision = self.storage.revision();
            let (_, all) = self.storage.list(&Resource::core("pods"), None);
            if let Ok((missed, changes)) = self.storage.changes_since(revision)
                && missed.is_empty()
            {
                break (changes, all);
            }
        };
        for pod in all {
            self.look_at(&pod);
        }
        changes
    }

    fn note(&mut self, change: &Change) {
        if change.key.resource.plural != "pods" || !change.key.resource.group.is_empty() {
            return;
        }
        if change.kind == ChangeKind::Deleted {
            self.known.remove(change.object["metadata"]["uid"].as_str().unwrap_or_default());
        } else {
            self.look_at(&change.object);
        }
    }

    fn look_at(&mut self, pod: &Value) {
        if pod["spec"]["nodeName"] != NODE_NAME {
            return;
        }
        let text = |field: &str| pod["metadata"][field].as_str().unwrap_or_default().to_owned();
        let (namespace, name, uid) = (text("namespace"), text("name"), text("uid"));
        let key = Key::new(Resource::core("pods"), &namespace, &name);
        if pod["metadata"]["deletionTimestamp"].is_string() {
            if pod["metadata"]["deletionGracePeriodSeconds"] != 0 {
                deletion::finish_pod(&self.storage, &key, &uid);
            }
        } else if self.known.insert(uid.clone(), ()).is_none() {
            // A pod of an earlier life of this cluster has its status already.
            if pod["status"]["containerStatuses"].is_array() {
                return;
            }
            self.start(&key, &uid, pod);
        }
    }

    fn start(&mut self, key: &Key, uid: &str, pod: &Value) {
        let fates = fates_of(pod);
        let ends = fates.iter().any(|(_, fate)| matches!(fate, Fate::Ends { .. }));
        let address = self.addresses.fetch_add(1, Ordering::Relaxed);
        let [_, second, third, fourth] = address.to_be_bytes();
        let address = format!("10.{second}.{third}.{fourth}");
        let images = images_of(pod);
        // Who sees that it runs finds the events that led there.
        for (name, fate) in &fates {
            self.tell(pod, name, *fate, &images[name]);
        }
        events::set_pod_status(&self.storage, &key.namespace, &key.name, uid, |status| {
            if ends { creating(status, &fates, &images) } else { started(status, &fates, &images, &address) }
        });
        if ends {
            self.endings.push(Reverse((Instant::now() + RUN_TIME, key.clone(), uid.to_owned())));
        }
    }

    fn tell(&self, pod: &Value, container: &str, fate: Fate, image: &str) {
        let path = format!("spec.containers{{{container}}}");
        let tell = |text: EventText<'_>| {
            let text = EventText { field_path: Some(&path), ..text };
            events::emit(&self.storage, SOURCE, pod, &text);
        };
        match fate {
            Fate::Runs | Fate::Ends { .. } => {
                tell(EventText::normal("Pulling", &format!("Pulling image \"{image}\"")));
                tell(EventText::normal("Pulled", &format!("Successfully pulled image \"{image}\" in 1ms")));
                tell(EventText::normal("Created", &format!("Created container: {container}")));
                tell(EventText::normal("Started", "Started container"));
            }
            Fate::Slow => tell(EventText::normal("Pulling", "Pulling image")),
            Fate::PullFails => {
                tell(EventText::normal("Pulling", &format!("Pulling image \"{image}\"")));
                tell(EventText::warning("Failed", "Failed to pull image: rpc error: <b>not found</b>"));
                tell(EventText::warning("Failed", "Error: ErrImagePull"));
                tell(EventText::warning("BackOff", "Back-off pulling image"));
            }
        }
    }

    fn end_what_is_due(&mut self) {
        let time = Instant::now();
        while let Some(Reverse((at, _, _))) = self.endings.peek()
            && *at <= time
        {
            let Some(Reverse((_, key, uid))) = self.endings.pop() else { return };
            let Some(pod) = self.storage.get(&key) else { continue };
            let (fates, images) = (fates_of(&pod), images_of(&pod));
            events::set_pod_status(&self.storage, &key.namespace, &key.name, &uid, |status| {
                ended(status, &fates, &images);
            });
        }
    }
}

fn fates_of(pod: &Value) -> Vec<(String, Fate)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    containers.map(|it| (text(&it["name"]), fate(&text(&it["image"])))).collect()
}

fn images_of(pod: &Value) -> HashMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    containers.map(|it| (text(&it["name"]), text(&it["image"]))).collect()
}

fn container_status(name: &str, image: &str, ready: bool, state: Value) -> Value {
    let started = state["running"].is_object();
    json!({"name": name, "image": image, "imageID": "", "lastState": {}, "ready": ready, "restartCount": 0,
        "started": started, "state": state})
}

fn base(status: &mut Value) {
    status["hostIP"] = json!("127.0.0.1");
    status["startTime"] = json!(now());
    set_condition(status, "Initialized", true, None, None);
}

fn ready_conditions(status: &mut Value, waiting: &[String]) {
    if waiting.is_empty() {
        set_condition(status, "Ready", true, None, None);
        set_condition(status, "ContainersReady", true, None, None);
    } else {
        let text = format!("containers with unready status: [{}]", waiting.join(" "));
        set_condition(status, "Ready", false, Some("ContainersNotReady"), Some(&text));
        set_condition(status, "ContainersReady", false, Some("ContainersNotReady"), Some(&text));
    }
}

fn started(status: &mut Value, fates: &[(String, Fate)], images: &HashMap<String, String>, address: &str) {
    base(status);
    let mut waiting = Vec::new();
    let statuses: Vec<Value> = fates
        .iter()
        .map(|(name, fate)| {
            let state = match fate {
                Fate::Runs | Fate::Ends { .. } => json!({"running": {"startedAt": now()}}),
                Fate::PullFails => json!({"waiting": {"reason": "ErrImagePull", "message": "not found"}}),
                Fate::Slow => json!({"waiting": {"reason": "ContainerCreating"}}),
            };
            let ready = state["running"].is_object();
            if !ready {
                waiting.push(name.clone());
            }
            container_status(name, &images[name], ready, state)
        })
        .collect();
    status["containerStatuses"] = json!(statuses);
    status["phase"] = json!(if waiting.is_empty() { "Running" } else { "Pending" });
    status["podIP"] = json!(address);
    status["podIPs"] = json!([{"ip": address}]);
    ready_conditions(status, &waiting);
}

fn creating(status: &mut Value, fates: &[(String, Fate)], images: &HashMap<String, String>) {
    base(status);
    let names: Vec<String> = fates.iter().map(|it| it.0.clone()).collect();
    let waiting = |name: &String| {
        container_status(name, &images[name], false, json!({"waiting": {"reason": "ContainerCreating"}}))
    };
    status["containerStatuses"] = names.iter().map(waiting).collect();
    ready_conditions(status, &names);
}

fn ended(status: &mut Value, fates: &[(String, Fate)], images: &HashMap<String, String>) {
    let time = now();
    let statuses: Vec<Value> = fates
        .iter()
        .map(|(name, fate)| {
            let state = match fate {
                Fate::Ends { exit_code } => {
                    let reason = if *exit_code == 0 { "Completed" } else { "Error" };
                    json!({"terminated": {"exitCode": exit_code, "reason": reason, "startedAt": time,
                        "finishedAt": time}})
                }
                Fate::PullFails => json!({"waiting": {"reason": "ErrImagePull", "message": "not found"}}),
                Fate::Slow => json!({"waiting": {"reason": "ContainerCreating"}}),
                Fate::Runs => json!({"running": {"startedAt": time}}),
            };
            let ready = state["running"].is_object();
            container_status(name, &images[name], ready, state)
        })
        .collect();
    status["containerStatuses"] = json!(statuses);
    let failed = fates.iter().any(|(_, fate)| matches!(fate, Fate::Ends { exit_code } if *exit_code != 0));
    let all_ended = fates.iter().all(|(_, fate)| matches!(fate, Fate::Ends { .. }));
    let phase = if failed {
        "Failed"
    } else if all_ended {
        "Succeeded"
    } else {
        "Running"
    };
    status["phase"] = json!(phase);
    let names: Vec<String> = fates.iter().map(|it| it.0.clone()).collect();
    if phase == "Succeeded" {
        set_condition(status, "Ready", false, Some("PodCompleted"), None);
        set_condition(status, "ContainersReady", false, Some("PodCompleted"), None);
    } else {
        ready_conditions(status, &names);
    }
}
