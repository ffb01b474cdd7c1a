//! A node on an empty storage, pods in one line, and waiting for what the storage says.

use std::path::PathBuf;
use std::sync::Arc;

use futures::StreamExt as _;
use local_cluster::Storage;
use local_cluster::kubelet::{Kubelet, LogError, LogQuery};
use local_cluster::node::{ProcessNode, ProcessNodeConfig};
use local_cluster::storage::{Key, Resource};
use serde_json::{Value, json};

pub const NODE: &str = "here";

pub struct TestNode {
    pub storage: Storage,
    pub node: Arc<ProcessNode>,
    pub data_dir: Arc<tempfile::TempDir>,
}

pub fn pod_key(name: &str) -> Key {
    Key::new(Resource::core("pods"), "default", name)
}

/// A pod of one container `main` that runs a shell script and is never started again.
pub fn script(name: &str, script: &str) -> Value {
    pod(name, json!([{"name": "main", "image": "x:1", "command": ["sh", "-c", script]}]))
}

pub fn pod(name: &str, containers: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
        "spec": {
            "nodeName": NODE, "restartPolicy": "Never", "terminationGracePeriodSeconds": 30, "containers": containers,
        },
        "status": {"phase": "Pending"},
    })
}

impl TestNode {
    pub async fn start() -> Self {
        Self::with(Storage::new(), Arc::new(tempfile::tempdir().unwrap()), vec![]).await
    }

    pub async fn with(storage: Storage, data_dir: Arc<tempfile::TempDir>, host_paths: Vec<PathBuf>) -> Self {
        let config = ProcessNodeConfig { node_name: NODE.into(), data_dir: data_dir.path().to_owned(), host_paths };
        let node = ProcessNode::start(storage.clone(), config).await.unwrap();
        Self { storage, node, data_dir }
    }

    pub fn create(&self, pod: Value) {
        let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
        self.storage.create(pod_key(&name), pod).unwrap();
    }

    pub fn create_object(&self, plural: &str, name: &str, mut object: Value) {
        object["metadata"] = json!({"name": name, "namespace": "default"});
        self.storage.create(Key::new(Resource::core(plural), "default", name), object).unwrap();
    }

    /// Waits until the pod is as wanted; a pod that is gone is null.
    pub async fn until(&self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let (_, mut changes) = self.storage.changes_since(self.storage.revision()).unwrap();
        loop {
            let pod = self.storage.get(&pod_key(name)).map_or(Value::Null, |it| (*it).clone());
            if wanted(&pod) {
                return pod;
            }
            changes.recv().await.unwrap();
        }
    }

    /// Runs a pod to its end and gives its phase, the state of its first container and its log.
    pub async fn run(&self, pod: Value) -> (String, Value, String) {
        let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
        self.create(pod);
        let over = |pod: &Value| matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
        let pod = self.until(&name, over).await;
        let phase = pod["status"]["phase"].as_str().unwrap().to_owned();
        let state = pod["status"]["containerStatuses"][0]["state"].clone();
        (phase, state, self.log(&name, LogQuery::default()).await.unwrap_or_default())
    }

    pub async fn log(&self, pod: &str, query: LogQuery) -> Result<String, LogError> {
        let pieces: Vec<_> = self.node.logs("default", pod, &query).await?.collect().await;
        Ok(String::from_utf8(pieces.concat()).unwrap())
    }

    /// Waits until a running container has written a line.
    pub async fn until_logged(&self, pod: &str, line: &str) {
        let query = LogQuery { follow: true, ..LogQuery::default() };
        let mut pieces = self.node.logs("default", pod, &query).await.unwrap();
        let mut text = String::new();
        while !text.lines().any(|it| it == line) {
            let piece = pieces.next().await.unwrap_or_else(|| panic!("{line} is not in {text}"));
            text.push_str(std::str::from_utf8(&piece).unwrap());
        }
    }

    /// What the API server does for a delete call.
    pub fn delete(&self, name: &str, grace_seconds: u64) {
        let mark = |pod: &mut Value| -> Result<(), std::convert::Infallible> {
            pod["metadata"]["deletionTimestamp"] = json!(local_cluster::storage::now());
            pod["metadata"]["deletionGracePeriodSeconds"] = json!(grace_seconds);
            Ok(())
        };
        self.storage.update(&pod_key(name), mark).unwrap();
    }

    /// The events about a pod as `type reason message`, each once.
    pub fn events(&self, pod: &str) -> Vec<String> {
        let (_, events) = self.storage.list(&Resource::core("events"), None);
        let text = |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
        events
            .iter()
            .filter(|it| it["involvedObject"]["name"] == pod)
            .map(|it| format!("{} {} {}", text(it, "type"), text(it, "reason"), text(it, "message")))
            .collect()
    }
}

pub fn running(pod: &Value) -> bool {
    pod["status"]["containerStatuses"][0]["state"]["running"].is_object()
}

pub fn waiting(pod: &Value) -> &str {
    pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"].as_str().unwrap_or_default()
}

pub fn condition<'a>(pod: &'a Value, kind: &str) -> &'a str {
    let conditions = pod["status"]["conditions"].as_array();
    let found = conditions.and_then(|list| list.iter().find(|it| it["type"] == kind));
    found.and_then(|it| it["status"].as_str()).unwrap_or_default()
}

/// The command lines of all processes of this machine that hold a word.
pub fn processes_with(word: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|it| std::fs::read(it.path().join("cmdline")).ok());
    lines.map(|it| String::from_utf8_lossy(&it).replace('\0', " ")).filter(|it| it.contains(word)).collect()
}

/// A word that no other process has on its command line.
pub fn unique(prefix: &str) -> String {
    let folder = tempfile::Builder::new().prefix(prefix).tempdir().unwrap();
    folder.path().file_name().unwrap().to_str().unwrap().to_owned()
}

pub fn pids_with(word: &str) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let holds = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(word)
    };
    entries.filter_map(|it| it.file_name().to_str()?.parse().ok()).filter(holds).collect()
}

/// Returns when all these processes have ended.
pub async fn end_of(pids: Vec<i32>) {
    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    let wait = move || {
        for pid in pids {
            if let Ok(process) = pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()) {
                poll(&mut [PollFd::new(&process, PollFlags::IN)], None).unwrap();
            }
        }
    };
    tokio::task::spawn_blocking(wait).await.unwrap();
}
