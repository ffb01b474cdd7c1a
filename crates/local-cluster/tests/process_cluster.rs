//! The whole cluster with the process runtime: a Deployment of a real program that knows its cluster.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, LogParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Config};
use local_cluster::{ClusterConfig, LocalCluster, RuntimeKind};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_deployments_process_finds_its_cluster_and_ends_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let config = ClusterConfig {
        tls: true,
        data_dir: Some(folder.path().to_owned()),
        runtime: RuntimeKind::Process,
        ..ClusterConfig::default()
    };
    let cluster = LocalCluster::start(config).await.unwrap();
    let read = Kubeconfig::from_yaml(&cluster.kubeconfig()).unwrap();
    let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await.unwrap();
    let client = Client::try_from(config).unwrap();
    let script = "cd /var/run/secrets/kubernetes.io/serviceaccount && echo in $(cat namespace), \
                  $(grep -c BEGIN ca.crt) authority, token of $(wc -w < token) word, at $KUBERNETES_SERVICE_HOST; \
                  exec sleep 1000";
    let deployment: Deployment = serde_json::from_value(json!({"metadata": {"name": "shell"},
        "spec": {"selector": {"matchLabels": {"app": "shell"}}, "template": {"metadata": {"labels": {"app": "shell"}},
            "spec": {"terminationGracePeriodSeconds": 1,
                "containers": [{"name": "main", "image": "any", "command": ["sh", "-c", script]}]}}}}))
    .unwrap();
    let deployments = Api::<Deployment>::default_namespaced(client.clone());
    deployments.create(&PostParams::default(), &deployment).await.unwrap();
    let pods = Api::<Pod>::default_namespaced(client);
    let mut changes = watcher(pods.clone(), watcher::Config::default()).default_backoff().applied_objects().boxed();
    let pod = loop {
        let pod = changes.try_next().await.unwrap().unwrap();
        if pod.status.as_ref().and_then(|it| it.phase.as_deref()) == Some("Running") {
            break pod;
        }
    };
    let name = pod.metadata.name.unwrap();
    let follow = LogParams { follow: true, ..LogParams::default() };
    let mut lines = futures::AsyncBufReadExt::lines(pods.log_stream(&name, &follow).await.unwrap());
    let line = lines.try_next().await.unwrap().unwrap();
    assert_eq!(line, "in default, 1 authority, token of 1 word, at 127.0.0.1");
    deployments.delete("shell", &DeleteParams::foreground()).await.unwrap();
    while pods.get_opt(&name).await.unwrap().is_some() {
        // Each change of the pod is a reason to look again; its removal ends the log as well.
        if lines.try_next().await.unwrap_or_default().is_none() {
            tokio::task::yield_now().await;
        }
    }
    cluster.shutdown().await;
}
