//! What a start costs, beside the bare API calls that it cannot do without.

use super::Conditions;
use crate::cluster::Cluster;
use crate::floor::{Bare, repeat};
use crate::load::{Measured, Until, closed};
use crate::operations::starts;
use crate::report::{Bar, Report};
use crate::server::{SERVICE, Site};

/// How many starts one figure is of.
const COUNT: usize = 400;
/// The owner Secret, the ConfigMap, the Service, the Deployment.
const OBJECTS: f64 = 4.0;

pub(super) async fn measure(conditions: &Conditions, report: &mut Report) -> anyhow::Result<()> {
    for run in 0..conditions.runs {
        for at_once in [1, 8, 32, 100] {
            for is_slow in [false, true] {
                let floor = bare_starts(run, at_once, is_slow).await?;
                beside(conditions, &floor, at_once, is_slow, report).await?;
            }
        }
    }
    Ok(())
}

/// A cluster of its own each time: what was started before must not slow what is started later.
async fn cluster(is_slow: bool) -> anyhow::Result<Cluster> {
    let cluster = Cluster::start().await?;
    if is_slow {
        cluster.answer_like_etcd();
    }
    Ok(cluster)
}

async fn bare_starts(run: usize, at_once: usize, is_slow: bool) -> anyhow::Result<Measured> {
    let cluster = cluster(is_slow).await?;
    let bare = Bare::new(&cluster.client);
    // Connections are there before, as ours are.
    let warming = bare.clone();
    let warm = repeat(16, at_once.min(16), move |n| {
        let bare = warming.clone();
        async move { bare.start(&format!("warm-{n}")).await }
    });
    anyhow::ensure!(warm.await.failures == 0, "bare starts failed");
    let floor = repeat(COUNT, at_once, move |n| {
        let (bare, id) = (bare.clone(), format!("bare-{run}-{n}"));
        async move { bare.start(&id).await }
    });
    let floor = floor.await;
    anyhow::ensure!(floor.failures == 0, "{} bare starts failed", floor.failures);
    Ok(floor)
}

async fn beside(
    conditions: &Conditions,
    floor: &Measured,
    at_once: usize,
    is_slow: bool,
    report: &mut Report,
) -> anyhow::Result<()> {
    let kind = if is_slow { "3 ms a call" } else { "embedded cluster" };
    let cluster = cluster(is_slow).await?;
    let site = Site::new(&conditions.server, &cluster)?;
    let server = site.serve().await?;
    server.fill("warm-", 16).await?;
    let (cpu, calls) = (server.id.cpu_time()?, cluster.embedded.requests());
    let ours = closed(&server.kept(), at_once, Until::Count(COUNT), starts("start-", SERVICE)).await;
    let cpu = (server.id.cpu_time()? - cpu).as_secs_f64() * 1000.0 / COUNT as f64;
    let calls: u64 = cluster.calls_since(&calls).iter().map(|it| it.1).sum();
    report.add(format!("start: failures, {at_once} at once"), "", Bar::AtMost(0.0), ours.failures as f64);
    if at_once == 1 {
        let ratio = ours.milliseconds(0.5) / floor.milliseconds(0.5);
        report.add(format!("start: p50 against the bare calls, one at a time, {kind}"), "x", Bar::AtMost(1.15), ratio);
        let bare = floor.milliseconds(0.5);
        report.add(format!("start: p50 of the bare calls, one at a time, {kind}"), "ms", Bar::None, bare);
        report.add(format!("start: p50, one at a time, {kind}"), "ms", Bar::None, ours.milliseconds(0.5));
    } else {
        let ratio = ours.rate() / floor.rate();
        report.add(
            format!("start: rate against the bare calls, {at_once} at once, {kind}"),
            "x",
            Bar::AtLeast(0.9),
            ratio,
        );
        report.add(format!("start: rate, {at_once} at once, {kind}"), "/s", Bar::None, ours.rate());
    }
    report.add(format!("start: CPU of one, {at_once} at once, {kind}"), "ms", Bar::AtMost(2.0), cpu);
    let calls = calls as f64 / COUNT as f64;
    report.add("start: API-server calls of one", "", Bar::AtMost(OBJECTS + 1.0), calls);
    server.kill().await
}
