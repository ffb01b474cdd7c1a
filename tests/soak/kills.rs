//! Kills at named points, at random instants, and while the API server fails, at several sites at a time.

use std::sync::Mutex;

use futures::future::join_all;
use k8smgr::fail_points::Point;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;

use super::Outcome;
use super::harness::crasher::{Crasher, Weather};
use super::harness::plan::{kill_at, random_instant};
use super::harness::report::Report;
use super::settings::Settings;

const PROGRESS_EVERY: u64 = 50;

struct Shared {
    report: Report,
    violations: Vec<String>,
    told: u64,
}

pub async fn run(settings: &Settings) -> Outcome {
    let begin = Instant::now();
    let shared = Mutex::new(Shared { report: Report::default(), violations: Vec::new(), told: 0 });
    let is_enough = || {
        let count = shared.lock().unwrap().report.count();
        count >= settings.kills || begin.elapsed() >= settings.longest
    };
    let sites = (0..settings.sites).map(async |index| {
        let mut rng = StdRng::seed_from_u64(settings.seed + index);
        while !is_enough() {
            let mut crasher = Crasher::new(rng.random(), settings.recovery).await;
            let outcome = at_site(&mut crasher, &mut rng, &shared, &is_enough).await;
            let mut shared = shared.lock().unwrap();
            shared.report.add(std::mem::take(&mut crasher.report));
            if let Err(what) = outcome {
                eprintln!("VIOLATION: {what}");
                shared.violations.push(what);
            }
        }
    });
    join_all(sites).await;
    let Shared { report, mut violations, .. } = shared.into_inner().unwrap();
    if report.count() < settings.kills {
        violations.push(format!("{} of {} kills in {:?}", report.count(), settings.kills, settings.longest));
    }
    let unkilled = Point::of_services().filter(|it| !report.kills.contains_key(&format!("{it:?}")));
    let unkilled: Vec<_> = unkilled.collect();
    if !unkilled.is_empty() && settings.kills >= 20 * Point::of_services().count() as u64 {
        violations.push(format!("no kill at {unkilled:?}"));
    }
    let text = format!("{} in {} s", report.summary(), begin.elapsed().as_secs());
    Outcome { text, violations }
}

/// Until it is enough, or something is wrong.
async fn at_site(
    crasher: &mut Crasher,
    rng: &mut StdRng,
    shared: &Mutex<Shared>,
    is_enough: &impl Fn() -> bool,
) -> Result<(), String> {
    crasher.begin().await?;
    let mut points: Vec<Point> = Vec::new();
    while !is_enough() {
        match rng.random_range(0..10) {
            0..6 => {
                if points.is_empty() {
                    points.extend(Point::of_services());
                    points.shuffle(rng);
                }
                if let Some(point) = points.pop() {
                    kill_at(crasher, point, rng).await?;
                }
            }
            6..8 => drop(crasher.round(random_instant(Weather::Fair, rng)).await?),
            8 => drop(crasher.round(random_instant(Weather::Away, rng)).await?),
            _ => drop(crasher.round(random_instant(Weather::Blind, rng)).await?),
        }
        tell(&mut shared.lock().unwrap(), std::mem::take(&mut crasher.report));
    }
    crasher.end().await
}

fn tell(shared: &mut Shared, news: Report) {
    shared.report.add(news);
    let count = shared.report.count();
    if count >= shared.told + PROGRESS_EVERY {
        shared.told = count;
        println!("{count} kills, {} violations", shared.violations.len());
    }
}
