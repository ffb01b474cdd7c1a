//! What is kept in memory and on disk: idle, with many services, and after many came and went.

use super::Conditions;
use crate::client::Call;
use crate::cluster::Cluster;
use crate::load::{Until, closed};
use crate::operations::{always, starts, stops};
use crate::report::{Bar, Report};
use crate::server::{SERVICE, Server, Site};

pub(super) async fn measure(conditions: &Conditions, report: &mut Report) -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let site = Site::new(&conditions.server, &cluster)?;
    let server = site.serve().await?;
    asked(&server).await;
    report.add("memory: idle", "MiB", Bar::AtMost(20.0), server.id.resident_mib()?);
    let few = 2000.min(conditions.services);
    server.fill("few-", few).await?;
    asked(&server).await;
    report.add(format!("memory: {few} services"), "MiB", Bar::AtMost(45.0), server.id.resident_mib()?);
    server.fill("many-", conditions.services - few).await?;
    asked(&server).await;
    report.add(
        format!("memory: {} services", conditions.services),
        "MiB",
        Bar::AtMost(120.0),
        server.id.resident_mib()?,
    );
    server.kill().await?;

    let cluster = Cluster::start().await?;
    let site = Site::new(&conditions.server, &cluster)?;
    let server = site.serve().await?;
    // What grows at first (pools, caches, the allocator) is not what leaks.
    let tenth = conditions.cycles.div_ceil(10);
    cycle(&server, "warm-", tenth).await?;
    server.rests().await?;
    let (memory, database) = (server.id.resident_mib()?, site.database_mib());
    cycle(&server, "cycle-", conditions.cycles).await?;
    server.rests().await?;
    let grown = server.id.resident_mib()? / memory;
    report.add(format!("memory: after {} starts and stops", conditions.cycles), "x", Bar::AtMost(1.05), grown);
    report.add("database: size before them", "MiB", Bar::None, database);
    report.add("database: growth by them", "MiB", Bar::AtMost(16.0), site.database_mib() - database);
    server.kill().await
}

/// The server has answered everything that it was asked before.
async fn asked(server: &Server) {
    closed(&server.kept(), 8, Until::Count(1000), always(Call::get("/api/health/"))).await;
}

/// Starts and stops services, a hundred at a time.
async fn cycle(server: &Server, prefix: &str, count: usize) -> anyhow::Result<()> {
    const BATCH: usize = 100;
    for batch in 0..count.div_ceil(BATCH) {
        let prefix = format!("{prefix}{batch}-");
        let started = closed(&server.kept(), 16, Until::Count(BATCH), starts(&prefix, SERVICE)).await;
        let stopped = closed(&server.kept(), 16, Until::Count(BATCH), stops(&prefix)).await;
        anyhow::ensure!(started.failures + stopped.failures == 0, "a start or a stop failed");
    }
    Ok(())
}
