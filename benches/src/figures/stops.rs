//! What a stop costs, beside one bare delete.

use std::time::Duration;

use super::Conditions;
use crate::cluster::Cluster;
use crate::floor::{Bare, paced, repeat};
use crate::load::{Until, closed, open};
use crate::operations::{server_name, stops};
use crate::report::{Bar, Report};
use crate::server::Site;

/// One after the other with time between them, so that one's deletions are no part of the next one's answer.
const RATE: f64 = 20.0;
const AT_ONCE: usize = 64;
const COUNT: usize = 400;
/// Everything that was stopped is gone after as long.
const GONE: Duration = Duration::from_secs(60);

pub(super) async fn measure(conditions: &Conditions, report: &mut Report) -> anyhow::Result<()> {
    let duration = Duration::from_secs(conditions.seconds);
    let count = (RATE * duration.as_secs_f64()) as usize;
    for _ in 0..conditions.runs {
        for is_slow in [false, true] {
            let kind = if is_slow { "3 ms a call" } else { "embedded cluster" };
            let cluster = Cluster::start().await?;
            let bare = Bare::new(&cluster.client);
            let starting = bare.clone();
            let started = repeat(count, 8, move |n| {
                let bare = starting.clone();
                async move { bare.start(&server_name("bare-", n)).await }
            });
            anyhow::ensure!(started.await.failures == 0, "bare starts failed");
            if is_slow {
                cluster.answer_like_etcd();
            }
            let floor = paced(RATE, duration, move |n| {
                let bare = bare.clone();
                async move { bare.stop(&server_name("bare-", n)).await }
            });
            let floor = floor.await;
            anyhow::ensure!(floor.failures == 0, "bare deletes failed");

            let cluster = Cluster::start().await?;
            let site = Site::new(&conditions.server, &cluster)?;
            let server = site.serve().await?;
            server.fill("one-", count).await?;
            server.fill("many-", COUNT).await?;
            if is_slow {
                cluster.answer_like_etcd();
            }
            let ours = open(&server.kept(), RATE, duration, stops("one-")).await;
            let ratio = ours.milliseconds(0.5) / floor.milliseconds(0.5);
            report.add(format!("stop: p50 against one bare delete, {kind}"), "x", Bar::AtMost(1.5), ratio);
            report.add(format!("stop: p50 of one bare delete, {kind}"), "ms", Bar::None, floor.milliseconds(0.5));
            let at_once = closed(&server.kept(), AT_ONCE, Until::Count(COUNT), stops("many-")).await;
            report.add(format!("stop: rate, {AT_ONCE} at once, {kind}"), "/s", Bar::None, at_once.rate());
            report.add(format!("stop: p99, {AT_ONCE} at once, {kind}"), "ms", Bar::None, at_once.milliseconds(0.99));
            report.add("stop: failures", "", Bar::AtMost(0.0), (ours.failures + at_once.failures) as f64);
            let left = cluster.objects_left(GONE).await?;
            report.add("stop: objects left a minute later", "", Bar::AtMost(0.0), left as f64);
            server.kill().await?;
        }
    }
    Ok(())
}
