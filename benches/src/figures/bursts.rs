//! What comes all at once: a hub that restarts polls everything; a list of everything; a start of the process itself.

use std::time::{Duration, Instant};

use super::Conditions;
use crate::client::Call;
use crate::cluster::Cluster;
use crate::load::{Until, closed};
use crate::operations::{always, poll, polls, server_name};
use crate::report::{Bar, Report};
use crate::server::Site;

const PREFIX: &str = "burst-";

pub(super) async fn measure(conditions: &Conditions, report: &mut Report) -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let site = Site::new(&conditions.server, &cluster)?;
    let many = conditions.services;
    let mut server = site.serve().await?;
    server.fill(PREFIX, many).await?;
    for _ in 0..conditions.runs {
        let burst = closed(&server.new_each(), many, Until::Count(many), polls(PREFIX, many)).await;
        report.add(format!("burst: {many} polls at once, not answered"), "", Bar::AtMost(0.0), burst.failures as f64);
        report.add(format!("burst: {many} polls at once, p99"), "ms", Bar::AtMost(1000.0), burst.milliseconds(0.99));

        server.id.reset_peak()?;
        let before = server.id.peak_mib()?;
        let list = closed(&server.kept(), 1, Until::Count(5), always(Call::get("/api/services/"))).await;
        report.add(format!("list: {many} services, p50"), "ms", Bar::AtMost(100.0), list.milliseconds(0.5));

        let added = server.id.peak_mib()? - before;
        report.add(format!("list: {many} services, memory that it takes at its peak"), "MiB", Bar::AtMost(16.0), added);

        server.kill().await?;
        let began = Instant::now();
        server = site.serve().await?;
        first_right_poll(&server, many).await?;
        let took = began.elapsed();
        let listed = bare_list(&cluster).await?;
        report.add(format!("restart: to the first right poll, {many} services"), "s", Bar::None, took.as_secs_f64());
        let own = took.saturating_sub(listed).as_secs_f64();
        report.add(format!("restart: the same without the list itself, {many} services"), "s", Bar::AtMost(2.0), own);
    }
    server.kill().await
}

/// Right is: running, with no details, which say that nothing was seen yet.
async fn first_right_poll(server: &crate::server::Server, many: usize) -> anyhow::Result<()> {
    let mut client = server.client();
    let began = Instant::now();
    loop {
        let answer = client.send(&poll(&server_name(PREFIX, many - 1))).await?;
        let body: serde_json::Value = serde_json::from_slice(&answer.body)?;
        if body["running"] == true && body["details"].is_null() {
            return Ok(());
        }
        anyhow::ensure!(began.elapsed() < Duration::from_secs(60), "no right poll within a minute: {body}");
    }
}

/// What reading all pods and Deployments costs by itself.
async fn bare_list(cluster: &Cluster) -> anyhow::Result<Duration> {
    use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
    let parameters = kube::api::ListParams::default();
    let pods: kube::Api<Pod> = kube::Api::namespaced(cluster.client.clone(), crate::cluster::NAMESPACE);
    let deployments: kube::Api<Deployment> = kube::Api::namespaced(cluster.client.clone(), crate::cluster::NAMESPACE);
    let began = Instant::now();
    pods.list(&parameters).await?;
    deployments.list_metadata(&parameters).await?;
    Ok(began.elapsed())
}
