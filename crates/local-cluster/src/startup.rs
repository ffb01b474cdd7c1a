//! Putting a cluster together: what it keeps, who serves, controls and runs, in the order in which they need each
//! other.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::addresses::Addresses;
use crate::api::{self, Api};
use crate::auth::{self, Auth};
use crate::controllers::Controllers;
use crate::faults::Faults;
use crate::kubelet::Kubelet;
use crate::node::{ProcessNode, ProcessNodeConfig};
use crate::storage::{self, Key, Resource, Storage};
use crate::tls::Authority;
use crate::{ClusterConfig, ClusterError, LocalCluster, RuntimeKind, kinds, persist, rbac, server, simulated};

pub async fn start(config: ClusterConfig) -> Result<LocalCluster, ClusterError> {
    let storage = match &config.data_dir {
        Some(folder) => {
            std::fs::create_dir_all(folder).map_err(|source| ClusterError::DataDir { path: folder.clone(), source })?;
            persist::load(folder)?
        }
        None => Storage::new(),
    };
    let secrets = Secrets::open(config.data_dir.as_deref())?;
    let authority = if config.tls { Some(secrets.authority(config.data_dir.as_deref())?) } else { None };
    let listening = |source| ClusterError::Listen { address: config.listen, source };
    let sockets = server::bind(config.listen).map_err(listening)?;
    let address = sockets.0.local_addr().map_err(listening)?;
    let acceptor = match &authority {
        Some(authority) => Some(authority.acceptor(address)?),
        None => None,
    };
    let authority = authority.map(|it| it.certificate_pem());
    let node_name = match config.runtime {
        RuntimeKind::Simulated => simulated::NODE_NAME.to_owned(),
        RuntimeKind::Process => host_name(),
    };
    bootstrap(&storage, address);
    let addresses = Arc::new(taken_addresses(&storage));
    let anonymous_is_admin = config.anonymous_is_admin.unwrap_or(!config.tls);
    let api = Arc::new(Api {
        registry: kinds::Registry::with_custom_of(&storage),
        storage: storage.clone(),
        faults: Faults::default(),
        calls: api::Calls::default(),
        auth: Auth::new(&secrets.admin_token, secrets.signing_key.as_bytes(), anonymous_is_admin),
        addresses: addresses.clone(),
        kubelet: OnceLock::new(),
        service_account_admission: config.runtime == RuntimeKind::Process,
    });
    let stop = watch::channel(false).0;
    let mut tasks = Vec::new();
    let kubelet: Arc<dyn Kubelet> = match config.runtime {
        RuntimeKind::Simulated => {
            register_simulated_node(&storage, &node_name);
            tasks.push(tokio::spawn(simulated::run(storage.clone(), stop.subscribe())));
            Arc::new(simulated::Simulated::new(storage.clone()))
        }
        RuntimeKind::Process => {
            let data_dir = config.data_dir.clone().ok_or(ClusterError::NoDataDir)?;
            let node = ProcessNodeConfig { node_name: node_name.clone(), data_dir, host_paths: config.host_paths };
            let (auth, objects) = (api.auth.clone(), storage.clone());
            let issue = move |pod: &Value, audience: Option<&str>| auth.issue_for_pod(&objects, pod, audience);
            ProcessNode::start_with(storage.clone(), node, Some(Arc::new(issue))).await?
        }
    };
    // Nobody else can have set it.
    let _ = api.kubelet.set(kubelet);
    let mut controllers = Controllers::new(storage.clone(), addresses, &node_name, api.service_account_admission);
    controllers.ca = authority.clone().unwrap_or_default();
    tasks.push(tokio::spawn(controllers.run(stop.subscribe())));
    let (down, silent) = (api.faults.watch_down(), api.faults.watch_silent());
    tasks.push(tokio::spawn(server::serve(api.clone(), sockets, acceptor, down, silent, stop.subscribe())));
    let cluster = LocalCluster { api, address, authority, stop, tasks };
    match &config.data_dir {
        Some(folder) => kept(cluster, storage, folder),
        None => Ok(cluster),
    }
}

/// Writes the kubeconfig, and keeps the objects from now on.
fn kept(mut cluster: LocalCluster, storage: Storage, folder: &Path) -> Result<LocalCluster, ClusterError> {
    persist::write_private(&folder.join("kubeconfig"), cluster.kubeconfig().as_bytes())?;
    let keeping = persist::keep(storage, folder.to_owned(), cluster.stop.subscribe());
    cluster.tasks.push(tokio::spawn(keeping));
    Ok(cluster)
}

/// What must be the same after a restart.
struct Secrets {
    admin_token: String,
    signing_key: String,
}

impl Secrets {
    fn open(folder: Option<&Path>) -> Result<Self, ClusterError> {
        Ok(Self { admin_token: secret(folder, "admin-token")?, signing_key: secret(folder, "signing-key")? })
    }

    fn authority(&self, folder: Option<&Path>) -> Result<Authority, ClusterError> {
        let Some(folder) = folder else { return Ok(Authority::new(None)?) };
        let path = folder.join("ca.key");
        let authority = Authority::new(read(&path)?.as_deref())?;
        persist::write_private(&path, authority.key_pem().as_bytes())?;
        persist::write_private(&folder.join("ca.crt"), authority.certificate_pem().as_bytes())?;
        Ok(authority)
    }
}

fn secret(folder: Option<&Path>, name: &str) -> Result<String, ClusterError> {
    let Some(folder) = folder else { return Ok(auth::random_secret()) };
    let path = folder.join(name);
    if let Some(found) = read(&path)?.filter(|it| !it.is_empty()) {
        return Ok(found);
    }
    let new = auth::random_secret();
    persist::write_private(&path, new.as_bytes())?;
    Ok(new)
}

fn read(path: &Path) -> Result<Option<String>, ClusterError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ClusterError::DataDir { path: path.to_owned(), source }),
    }
}

/// The name of this machine, as far as it can name a node.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String =
        name.trim().to_lowercase().chars().filter(|it| it.is_ascii_alphanumeric() || *it == '-').collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "local-node".to_owned() } else { name.to_owned() }
}

pub fn kubeconfig(url: &str, authority: Option<&str>, token: &str) -> String {
    let trust =
        authority.map(|pem| format!("\n    certificate-authority-data: {}", STANDARD.encode(pem))).unwrap_or_default();
    format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: local\n  cluster:\n    server: {url}{trust}\n\
         contexts:\n- name: local\n  context:\n    cluster: local\n    user: admin\n    namespace: default\n\
         current-context: local\nusers:\n- name: admin\n  user:\n    token: {token}\n"
    )
}

fn taken_addresses(storage: &Storage) -> Addresses {
    let addresses = Addresses::default();
    for service in storage.list(&Resource::core("services"), None).1 {
        if let Some(Ok(address)) = service["spec"]["clusterIP"].as_str().map(str::parse) {
            addresses.take(address);
        }
    }
    addresses
}

/// What a cluster holds from the start. What a restart finds again stays as it is.
fn bootstrap(storage: &Storage, address: SocketAddr) {
    for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
        let object = json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
            "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}});
        let _ = storage.create(Key::new(Resource::core("namespaces"), "", name), object);
    }
    let host = if address.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { address.ip() }.to_string();
    // Pods share the machine's network, so the Service has the server's own address; it changes with every start.
    let service = Key::new(Resource::core("services"), "default", "kubernetes");
    storage.remove(&service);
    let object = json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "kubernetes", "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {"type": "ClusterIP", "clusterIP": host, "clusterIPs": [host], "sessionAffinity": "None",
            "internalTrafficPolicy": "Cluster", "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
            "ports": [{"name": "https", "port": address.port(), "protocol": "TCP", "targetPort": address.port()}]},
        "status": {"loadBalancer": {}}});
    let _ = storage.create(service, object);
    let class = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
        "metadata": {"name": "local", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "local-cluster", "reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"});
    let _ = storage.create(Key::new(Resource::new("storage.k8s.io", "storageclasses"), "", "local"), class);
    rbac::bootstrap(storage);
}

fn register_simulated_node(storage: &Storage, node_name: &str) {
    let time = storage::now();
    let conditions = json!([{"type": "Ready", "status": "True", "reason": "KubeletReady",
        "message": "kubelet is posting ready status", "lastHeartbeatTime": time, "lastTransitionTime": time}]);
    let amounts = json!({"cpu": "64", "memory": "256Gi", "pods": "20000", "ephemeral-storage": "1Ti"});
    let node = json!({"apiVersion": "v1", "kind": "Node",
        "metadata": {"name": node_name, "labels": {"kubernetes.io/hostname": node_name, "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64", "beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": "amd64"}},
        "spec": {},
        "status": {"conditions": conditions, "capacity": amounts, "allocatable": amounts,
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": node_name}],
            "nodeInfo": {"kubeletVersion": "v1.36.0", "operatingSystem": "linux", "architecture": "amd64",
                "containerRuntimeVersion": "simulated://1", "kernelVersion": "", "osImage": "", "machineID": "",
                "systemUUID": "", "bootID": "", "kubeProxyVersion": ""}}});
    // It is there already after a restart.
    let _ = storage.create(Key::new(Resource::core("nodes"), "", node_name), node);
}
