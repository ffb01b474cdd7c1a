//! One installation: a cluster in this process, a database, descriptions and homes on disk. It outlives every k8smgr.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use k8smgr::auth::{imported_token, token_hash};
use k8smgr::domain::group::Group;
use k8smgr::domain::{Credential, Json, Mark, ServiceRecord};
use k8smgr::domain::{ServiceState, mark};
use k8smgr::store::{DatabaseUrl, NewUser, Store};
use local_cluster::storage::{Key, Resource};
use local_cluster::{ClusterConfig, LocalCluster};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::client::CANARIES;

pub const HUB: &str = "hub";
pub const TOKEN: &str = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00";
const NAMESPACE: &str = "default";
/// An object of this name is a stranger's: what wants it cannot start.
const STRANGER: &str = "of-a-stranger";
const SKELETON_FILES: usize = 8;

pub struct Site {
    folder: TempDir,
    pub cluster: LocalCluster,
    installation: String,
    stranger: Arc<Value>,
    /// A hub that is told of restarts.
    hub: SocketAddr,
}

/// An object that is there, as far as the model looks at it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    pub kind: String,
    pub name: String,
    pub uid: String,
    /// Whoever changes what is wanted changes this; whoever writes a status does not.
    pub version: String,
    pub restarts: u64,
    pub is_running: bool,
    pub is_going: bool,
}

/// What carries our installation's label, by the service that it belongs to.
pub type Objects = BTreeMap<String, BTreeSet<Seen>>;

impl Site {
    pub async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let cluster = LocalCluster::start(ClusterConfig::default()).await.unwrap();
        let stranger = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": STRANGER, "namespace": NAMESPACE},
        });
        let key = Key::new(Resource::core("configmaps"), NAMESPACE, STRANGER);
        let stranger = cluster.storage().create(key, stranger).unwrap();
        let hub = hub_that_listens().await;
        let mut site = Self { folder, cluster, installation: String::new(), stranger, hub };
        site.write_files();
        site.installation = site.make_database().await;
        site
    }

    /// Leaves the files for people to look at.
    pub fn keep(&mut self) -> PathBuf {
        self.folder.disable_cleanup(true);
        self.folder.path().to_owned()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn database(&self) -> PathBuf {
        self.path("k8smgr.sqlite3")
    }

    pub async fn store(&self) -> Store {
        Store::connect(&DatabaseUrl::sqlite(&self.database()).unwrap()).await.unwrap()
    }

    /// A hub that comes with a token: no password is hashed at any start.
    async fn make_database(&self) -> String {
        let store = self.store().await;
        let groups = BTreeSet::from([Group::Webservice]);
        let name = Credential::parse(HUB).unwrap();
        store.create_user(&NewUser { name, password_hash: None, is_superuser: false, groups }).await.unwrap();
        // Everything is logged: what must not be there is looked for.
        let handler = br#"{"formatter": "simple", "level": "TRACE", "stream": "ext://sys.stdout"}"#;
        let handler = Json::parse(handler).unwrap();
        let present = store.log_handlers().await.unwrap().into_iter().find(|it| it.handler == "stream").unwrap();
        assert!(store.replace_log_handler("stream", &present.configuration, &handler).await.unwrap());
        store.add_token(HUB, &token_hash(&imported_token(TOKEN).unwrap()), "test").await.unwrap();
        store.installation_id().await.unwrap()
    }

    fn write_files(&self) {
        let config = json!({
            "services": {"base": self.path("services"), "descriptions": self.path("descriptions")},
            "userhomes": {
                "base": self.path("homes"), "skel": self.path("skel"),
                "uid": rustix::process::getuid().as_raw(), "gid": rustix::process::getgid().as_raw(),
            },
            "tunnel": [{"hostname": "k8smgr", "restart_url": format!("http://{}/restart/", self.hub)}],
        });
        self.write("config.json", &config.to_string());
        self.write("kubeconfig", &self.cluster.kubeconfig());
        for (service, text) in [("Lab", LAB), ("Set", SET), ("Ends", ENDS), ("Fails", FAILS)] {
            self.write(&format!("descriptions/{HUB}/{service}/service.yaml"), text);
            self.write(&format!("descriptions/{HUB}/{service}/update.yaml"), UPDATE);
        }
        for index in 0..SKELETON_FILES {
            self.write(&format!("skel/{HUB}/folder{}/file{index}", index % 2), "a file of the skeleton");
        }
        fs::create_dir(self.path("services")).unwrap();
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    pub fn mark(&self, record: &ServiceRecord) -> String {
        let ServiceRecord { credential, server_name, start_id, start_date, .. } = record;
        Mark::new(&self.installation, credential, server_name, start_id, *start_date).service().to_owned()
    }

    /// The records as the database has them.
    pub async fn records(&self) -> Vec<ServiceRecord> {
        self.store().await.services_in(&ServiceState::ALL).await.unwrap()
    }

    /// Whether every hub was told of every start.
    pub async fn hubs_are_told(&self) -> bool {
        self.store().await.owed_notices().await.unwrap().is_empty()
    }

    pub fn objects(&self) -> Objects {
        let mut objects = Objects::new();
        for (_, object) in self.cluster.storage().all() {
            let labels = &object["metadata"]["labels"];
            if labels[mark::INSTALLATION_LABEL] == self.installation.as_str() {
                let service = labels[mark::SERVICE_LABEL].as_str().unwrap_or("no service").to_owned();
                objects.entry(service).or_default().insert(Seen::of(&object));
            }
        }
        objects
    }

    pub fn stranger_is_untouched(&self) -> bool {
        let key = Key::new(Resource::core("configmaps"), NAMESPACE, STRANGER);
        self.cluster.storage().get(&key).is_some_and(|it| it == self.stranger)
    }

    /// The names in a folder; none where there is no folder.
    /// A file of the site (database, logs, rendered files, homes) that holds a secret.
    pub fn file_with_a_secret(&self) -> Option<PathBuf> {
        fn search(folder: &Path) -> Option<PathBuf> {
            std::fs::read_dir(folder).unwrap().find_map(|entry| {
                let path = entry.unwrap().path();
                if path.is_dir() && !path.is_symlink() {
                    return search(&path);
                }
                let bytes = std::fs::read(&path).unwrap_or_default();
                let holds = |canary: &&str| bytes.windows(canary.len()).any(|it| it == canary.as_bytes());
                CANARIES.iter().any(holds).then_some(path)
            })
        }
        search(&self.path(""))
    }

    pub fn names_in(&self, folder: &str) -> BTreeSet<String> {
        let Ok(entries) = fs::read_dir(self.path(folder)) else { return BTreeSet::new() };
        entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Whether there is a home of this user, whole; an error when there is a part of one.
    pub fn has_home(&self, user_id: i64) -> Result<bool, String> {
        let home = self.path(&format!("homes/{HUB}/{user_id}"));
        if !home.exists() {
            return Ok(false);
        }
        let files = |folder: &Path| {
            (0..2).map(|it| fs::read_dir(folder.join(format!("folder{it}"))).map_or(0, Iterator::count)).sum()
        };
        let (wanted, found): (usize, usize) = (files(&self.path(&format!("skel/{HUB}"))), files(&home));
        if wanted == found { Ok(true) } else { Err(format!("home {user_id} has {found} of {wanted} files")) }
    }

    /// Bytes of the database and of its write-ahead log.
    pub fn database_bytes(&self) -> (u64, u64) {
        let size = |name: &str| fs::metadata(self.path(name)).map_or(0, |it| it.len());
        (size("k8smgr.sqlite3"), size("k8smgr.sqlite3-wal"))
    }
}

/// Answers 204 to whatever comes.
async fn hub_that_listens() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
            });
        }
    });
    address
}

impl Seen {
    fn of(object: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let metadata = &object["metadata"];
        let containers = object["status"]["containerStatuses"].as_array();
        let restarts = containers.into_iter().flatten().filter_map(|it| it["restartCount"].as_u64()).sum();
        let version = match (&metadata["generation"], object["status"].is_object()) {
            (Value::Number(generation), _) => generation.to_string(),
            (_, true) => String::new(),
            (_, false) => text(&metadata["resourceVersion"]),
        };
        Self {
            kind: text(&object["kind"]),
            name: text(&metadata["name"]),
            uid: text(&metadata["uid"]),
            version,
            restarts,
            is_running: object["status"]["phase"] == "Running",
            is_going: metadata["deletionTimestamp"].is_string(),
        }
    }
}

/// What most sites have: something to mount, something to reach it by, a Deployment.
const LAB: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: cm-<id>}
data: {user: "<user_id>"}
---
apiVersion: v1
kind: Service
metadata: {name: svc-<id>}
spec:
  selector: {name: depl-<id>}
  ports: [{port: 80}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: depl-<id>}
spec:
  selector: {matchLabels: {name: depl-<id>}}
  template:
    metadata: {labels: {name: depl-<id>}}
    spec:
      containers: [{name: main, image: x/run:1}]
"#;

/// A StatefulSet leaves its claim behind, and needs a Service that is not its own.
const SET: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: svc-<id>}
spec:
  selector: {name: set-<id>}
  ports: [{port: 80}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: set-<id>}
spec:
  serviceName: svc-<id>
  selector: {matchLabels: {name: set-<id>}}
  template:
    metadata: {labels: {name: set-<id>}}
    spec:
      containers: [{name: main, image: x/run:1, volumeMounts: [{name: data, mountPath: /data}]}]
  volumeClaimTemplates:
    - metadata: {name: data}
      spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
"#;

/// Ends by itself a moment after it began.
const ENDS: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: cm-<id>}
---
apiVersion: v1
kind: Pod
metadata: {name: pod-<id>}
spec:
  containers: [{name: main, image: x/crash:1}]
"#;

/// Two of its objects can be made, the third cannot.
const FAILS: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: svc-<id>}
spec:
  ports: [{port: 80}]
---
apiVersion: v1
kind: Pod
metadata: {name: pod-<id>}
spec:
  containers: [{name: main, image: x/run:1}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: of-a-stranger}
"#;

const UPDATE: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: svc-one-<id>}
spec:
  ports: [{port: 81}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: cm-two-<id>}
data: {updated: "yes"}
"#;
