//! The cluster that is measured against: the embedded one with the simulated runtime, in this process.

use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use local_cluster::{ClusterConfig, LocalCluster};

pub const NAMESPACE: &str = "bench";

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
