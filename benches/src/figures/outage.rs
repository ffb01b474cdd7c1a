//! Polls while the API server is away, and how soon everything is fresh afterwards.

use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, DeleteParams};

use super::Conditions;
use crate::cluster::{Cluster, NAMESPACE};
use crate::load::open;
use crate::operations::{poll, polls, server_name};
use crate::report::{Bar, Report};
use crate::server::{Server, Site};

const PREFIX: &str = "outage-";
const SERVICES: usize = 200;
const RATE: f64 = 333.0;

pub(super) async fn measure(conditions: &Conditions, report: &mut Report) -> anyhow::Result<()> {
    for _ in 0..conditions.runs {
        let cluster = Cluster::start().await?;
        let site = Site::new(&conditions.server, &cluster)?;
        let server = site.serve().await?;
        server.fill(PREFIX, SERVICES).await?;
        cluster.embedded.faults().down(true);
        let length = Duration::from_secs(conditions.seconds * 6);
        let polled = open(&server.kept(), RATE, length, polls(PREFIX, SERVICES)).await;
        report.add("outage: polls that failed", "", Bar::AtMost(0.0), polled.failures as f64);
        report.add("outage: p99 of a poll", "ms", Bar::AtMost(50.0), polled.milliseconds(0.99));

        cluster.embedded.faults().down(false);
        let back = Instant::now();
        let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), NAMESPACE);
        let gone = server_name(PREFIX, 0);
        deployments.delete(&format!("depl-{gone}-6b24282a"), &DeleteParams::background()).await?;
        until_it_is_over(&server, &gone).await?;
        report.add("outage: until what changed is told", "s", Bar::AtMost(5.0), back.elapsed().as_secs_f64());
        server.kill().await?;
    }
    Ok(())
}

async fn until_it_is_over(server: &Server, name: &str) -> anyhow::Result<()> {
    let mut client = server.client();
    let began = Instant::now();
    loop {
        let answer = client.send(&poll(name)).await?;
        let body: serde_json::Value = serde_json::from_slice(&answer.body)?;
        if body["running"] == false {
            return Ok(());
        }
        anyhow::ensure!(began.elapsed() < Duration::from_secs(60), "a minute after the outage still: {body}");
    }
}
