//! What a stop costs, beside one bare delete.

use super::Conditions;
use crate::cluster::Cluster;
use crate::floor::{Bare, repeat};
use crate::load::{Until, closed};
use crate::operations::stops;
use crate::report::{Bar, Report};
use crate::server::Site;

const COUNT: usize = 400;

pub(super) async fn measure(conditions: &Conditions, report: &mut Report) -> anyhow::Result<()> {
    for _ in 0..conditions.runs {
        let cluster = Cluster::start().await?;
        let bare = Bare::new(&cluster.client);
        let starting = bare.clone();
        let started = repeat(COUNT, 8, move |n| {
            let bare = starting.clone();
            async move { bare.start(&format!("bare-{n}")).await }
        });
        anyhow::ensure!(started.await.failures == 0, "bare starts failed");
        let floor = repeat(COUNT, 1, move |n| {
            let bare = bare.clone();
            async move { bare.stop(&format!("bare-{n}")).await }
        });
        let floor = floor.await;

        let cluster = Cluster::start().await?;
        let site = Site::new(&conditions.server, &cluster)?;
        let server = site.serve().await?;
        server.fill("one-", COUNT).await?;
        let ours = closed(&server.kept(), 1, Until::Count(COUNT), stops("one-")).await;
        let ratio = ours.milliseconds(0.5) / floor.milliseconds(0.5);
        report.add("stop: p50 against one bare delete", "x", Bar::AtMost(1.5), ratio);
        server.fill("many-", COUNT).await?;
        let at_once = closed(&server.kept(), 64, Until::Count(COUNT), stops("many-")).await;
        report.add("stop: rate, 64 at once", "/s", Bar::None, at_once.rate());
        report.add("stop: failures", "", Bar::AtMost(0.0), (ours.failures + at_once.failures) as f64);
        server.kill().await?;
    }
    Ok(())
}
