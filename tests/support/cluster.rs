//! The cluster of a test: the embedded one, or a namespace of the one that KUBECONFIG names.
//!
//! Everything here goes through the Kubernetes API, so that both can be used; only faults are the embedded one's.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use local_cluster::{ClusterConfig, LocalCluster};
use serde_json::{Value, json};

use super::wait::eventually;

pub const NAMESPACE: &str = "golden";

/// Who K8s Manager is in the embedded cluster. It may everything, so that descriptions of any kind can be tested; what it
/// does call is written down and compared with its Role (tests/rights).
const ACCOUNT: (&str, &str) = ("kube-system", "k8smgr-under-test");
/// The folder in which the calls of this test are written down, a file a cluster.
const CALLS_DIR: &str = "K8SMGR_CALLS_DIR";

pub struct TestCluster {
    embedded: Option<LocalCluster>,
    /// K8s Manager's.
    pub kubeconfig: String,
    /// The test's own.
    admin_kubeconfig: String,
    pub client: kube::Client,
    pub namespace: String,
}

/// API group, version, kind, plural of what tests look at.
const KINDS: [(&str, &str, &str, &str); 10] = [
    ("", "v1", "ConfigMap", "configmaps"),
    ("apps", "v1", "Deployment", "deployments"),
    ("networking.k8s.io", "v1", "Ingress", "ingresses"),
    ("batch", "v1", "Job", "jobs"),
    ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
    ("", "v1", "Pod", "pods"),
    ("", "v1", "Secret", "secrets"),
    ("", "v1", "Service", "services"),
    ("", "v1", "ServiceAccount", "serviceaccounts"),
    ("apps", "v1", "StatefulSet", "statefulsets"),
];

impl TestCluster {
    pub async fn start() -> Self {
        let real = std::env::var("K8SMGR_TEST_CLUSTER").is_ok_and(|it| it == "kubeconfig");
        let (embedded, admin_kubeconfig, namespace) = if real {
            let path = std::env::var("KUBECONFIG").expect("KUBECONFIG with K8SMGR_TEST_CLUSTER=kubeconfig");
            let kubeconfig = std::fs::read_to_string(path).unwrap();
            (None, kubeconfig, format!("k8smgr-test-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]))
        } else {
            let embedded = LocalCluster::start(ClusterConfig::default()).await.unwrap();
            let kubeconfig = embedded.kubeconfig();
            (Some(embedded), kubeconfig, NAMESPACE.to_owned())
        };
        let client = connect(&admin_kubeconfig).await;
        let mut cluster = Self { embedded, kubeconfig: admin_kubeconfig.clone(), admin_kubeconfig, client, namespace };
        cluster.create_namespace().await;
        if cluster.embedded.is_some() {
            cluster.create_account().await;
        }
        cluster
    }

    async fn create_account(&mut self) {
        let (namespace, name) = ACCOUNT;
        let accounts = resource("", "v1", "ServiceAccount", "serviceaccounts");
        let accounts: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &accounts);
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
        accounts.create(&PostParams::default(), &serde_json::from_value(account).unwrap()).await.unwrap();
        let group = "rbac.authorization.k8s.io";
        let bindings = resource(group, "v1", "ClusterRoleBinding", "clusterrolebindings");
        let bindings: Api<DynamicObject> = Api::all_with(self.client.clone(), &bindings);
        let binding = json!({"apiVersion": format!("{group}/v1"), "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}]});
        bindings.create(&PostParams::default(), &serde_json::from_value(binding).unwrap()).await.unwrap();
        let embedded = self.embedded.as_ref().expect("the embedded cluster");
        self.kubeconfig = embedded.kubeconfig_of(namespace, name).expect("the account");
    }

    /// Where it is asked for: what K8s Manager called, a line a verb, API group and resource.
    fn write_down_calls(&self) {
        let (Some(embedded), Some(folder)) = (&self.embedded, std::env::var_os(CALLS_DIR)) else { return };
        let (namespace, name) = ACCOUNT;
        let lines: String =
            embedded.calls_of(namespace, name).iter().map(|it| format!("{} {:?} {}\n", it.0, it.1, it.2)).collect();
        let file = std::path::Path::new(&folder).join(uuid::Uuid::new_v4().to_string());
        std::fs::write(file, lines).unwrap();
    }

    async fn create_namespace(&self) {
        let resource = resource("", "v1", "Namespace", "namespaces");
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}});
        api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
    }

    /// On new connections: those that were open may be dead.
    pub async fn reconnect(&mut self) {
        self.client = connect(&self.admin_kubeconfig).await;
        self.is_back().await;
    }

    /// Waits until the API server answers again: its listener is opened anew some time after it was told so.
    pub async fn is_back(&self) {
        eventually("the API server is back", async || (!self.is_away().await).then_some(())).await;
    }

    /// The faults of the embedded cluster; `None` on a real one, which has none to order.
    pub fn faults(&self) -> Option<&local_cluster::Faults> {
        self.embedded.as_ref().map(|it| it.faults())
    }

    /// How often the API server was asked so far, watches apart; `None` on a real cluster, which does not tell.
    pub fn calls(&self) -> Option<u64> {
        let requests = self.embedded.as_ref()?.requests();
        Some(requests.iter().filter(|(verb, ..)| verb != "watch").map(|(.., count)| count).sum())
    }

    pub async fn is_away(&self) -> bool {
        self.client.apiserver_version().await.is_err()
    }

    pub async fn end(mut self) {
        self.write_down_calls();
        match self.embedded.take() {
            Some(embedded) => embedded.shutdown().await,
            None => {
                let resource = resource("", "v1", "Namespace", "namespaces");
                let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
                let _ = api.delete(&self.namespace, &DeleteParams::background()).await;
            }
        }
    }

    pub fn api(&self, kind: &str) -> Api<DynamicObject> {
        let found = KINDS.iter().find(|it| it.2 == kind);
        let &(group, version, kind, plural) = found.unwrap_or_else(|| panic!("no kind {kind} in the table"));
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource(group, version, kind, plural))
    }

    pub fn events(&self) -> Api<DynamicObject> {
        let resource = resource("", "v1", "Event", "events");
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    pub async fn create(&self, kind: &str, object: Value) {
        let object = serde_json::from_value(object).unwrap();
        self.api(kind).create(&PostParams::default(), &object).await.unwrap();
    }

    pub async fn get(&self, kind: &str, name: &str) -> Option<Value> {
        self.api(kind).get_opt(name).await.unwrap().map(|it| serde_json::to_value(it).unwrap())
    }

    /// Deletes in the background, as `kubectl delete` does.
    pub async fn delete(&self, kind: &str, name: &str) {
        self.api(kind).delete(name, &DeleteParams::background()).await.unwrap();
    }

    pub async fn scale(&self, deployment: &str, replicas: u32) {
        let patch = json!({"spec": {"replicas": replicas}});
        self.api("Deployment").patch(deployment, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    pub async fn set_pod_status(&self, pod: &str, status: Value) {
        let patch = json!({ "status": status });
        self.api("Pod").patch_status(pod, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// An event about a pod, at this very moment.
    pub async fn add_event(&self, pod: &str, name: &str, event_type: &str, reason: &str, message: &str) {
        let object = self.get("Pod", pod).await.expect("the pod of the event");
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let event = json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": format!("{pod}.{name}"), "namespace": self.namespace},
            "involvedObject": {
                "apiVersion": "v1", "kind": "Pod", "namespace": self.namespace, "name": pod,
                "uid": object["metadata"]["uid"],
            },
            "type": event_type, "reason": reason, "message": message, "count": 1,
            "firstTimestamp": now, "lastTimestamp": now, "source": {"component": "test"},
        });
        self.events().create(&PostParams::default(), &serde_json::from_value(event).unwrap()).await.unwrap();
    }

    /// Forgets the events about a pod, as a cluster does after an hour.
    pub async fn delete_events(&self, pod: &str) {
        let about = ListParams::default().fields(&format!("involvedObject.name={pod}"));
        for event in self.events().list(&about).await.unwrap() {
            let name = event.metadata.name.unwrap();
            let _ = self.events().delete(&name, &DeleteParams::default()).await;
        }
    }

    /// Everything in the namespace that a cluster does not make by itself, in the order of kind and name.
    pub async fn objects(&self) -> Vec<Value> {
        let mut found = Vec::new();
        for (group, version, kind, _) in KINDS {
            for object in self.api(kind).list(&ListParams::default()).await.unwrap() {
                let mut object = serde_json::to_value(object).unwrap();
                let group = if group.is_empty() { String::new() } else { format!("{group}/") };
                object["apiVersion"] = json!(format!("{group}{version}"));
                object["kind"] = json!(kind);
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                if !matches!((kind, name), ("ServiceAccount", "default") | ("ConfigMap", "kube-root-ca.crt")) {
                    found.push(object);
                }
            }
        }
        found
    }

    /// `Kind/name` of all objects.
    pub async fn names(&self) -> Vec<String> {
        self.objects().await.iter().map(name_of).collect()
    }

    /// What must not change when somebody else's business is done: all objects but what controllers write.
    pub async fn snapshot(&self) -> Vec<Value> {
        let mut objects = self.objects().await;
        for object in &mut objects {
            remove(object, &["status"]);
            remove(&mut object["metadata"], &["resourceVersion", "managedFields"]);
        }
        objects
    }

    /// The names of the pods whose name begins so.
    pub async fn pods(&self, prefix: &str) -> Vec<String> {
        let names = self.names().await;
        let pod = |name: &String| name.strip_prefix("Pod/").filter(|it| it.starts_with(prefix)).map(str::to_owned);
        names.iter().filter_map(pod).collect()
    }

    /// The only pod whose name begins so, once it is in this phase.
    pub async fn pod_in_phase(&self, prefix: &str, phase: &str) -> String {
        eventually(&format!("a pod {prefix}* in phase {phase}"), async || {
            let objects = self.objects().await;
            let is_it = |it: &&Value| {
                let name = it["metadata"]["name"].as_str().unwrap_or_default();
                it["kind"] == "Pod" && name.starts_with(prefix) && it["status"]["phase"] == phase
            };
            let pod = objects.iter().find(is_it)?;
            Some(pod["metadata"]["name"].as_str()?.to_owned())
        })
        .await
    }

    /// Waits until nothing whose name holds `part` is left.
    pub async fn nothing_of(&self, part: &str) {
        eventually(&format!("nothing of {part} is left"), async || {
            let names = self.names().await;
            (!names.iter().any(|it| it.contains(part))).then_some(())
        })
        .await;
    }
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        // Without an embedded cluster it was written down at the end.
        self.write_down_calls();
    }
}

async fn connect(kubeconfig: &str) -> kube::Client {
    let parsed = Kubeconfig::from_yaml(kubeconfig).unwrap();
    let config = kube::Config::from_custom_kubeconfig(parsed, &KubeConfigOptions::default()).await.unwrap();
    kube::Client::try_from(config).unwrap()
}

pub fn name_of(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!("{}/{}", text(&object["kind"]), text(&object["metadata"]["name"]))
}

fn resource(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version,
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    }
}

pub fn remove(object: &mut Value, keys: &[&str]) {
    if let Value::Object(members) = object {
        for key in keys {
            members.remove(*key);
        }
    }
}

/// An object without what every cluster, every run or only we add to it. Secrets are decoded, archives listed.
pub fn comparable(object: &Value) -> Value {
    let mut object = object.clone();
    remove(&mut object, &["status"]);
    let server_made = ["uid", "creationTimestamp", "resourceVersion", "managedFields", "generation", "ownerReferences"];
    remove(&mut object["metadata"], &server_made);
    without_ours(&mut object["metadata"]);
    if object["spec"]["template"]["metadata"].is_object() {
        without_ours(&mut object["spec"]["template"]["metadata"]);
        remove(&mut object["spec"]["template"]["metadata"], &["creationTimestamp"]);
    }
    match object["kind"].as_str() {
        Some("Pod") => {
            let generated = object["metadata"]["generateName"].as_str().unwrap_or_default();
            let stem = generated.trim_end_matches('-').rsplit_once('-').map(|(stem, _)| stem.to_owned());
            if let Some(stem) = stem {
                object["metadata"]["name"] = json!(format!("{stem}-*"));
                object["metadata"]["generateName"] = json!(format!("{stem}-*-"));
                object["metadata"]["labels"]["pod-template-hash"] = json!("*");
            }
            remove(&mut object["spec"], &["nodeName"]);
        }
        Some("Service") => remove(&mut object["spec"], &["clusterIP", "clusterIPs"]),
        Some("Secret") if object["data"].is_object() => {
            object["decoded"] = decoded(&object["data"]);
            remove(&mut object, &["data"]);
        }
        _ => {}
    }
    if let Some(archive) = object["binaryData"]["input.tar.gz"].as_str() {
        object["binaryData"]["input.tar.gz"] = json!({"tar.gz": listing(archive)});
    }
    if let Some(members) = object["binaryData"]["input.tar.gz"]["tar.gz"].as_array_mut() {
        members.sort_by_key(|it| it["name"].as_str().unwrap_or_default().to_owned());
    }
    remove_null_members(&mut object);
    object
}

fn without_ours(metadata: &mut Value) {
    for field in ["labels", "annotations"] {
        if let Value::Object(members) = &mut metadata[field] {
            members.retain(|key, _| !key.starts_with("k8smgr.io/") && key != "app.kubernetes.io/managed-by");
            if members.is_empty() {
                remove(metadata, &[field]);
            }
        }
    }
}

/// Looking a member up made it null.
fn remove_null_members(value: &mut Value) {
    if let Value::Object(members) = value {
        members.retain(|_, it| !it.is_null());
        members.values_mut().for_each(remove_null_members);
    }
}

fn decoded(data: &Value) -> Value {
    let text = |value: &Value| {
        let bytes = BASE64_STANDARD.decode(value.as_str().unwrap_or_default()).unwrap();
        json!(String::from_utf8(bytes).unwrap())
    };
    data.as_object().unwrap().iter().map(|(key, value)| (key.clone(), text(value))).collect()
}

/// The members of a base64 tar.gz as the records list them.
fn listing(base64: &str) -> Value {
    let bytes = BASE64_STANDARD.decode(base64).unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
    let mut members = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let is_file = entry.header().entry_type().is_file();
        let mut content = String::new();
        std::io::Read::read_to_string(&mut entry, &mut content).unwrap();
        let header = entry.header();
        let path = entry.path().unwrap();
        let mut member = json!({
            "name": path.to_str().unwrap().trim_end_matches('/'),
            "type": if is_file { "file" } else { "dir" },
            "mode": format!("{:#o}", header.mode().unwrap() & 0o7777),
            "uid": header.uid().unwrap(), "gid": header.gid().unwrap(), "size": header.size().unwrap(),
        });
        if is_file {
            member["content"] = json!(content);
        }
        members.push(member);
    }
    json!(members)
}
