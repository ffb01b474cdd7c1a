//! The floor: the bare API calls that a start and a stop cannot do without, with the same objects and the same client.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use kube::Client;
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::cluster::NAMESPACE;
use crate::load::Measured;

#[derive(Clone)]
pub struct Bare {
    secrets: Api<Secret>,
    config_maps: Api<ConfigMap>,
    services: Api<Service>,
    deployments: Api<Deployment>,
}

impl Bare {
    pub fn new(client: &Client) -> Self {
        Self {
            secrets: Api::namespaced(client.clone(), NAMESPACE),
            config_maps: Api::namespaced(client.clone(), NAMESPACE),
            services: Api::namespaced(client.clone(), NAMESPACE),
            deployments: Api::namespaced(client.clone(), NAMESPACE),
        }
    }

    /// The owner, then what others mount, together, then the workload: as K8s Manager does it.
    pub async fn start(&self, id: &str) -> anyhow::Result<()> {
        let create = PostParams::default();
        let secret = json!({"metadata": {"name": format!("secret-{id}")}, "stringData": {"JUPYTERHUB_API_TOKEN": "t"}});
        let owner = self.secrets.create(&create, &serde_json::from_value(secret)?).await?;
        let uid = owner.metadata.uid.context("an object without uid")?;
        let metadata = |name: String| {
            let owner = json!({"apiVersion": "v1", "kind": "Secret", "name": format!("secret-{id}"), "uid": uid});
            json!({"name": name, "labels": {"bench": id}, "ownerReferences": [owner]})
        };
        let archive = "H4sIAAAAAAAA".repeat(16);
        let config_map = json!({"metadata": metadata(format!("cm-{id}")), "binaryData": {"input.tar.gz": archive}});
        let service = json!({"metadata": metadata(format!("svc-{id}")), "spec": {
            "selector": {"app": id}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}});
        let (config_map, service) = (serde_json::from_value(config_map)?, serde_json::from_value(service)?);
        tokio::try_join!(self.config_maps.create(&create, &config_map), self.services.create(&create, &service))?;
        let mut deployment: Value = json!({"metadata": metadata(format!("depl-{id}")), "spec": {
            "replicas": 1, "selector": {"matchLabels": {"app": id}},
            "template": {"metadata": {"labels": {"app": id}}}}});
        deployment["spec"]["template"]["spec"] = json!({
            "containers": [{"name": "main", "image": "x/run:1", "command": ["sh", "/mnt/input/start.sh"],
                "envFrom": [{"secretRef": {"name": format!("secret-{id}")}}],
                "volumeMounts": [{"name": "input", "mountPath": "/mnt/input"}]}],
            "volumes": [{"name": "input", "configMap": {"name": format!("cm-{id}")}}]});
        self.deployments.create(&create, &serde_json::from_value(deployment)?).await?;
        Ok(())
    }

    /// One delete; the garbage collector does the rest.
    pub async fn stop(&self, id: &str) -> anyhow::Result<()> {
        self.secrets.delete(&format!("secret-{id}"), &DeleteParams::background()).await?;
        Ok(())
    }
}

/// `rate` times a second for `duration`; the latency counts from when each was due, as under `load::open`.
pub async fn paced<F>(rate: f64, duration: Duration, work: impl Fn(usize) -> F) -> Measured
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let began = Instant::now();
    let mut running = JoinSet::new();
    for n in 0..(rate * duration.as_secs_f64()) as usize {
        let due = began + Duration::from_secs_f64(n as f64 / rate);
        tokio::time::sleep_until(due.into()).await;
        let work = work(n);
        running.spawn(async move {
            let done = work.await;
            (due.elapsed(), done.is_ok())
        });
    }
    let mut all = Measured::new();
    for (latency, is_good) in running.join_all().await {
        all.add(latency, is_good);
    }
    all.took = began.elapsed();
    all
}

/// `count` times the same, `at_once` at a time.
pub async fn repeat<F>(count: usize, at_once: usize, work: impl Fn(usize) -> F + Send + Sync + 'static) -> Measured
where
    F: Future<Output = anyhow::Result<()>> + Send,
{
    let (work, next) = (Arc::new(work), Arc::new(AtomicUsize::new(0)));
    let began = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..at_once {
        let (work, next) = (work.clone(), next.clone());
        running.spawn(async move {
            let mut measured = Vec::new();
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= count {
                    return measured;
                }
                let sent = Instant::now();
                let done = work(n).await;
                measured.push((sent.elapsed(), done.is_ok()));
            }
        });
    }
    let mut all = Measured::new();
    for (latency, is_good) in running.join_all().await.into_iter().flatten() {
        all.add(latency, is_good);
    }
    all.took = began.elapsed();
    all
}
