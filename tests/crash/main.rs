//! The real process is killed with SIGKILL, at named points and at random instants, and started again on the same
//! database and cluster. Afterwards every server is whole and running or gone without a trace, and nobody else's was
//! touched. `tests/soak` does the same for long.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;
mod user_jobs;

use std::time::Duration;

use futures::future::join_all;
use k8smgr::fail_points::Point;
use rand::SeedableRng;
use rand::rngs::StdRng;

use harness::crasher::{Crasher, Weather};
use harness::plan;
use harness::report::Report;

/// A recovery takes less than 10 s (`make soak` counts it); a machine that is busy with other tests may take longer.
const PATIENCE: Duration = Duration::from_secs(60);
const SEED: u64 = 20_261_120;

/// Several sites at a time: a recovery mostly waits.
async fn at_sites(count: u64, kills: impl AsyncFn(u64, &mut Crasher, &mut StdRng) -> Result<(), String>) -> Report {
    let sites = (0..count).map(async |index| {
        let mut crasher = Crasher::new(SEED + index, PATIENCE).await;
        let mut rng = StdRng::seed_from_u64(SEED + index);
        crasher.begin().await.unwrap();
        kills(index, &mut crasher, &mut rng).await.unwrap();
        crasher.end().await.unwrap();
        crasher.report
    });
    let mut report = Report::default();
    join_all(sites).await.into_iter().for_each(|it| report.add(it));
    println!("{}", report.summary());
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_any_named_point_leaves_every_server_whole_or_gone() {
    const SITES: usize = 8;
    let report = at_sites(SITES as u64, async |index, crasher, rng| {
        for point in Point::of_services().skip(index as usize).step_by(SITES) {
            plan::kill_at(crasher, point, rng).await?;
        }
        Ok(())
    });
    let report = report.await;
    for point in Point::of_services() {
        assert!(report.kills.contains_key(&format!("{point:?}")), "no process died at {point:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_any_instant_leaves_every_server_whole_or_gone() {
    let report = at_sites(3, async |_, crasher, rng| {
        for _ in 0..5 {
            crasher.round(plan::random_instant(Weather::Fair, rng)).await?;
        }
        Ok(())
    });
    assert_eq!(report.await.count(), 15);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_while_the_api_server_is_away_or_watches_fail_touches_no_healthy_server() {
    let report = at_sites(2, async |index, crasher, rng| {
        let weather = [Weather::Away, Weather::Blind][index as usize];
        for _ in 0..3 {
            crasher.round(plan::random_instant(weather, rng)).await?;
        }
        Ok(())
    });
    assert_eq!(report.await.count(), 6);
}
