//! Load: closed (so many clients, each waits for its answer) and open (so many requests a second, whether answers come or not).
//!
//! Under open load the latency counts from when a request was due, so that a server that stalls is charged for all
//! requests that had to wait (no coordinated omission).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::client::{Call, Client, Target};

/// What is sent next: the n-th request of a run.
pub type Calls = Arc<dyn Fn(usize) -> Call + Send + Sync>;

/// Latencies in microseconds, and how many requests failed (no answer, or not a 2xx).
pub struct Measured {
    pub latency: Histogram<u64>,
    pub failures: u64,
    pub took: Duration,
}

impl Measured {
    pub fn new() -> Self {
        // Up to ten minutes with three significant digits: cannot fail.
        #[allow(clippy::unwrap_used)]
        Self { latency: Histogram::new_with_bounds(1, 600_000_000, 3).unwrap(), failures: 0, took: Duration::ZERO }
    }

    pub fn add(&mut self, latency: Duration, is_good: bool) {
        let microseconds = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.latency.saturating_record(microseconds);
        self.failures += u64::from(!is_good);
    }

    fn merge(&mut self, other: &Measured) {
        // Both have the same bounds.
        let _ = self.latency.add(&other.latency);
        self.failures += other.failures;
    }

    pub fn rate(&self) -> f64 {
        self.latency.len() as f64 / self.took.as_secs_f64()
    }

    pub fn milliseconds(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1000.0
    }

    pub fn longest_milliseconds(&self) -> f64 {
        self.latency.max() as f64 / 1000.0
    }
}

/// When a closed run ends.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    After(Duration),
    Count(usize),
}

pub async fn closed(target: &Target, clients: usize, until: Until, calls: Calls) -> Measured {
    let next = Arc::new(AtomicUsize::new(0));
    let is_over = Arc::new(AtomicBool::new(false));
    let began = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..clients {
        let (next, is_over, calls) = (next.clone(), is_over.clone(), calls.clone());
        let mut client = Client::new(target.clone());
        running.spawn(async move {
            let mut measured = Measured::new();
            while !is_over.load(Ordering::Relaxed) {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if matches!(until, Until::Count(count) if n >= count) {
                    break;
                }
                let call = calls(n);
                let sent = Instant::now();
                let answer = client.send(&call).await;
                measured.add(sent.elapsed(), is_good(&answer));
            }
            measured
        });
    }
    if let Until::After(duration) = until {
        sleep_until(began + duration).await;
        is_over.store(true, Ordering::Relaxed);
    }
    let mut all = joined(running).await;
    all.took = began.elapsed();
    all
}

/// `rate` requests a second for `duration`. Each is sent when it is due, on a free kept connection or a new one.
pub async fn open(target: &Target, rate: f64, duration: Duration, calls: Calls) -> Measured {
    let free: Arc<Mutex<Vec<Client>>> = Arc::default();
    let began = Instant::now();
    let count = (rate * duration.as_secs_f64()) as usize;
    let mut running = JoinSet::new();
    let mut all = Measured::new();
    for n in 0..count {
        let due = began + Duration::from_secs_f64(n as f64 / rate);
        sleep_until(due).await;
        let (free, target, call) = (free.clone(), target.clone(), calls(n));
        running.spawn(async move {
            let kept = free.lock().await.pop();
            let mut client = kept.unwrap_or_else(|| Client::new(target));
            let answer = client.send(&call).await;
            let mut measured = Measured::new();
            measured.add(due.elapsed(), is_good(&answer));
            free.lock().await.push(client);
            measured
        });
        while let Some(Ok(done)) = running.try_join_next() {
            all.merge(&done);
        }
    }
    all.merge(&joined(running).await);
    all.took = began.elapsed();
    all
}

fn is_good(answer: &anyhow::Result<crate::client::Answer>) -> bool {
    matches!(answer, Ok(answer) if (200..300).contains(&answer.status))
}

async fn joined(mut running: JoinSet<Measured>) -> Measured {
    let mut all = Measured::new();
    while let Some(done) = running.join_next().await {
        match done {
            Ok(done) => all.merge(&done),
            Err(_) => all.failures += 1,
        }
    }
    all
}
