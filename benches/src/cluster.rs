//! The cluster that is measured against: the embedded one with the simulated runtime, in this process.

use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service};
use kube::Client;
use kube::api::{Api, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use local_cluster::{ClusterConfig, Fault, FaultRule, LocalCluster};

pub const NAMESPACE: &str = "bench";
/// What a real API server takes for a change, where the embedded one takes a sixth of a millisecond.
const ETCD: Duration = Duration::from_millis(3);

pub struct Cluster {
    pub embedded: LocalCluster,
    pub client: Client,
}

impl Cluster {
    pub async fn start() -> anyhow::Result<Self> {
        let embedded = LocalCluster::start(ClusterConfig::default()).await?;
        let kubeconfig = Kubeconfig::from_yaml(&embedded.kubeconfig())?;
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        let client = Client::try_from(config)?;
        let namespaces: kube::Api<k8s_openapi::api::core::v1::Namespace> = kube::Api::all(client.clone());
        let namespace = serde_json::json!({"metadata": {"name": NAMESPACE}});
        namespaces.create(&kube::api::PostParams::default(), &serde_json::from_value(namespace)?).await?;
        Ok(Self { embedded, client })
    }

    /// Changes take as long as they do where an etcd writes them down, on three machines' disks.
    pub fn answer_like_etcd(&self) {
        for verb in ["create", "delete"] {
            self.embedded.faults().add(FaultRule::new(Fault::Delay(ETCD)).verb(verb));
        }
    }

    /// How many objects of services are left when all are gone, or after `patience`.
    pub async fn objects_left(&self, patience: Duration) -> anyhow::Result<usize> {
        let began = Instant::now();
        loop {
            let left = self.count_owned().await?;
            if left == 0 || began.elapsed() > patience {
                return Ok(left);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until so many pods run.
    pub async fn pods_that_run(&self, count: usize) -> anyhow::Result<usize> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), NAMESPACE);
        let running = ListParams::default().fields("status.phase=Running");
        let began = Instant::now();
        loop {
            let now = pods.list_metadata(&running).await?.items.len();
            if now >= count {
                return Ok(now);
            }
            anyhow::ensure!(began.elapsed() < Duration::from_secs(60), "{now} pods of {count} run");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn count_owned(&self) -> anyhow::Result<usize> {
        let ours = ListParams::default().labels("app.kubernetes.io/managed-by=k8smgr");
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), NAMESPACE);
        let config_maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), NAMESPACE);
        let services: Api<Service> = Api::namespaced(self.client.clone(), NAMESPACE);
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), NAMESPACE);
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), NAMESPACE);
        Ok(secrets.list_metadata(&ours).await?.items.len()
            + config_maps.list_metadata(&ours).await?.items.len()
            + services.list_metadata(&ours).await?.items.len()
            + deployments.list_metadata(&ours).await?.items.len()
            + pods.list_metadata(&ours).await?.items.len())
    }

    /// The calls since `before`, each kind with its count.
    pub fn calls_since(&self, before: &[(String, String, u64)]) -> Vec<(String, u64)> {
        let known =
            |verb: &str, resource: &str| before.iter().find(|it| it.0 == verb && it.1 == resource).map_or(0, |it| it.2);
        let changes = self.embedded.requests().into_iter().filter_map(|(verb, resource, count)| {
            let more = count - known(&verb, &resource);
            (more > 0).then(|| (format!("{verb} {resource}"), more))
        });
        changes.collect()
    }
}
