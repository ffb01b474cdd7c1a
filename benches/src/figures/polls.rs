//! What a poll costs, beside `/api/health/` and beside a server that answers a constant.

use std::time::Duration;

use super::{Conditions, apart};
use crate::client::{Call, Target};
use crate::cluster::Cluster;
use crate::constant::Constant;
use crate::load::{Calls, Measured, Until, closed, open};
use crate::operations::{always, poll, polls, server_name};
use crate::process::ProcessId;
use crate::report::{Bar, Report};
use crate::server::{Server, Site};

const PREFIX: &str = "poll-";
const FEW: usize = 100;
pub(super) async fn measure(conditions: &Conditions, report: &mut Report) -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let site = Site::new(&conditions.server, &cluster)?;
    let cores = std::thread::available_parallelism()?.get();
    let (client_cores, server_core) = apart(cores);
    ProcessId::own().pin_to(client_cores)?;
    let server = site.serve_on(server_core).await?;
    let duration = Duration::from_secs(conditions.seconds);
    let many = conditions.services;

    server.fill(PREFIX, FEW.min(many)).await?;
    let kinds = [("kept connections", server.kept()), ("new connections", server.new_each())];
    let rates = async |count: usize| {
        let mut rates = Vec::new();
        for _ in 0..conditions.runs {
            for (_, target) in &kinds {
                rates.push(closed(target, 8, Until::After(duration), polls(PREFIX, count)).await.rate());
            }
        }
        rates
    };
    let with_few = rates(FEW).await;
    fill_up(&server, many).await?;
    // Thousands of starts have just been made: their pods still come up, in the server's watches and in the cluster beside it.
    server.rests().await?;
    for ((all, few), (kind, _)) in rates(many).await.iter().zip(with_few).zip(kinds.iter().cycle()) {
        let name = format!("poll: rate with {many} services against {FEW}, {kind}");
        report.add(name, "x", Bar::AtLeast(0.9), all / few);
    }

    let size = server.client().send(&poll(&server_name(PREFIX, 0))).await?.body.len();
    let constant = Constant::start_on(size, server_core).await?;
    for _ in 0..conditions.runs {
        costs(&cluster, &server, duration, many, report).await?;
        for at_once in [8, 32, 64] {
            beside_constant(&server, &constant, at_once, duration, many, report).await;
        }
        at_a_rate(&server, duration, many, report).await;
    }
    for _ in 0..conditions.runs {
        let busy = server.id.cpu_time()?;
        let pinned = closed(&server.kept(), 16, Until::After(duration), polls(PREFIX, many)).await;
        let share = (server.id.cpu_time()? - busy).as_secs_f64() / pinned.took.as_secs_f64();
        report.add("poll: on one core, kept connections", "/s", Bar::AtLeast(20_000.0), pinned.rate());
        report.add("poll: how busy that core was with the server", "", Bar::None, share);
    }
    ProcessId::own().pin_to(0..cores)?;
    server.kill().await
}

async fn fill_up(server: &Server, many: usize) -> anyhow::Result<()> {
    let more = move |n: usize| crate::operations::start(server_name(PREFIX, n + FEW), crate::server::SERVICE);
    let count = many.saturating_sub(FEW);
    let started = closed(&server.kept(), 16, Until::Count(count), std::sync::Arc::new(more)).await;
    anyhow::ensure!(started.failures == 0, "{} starts failed", started.failures);
    Ok(())
}

/// CPU time a request, kept connections: polls beside health.
async fn costs(
    cluster: &Cluster,
    server: &Server,
    duration: Duration,
    many: usize,
    report: &mut Report,
) -> anyhow::Result<()> {
    let idle = server.id.file_reads()?;
    tokio::time::sleep(duration).await;
    let idle = server.id.file_reads()? - idle;
    let (health, _) = cost(server.id, &server.kept(), duration, always(Call::get("/api/health/"))).await?;
    let (calls_before, reads_before) = (cluster.embedded.requests(), server.id.file_reads()?);
    let (polled, measured) = cost(server.id, &server.kept(), duration, polls(PREFIX, many)).await?;
    let calls: u64 =
        cluster.calls_since(&calls_before).iter().filter(|it| !it.0.starts_with("watch")).map(|it| it.1).sum();
    // The process looks at its folders and its database now and then, with polls or without.
    let reads = (server.id.file_reads()? - reads_before).saturating_sub(idle);
    let thousands = measured.latency.len() as f64 / 1000.0;
    report.add(format!("poll: file reads a thousand, {many} services"), "", Bar::AtMost(0.1), reads as f64 / thousands);
    report.add("poll: failures", "", Bar::AtMost(0.0), measured.failures as f64);
    report.add(format!("poll: API-server calls a thousand, {many} services"), "", Bar::AtMost(0.0), {
        calls as f64 / thousands
    });
    report.add("poll: CPU against /api/health/, kept connections", "x", Bar::AtMost(1.5), polled / health);
    report.add("poll: CPU of one, kept connections", "us", Bar::None, polled * 1e6);
    Ok(())
}

async fn cost(id: ProcessId, target: &Target, duration: Duration, calls: Calls) -> anyhow::Result<(f64, Measured)> {
    let before = id.cpu_time()?;
    let measured = closed(target, 8, Until::After(duration), calls).await;
    Ok(((id.cpu_time()? - before).as_secs_f64() / measured.latency.len() as f64, measured))
}

/// A new connection each time, as hubs do.
async fn beside_constant(
    server: &Server,
    constant: &Constant,
    at_once: usize,
    duration: Duration,
    many: usize,
    report: &mut Report,
) {
    let bare = Target { address: constant.address, authorization: server.kept().authorization, keep: false };
    let floor = closed(&bare, at_once, Until::After(duration), always(Call::get("/api/services/x/"))).await;
    let ours = closed(&server.new_each(), at_once, Until::After(duration), polls(PREFIX, many)).await;
    let ratio = ours.rate() / floor.rate();
    report.add(
        format!("poll: rate against a constant, new connections, {at_once} at once"),
        "x",
        Bar::AtLeast(0.7),
        ratio,
    );
    let ratio = ours.milliseconds(0.99) / floor.milliseconds(0.99);
    report.add(
        format!("poll: p99 against a constant, new connections, {at_once} at once"),
        "x",
        Bar::AtMost(2.0),
        ratio,
    );
}

async fn at_a_rate(server: &Server, duration: Duration, many: usize, report: &mut Report) {
    let paced = open(&server.kept(), 2000.0, duration, polls(PREFIX, many)).await;
    report.add("poll: p99 at 2,000/s", "ms", Bar::AtMost(5.0), paced.milliseconds(0.99));
}
