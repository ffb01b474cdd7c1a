//! One process that is not killed: neither its memory nor its database grows with the services it has started and
//! stopped.

use std::time::{Duration, Instant};

use futures::future::join_all;

use super::Outcome;
use super::harness::process::{Process, spawn};
use super::harness::site::Site;
use super::settings::Settings;

const AT_ONCE: u64 = 12;
const SAMPLES: u64 = 20;
/// What the allocator may keep beyond what was there after the first quarter.
const SPARE_KIB: u64 = 4 * 1024;
/// A write-ahead log is emptied when it has 1,000 pages; writers may be quicker for a while.
const MOST_WAL_BYTES: u64 = 16 * 1024 * 1024;
/// The rows of a dozen services, and pages that wait to be used again.
const MOST_DATABASE_BYTES: u64 = 1024 * 1024;

const STOPPING_TIME: Duration = Duration::from_secs(30);
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

pub async fn run(settings: &Settings) -> Outcome {
    let site = Site::new().await;
    let mut process = spawn(&site, None).await.expect("k8smgr starts");
    let (mut lines, mut resident, mut violations) = (Vec::new(), Vec::new(), Vec::new());
    let batches = (settings.cycles / AT_ONCE).max(SAMPLES);
    for batch in 0..batches {
        let cycles = (0..AT_ONCE).map(|server| cycle(&process, server, batch));
        violations.extend(join_all(cycles).await.into_iter().filter_map(Result::err));
        if batch % (batches / SAMPLES).max(1) == 0 || batch + 1 == batches {
            let (database, wal) = site.database_bytes();
            resident.push(resident_kib(&process));
            lines.push(format!(
                "{:>6} cycles: {:>7} KiB resident, database {} KiB, its log {} KiB",
                (batch + 1) * AT_ONCE,
                resident.last().unwrap(),
                database / 1024,
                wal / 1024,
            ));
            if database > MOST_DATABASE_BYTES || wal > MOST_WAL_BYTES {
                violations.push(format!("the database grows: {}", lines.last().unwrap()));
            }
        }
    }
    let left = left_at_last(&site).await;
    process.kill().await;
    let quarter = resident.len() / 4;
    let (early, late) = (median(&resident[quarter..2 * quarter]), median(&resident[resident.len() - quarter..]));
    if late > early + early / 10 + SPARE_KIB {
        violations.push(format!("memory grows: {early} KiB, later {late} KiB"));
    }
    if left != (0, 0) {
        violations.push(format!("left after the last stop: {} services' objects, {} records", left.0, left.1));
    }
    Outcome { text: lines.join("\n"), violations }
}

/// Stops are answered before they are carried out: what is there when nothing is left, or after a while.
async fn left_at_last(site: &Site) -> (usize, usize) {
    let begun = Instant::now();
    loop {
        let left = (site.objects().len(), site.records().await.len());
        if left == (0, 0) || begun.elapsed() > STOPPING_TIME {
            return left;
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

/// A start, a poll and a stop.
async fn cycle(process: &Process, server: u64, batch: u64) -> Result<(), String> {
    let name = format!("server{server}");
    let client = process.client;
    let started = client.start(&name, &format!("s{batch}"), "Lab", server as i64).await;
    let polled = client.poll(&name).await;
    let stopped = client.stop(&name).await;
    let is_right = started.as_ref().is_some_and(|it| it.status == 201)
        && polled.as_ref().is_some_and(|it| it.says_running())
        && stopped.as_ref().is_some_and(|it| it.status == 204);
    if is_right { Ok(()) } else { Err(format!("{name} {batch}: {started:?}, {polled:?}, {stopped:?}")) }
}

fn resident_kib(process: &Process) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", process.id().unwrap())).unwrap();
    let line = text.lines().find_map(|it| it.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

fn median(values: &[u64]) -> u64 {
    let mut values = values.to_vec();
    values.sort();
    values[values.len() / 2]
}
