//! What a start costs, beside the bare API calls that it cannot do without.

use super::Conditions;
use crate::cluster::Cluster;
use crate::floor::{Bare, repeat};
use crate::load::{Until, closed};
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
            // A cluster of its own each time: what was started before must not slow what is started later.
            let cluster = Cluster::start().await?;
            let bare = Bare::new(&cluster.client);
            let prefix = format!("bare-{run}-");
            let floor = repeat(COUNT, at_once, move |n| {
                let (bare, id) = (bare.clone(), format!("{prefix}{n}"));
                async move { bare.start(&id).await }
            });
            let floor = floor.await;
            anyhow::ensure!(floor.failures == 0, "{} bare starts failed", floor.failures);

            let cluster = Cluster::start().await?;
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
                report.add("start: p50 against the bare calls, one at a time", "x", Bar::AtMost(1.15), ratio);
                report.add("start: p50 of the bare calls, one at a time", "ms", Bar::None, floor.milliseconds(0.5));
            } else {
                let ratio = ours.rate() / floor.rate();
                report.add(
                    format!("start: rate against the bare calls, {at_once} at once"),
                    "x",
                    Bar::AtLeast(0.9),
                    ratio,
                );
                report.add(format!("start: rate, {at_once} at once"), "/s", Bar::None, ours.rate());
            }
            report.add(format!("start: CPU of one, {at_once} at once"), "ms", Bar::AtMost(2.0), cpu);
            let calls = calls as f64 / COUNT as f64;
            report.add("start: API-server calls of one", "", Bar::AtMost(OBJECTS + 1.0), calls);
            server.kill().await?;
        }
    }
    Ok(())
}
