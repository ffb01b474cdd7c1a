//! What a start costs, beside the bare API calls that it cannot do without.

use std::time::{Duration, Instant};

use super::{Conditions, apart};
use crate::client::Call;
use crate::cluster::Cluster;
use crate::floor::{Bare, repeat};
use crate::load::{Measured, Until, closed};
use crate::operations::{always, starts};
use crate::process::ProcessId;
use crate::report::{Bar, Report};
use crate::server::{SERVICE, Site};

/// How many starts one figure is of.
const COUNT: usize = 400;
/// The owner Secret, the ConfigMap, the Service, the Deployment.
const OBJECTS: f64 = 4.0;

/// What came of `COUNT` starts.
struct Started {
    calls: Measured,
    /// From the first call until the last pod ran: an answer can be had early where the cluster has the work yet to do.
    until_all_run: Duration,
    /// What the cluster and the clients did for them.
    cluster_cpu: Duration,
}

pub(super) async fn measure(conditions: &Conditions, report: &mut Report) -> anyhow::Result<()> {
    let cores = std::thread::available_parallelism()?.get();
    let (cluster_cores, server_core) = apart(cores);
    // Sites are kept until all is measured: a file system that has just removed thousands of files makes new ones slowly.
    let mut sites = Vec::new();
    ProcessId::own().pin_to(cluster_cores)?;
    for run in 0..conditions.runs {
        for at_once in [1, 8, 32, 100] {
            for is_slow in [false, true] {
                let floor = bare_starts(run, at_once, is_slow).await?;
                sites.push(beside(conditions, &floor, at_once, is_slow, server_core, report).await?);
            }
        }
    }
    ProcessId::own().pin_to(0..cores)
}

/// A cluster of its own each time: what was started before must not slow what is started later.
async fn cluster(is_slow: bool) -> anyhow::Result<Cluster> {
    let cluster = Cluster::start().await?;
    if is_slow {
        cluster.answer_like_etcd();
    }
    Ok(cluster)
}

async fn bare_starts(run: usize, at_once: usize, is_slow: bool) -> anyhow::Result<Started> {
    let cluster = cluster(is_slow).await?;
    let bare = Bare::new(&cluster.client);
    // Connections are there before, as ours are.
    let warming = bare.clone();
    let warm = repeat(16, at_once.min(16), move |n| {
        let bare = warming.clone();
        async move { bare.start(&format!("warm-{n}")).await }
    });
    anyhow::ensure!(warm.await.failures == 0, "bare starts failed");
    let before = cluster.pods_that_run(16).await?;
    let (began, cpu) = (Instant::now(), ProcessId::own().cpu_time()?);
    let floor = repeat(COUNT, at_once, move |n| {
        let (bare, id) = (bare.clone(), format!("bare-{run}-{n}"));
        async move { bare.start(&id).await }
    });
    let calls = floor.await;
    anyhow::ensure!(calls.failures == 0, "{} bare starts failed", calls.failures);
    cluster.pods_that_run(before + COUNT).await?;
    Ok(Started { calls, until_all_run: began.elapsed(), cluster_cpu: ProcessId::own().cpu_time()? - cpu })
}

async fn beside(
    conditions: &Conditions,
    floor: &Started,
    at_once: usize,
    is_slow: bool,
    server_core: usize,
    report: &mut Report,
) -> anyhow::Result<Site> {
    let kind = if is_slow { "3 ms a call" } else { "embedded cluster" };
    let cluster = cluster(is_slow).await?;
    let site = Site::new(&conditions.server, &cluster)?;
    let server = site.serve_on(server_core).await?;
    server.fill("warm-", 16).await?;
    let before = cluster.pods_that_run(16).await?;
    let (began, cluster_cpu) = (Instant::now(), ProcessId::own().cpu_time()?);
    let (cpu, calls) = (server.id.cpu_time()?, cluster.embedded.requests());
    let ours = closed(&server.kept(), at_once, Until::Count(COUNT), starts("start-", SERVICE)).await;
    cluster.pods_that_run(before + COUNT).await?;
    let (until_all_run, cluster_cpu) = (began.elapsed(), ProcessId::own().cpu_time()? - cluster_cpu);
    let cpu = (server.id.cpu_time()? - cpu).as_secs_f64() * 1000.0 / COUNT as f64;
    let calls: u64 = cluster.calls_since(&calls).iter().map(|it| it.1).sum();
    report.add(format!("start: failures, {at_once} at once"), "", Bar::AtMost(0.0), ours.failures as f64);
    if at_once == 1 {
        let ratio = ours.milliseconds(0.5) / floor.calls.milliseconds(0.5);
        report.add(format!("start: p50 against the bare calls, one at a time, {kind}"), "x", Bar::AtMost(1.15), ratio);
        let bare = floor.calls.milliseconds(0.5);
        report.add(format!("start: p50 of the bare calls, one at a time, {kind}"), "ms", Bar::None, bare);
        report.add(format!("start: p50, one at a time, {kind}"), "ms", Bar::None, ours.milliseconds(0.5));
        // A start is a request of its own before it is anything else: nothing behind HTTP comes nearer.
        let health = closed(&server.kept(), 1, Until::Count(COUNT), always(Call::get("/api/health/"))).await;
        report.add(
            format!("start: p50 of the bare calls and one request that does nothing, {kind}"),
            "x",
            Bar::None,
            (bare + health.milliseconds(0.5)) / bare,
        );
    } else {
        let ratio = ours.rate() / floor.calls.rate();
        report.add(
            format!("start: rate against the bare calls, {at_once} at once, {kind}"),
            "x",
            Bar::AtLeast(0.9),
            ratio,
        );
        report.add(format!("start: rate, {at_once} at once, {kind}"), "/s", Bar::None, ours.rate());
        report.add(
            format!("start: rate until all run, against the bare calls, {at_once} at once, {kind}"),
            "x",
            Bar::None,
            floor.until_all_run.as_secs_f64() / until_all_run.as_secs_f64(),
        );
        // With what it sends to whoever watches. Had the server's own core no limit, no more than this could be had.
        report.add(
            format!("start: what the cluster's core allows of the bare calls' rate, {at_once} at once, {kind}"),
            "x",
            Bar::None,
            floor.cluster_cpu.as_secs_f64() / cluster_cpu.as_secs_f64(),
        );
    }
    report.add(format!("start: CPU of one, {at_once} at once, {kind}"), "ms", Bar::AtMost(2.0), cpu);
    let calls = calls as f64 / COUNT as f64;
    report.add("start: API-server calls of one", "", Bar::AtMost(OBJECTS + 1.0), calls);
    server.kill().await?;
    Ok(site)
}
