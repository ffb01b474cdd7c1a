//! The campaign: one attempt after the other, for as long as the process lives. Time is monotonic.

use std::time::Duration;

use metrics::{counter, gauge};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use super::candidate::{Election, Outcome};
use super::{ElectedBy, LeaderStatus, Timing};
use crate::cluster::Deadline;

/// What giving the leadership back may take.
const RELEASE_TIME: Duration = Duration::from_secs(2);

pub(super) async fn run(mut election: Election, status: watch::Sender<LeaderStatus>, resigned: CancellationToken) {
    let mut leads_until = None;
    loop {
        let begun = Instant::now();
        tokio::select! {
            () = resigned.cancelled() => break,
            () = attempt(&mut election, &mut leads_until, &status) => {}
        }
        tokio::select! {
            () = resigned.cancelled() => break,
            () = sleep(election.timing.interval.saturating_sub(begun.elapsed())) => {}
        }
    }
    let led = leads_until.is_some();
    publish(&status, LeaderStatus { leading: false, elected_by: election.elected_by(), leader: None, problem: None });
    // Also where an attempt was cut off that may have taken effect.
    match election.release(Deadline::after(RELEASE_TIME)).await {
        Ok(()) if led => tracing::info!("the leadership was given back"),
        Ok(()) => {}
        Err(error) => tracing::warn!(%error, "the leadership was not given back; it ends by itself"),
    }
}

/// `leads_until` counts from before the renewal was sent: others count from when it arrived.
async fn attempt(election: &mut Election, leads_until: &mut Option<Instant>, status: &watch::Sender<LeaderStatus>) {
    let Timing { leads_for, .. } = election.timing;
    let begun = Instant::now();
    let end = leads_until.unwrap_or(begun + leads_for);
    let attempted = timeout_at(end, election.attempt(Deadline::at(end))).await;
    let mut leader = None;
    let mut problem = None;
    match attempted {
        Ok(Ok(Outcome::Leads)) => *leads_until = Some(begun + leads_for),
        Ok(Ok(Outcome::Follows { leader: other })) => {
            *leads_until = None;
            leader = other;
        }
        Ok(Err(error)) => problem = Some(error.to_string()),
        Err(_) => problem = Some("no answer in time".to_owned()),
    }
    // The database's lock went with the connection; a Lease is ours until its time is over.
    let is_lost = problem.is_some() && election.elected_by() == ElectedBy::Database;
    if is_lost || leads_until.is_some_and(|it| it <= Instant::now()) {
        *leads_until = None;
    }
    let leading = leads_until.is_some();
    publish(status, LeaderStatus { leading, elected_by: election.elected_by(), leader, problem });
}

/// Tells what changed; a problem once.
pub(super) fn publish(status: &watch::Sender<LeaderStatus>, new: LeaderStatus) {
    let old = status.send_replace(new.clone());
    match (&old.problem, &new.problem) {
        (None, Some(problem)) => tracing::warn!(problem, "the leader cannot be elected for now"),
        (Some(_), None) => tracing::info!("the leader can be elected again"),
        _ => {}
    }
    if old.leading != new.leading {
        gauge!("k8smgr_leader").set(if new.leading { 1.0 } else { 0.0 });
        if new.leading {
            counter!("k8smgr_leader_elections_won_total").increment(1);
            tracing::info!(elected_by = ?new.elected_by, "this process leads: it does the background work");
        } else {
            tracing::info!("this process leads no more");
        }
    }
}
