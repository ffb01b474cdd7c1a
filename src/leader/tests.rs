//! Work is done while leading and at no other time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn status(leading: bool) -> LeaderStatus {
    LeaderStatus { leading, elected_by: ElectedBy::Lease, leader: None, problem: None }
}

#[tokio::test]
async fn work_is_dropped_when_the_leadership_is_lost_and_begun_again_when_it_is_back() {
    let (sender, receiver) = watch::channel(status(false));
    let leader = Leader { status: receiver, resigned: CancellationToken::new(), campaign: TaskTracker::new() };
    let (at_work, begun) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let work = {
        let (at_work, begun) = (at_work.clone(), begun.clone());
        move || {
            let (at_work, begun) = (at_work.clone(), begun.clone());
            async move {
                at_work.fetch_add(1, Ordering::SeqCst);
                begun.fetch_add(1, Ordering::SeqCst);
                let _counted = Counted(at_work);
                std::future::pending::<()>().await;
            }
        }
    };
    let running = tokio::spawn(leader.while_leading(work));
    let settle = async || {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    };
    settle().await;
    assert_eq!(begun.load(Ordering::SeqCst), 0);
    for round in 1..=2 {
        sender.send_replace(status(true));
        settle().await;
        assert_eq!((at_work.load(Ordering::SeqCst), begun.load(Ordering::SeqCst)), (1, round));
        sender.send_replace(status(false));
        settle().await;
        assert_eq!(at_work.load(Ordering::SeqCst), 0);
    }
    drop(sender);
    running.await.unwrap();
}

#[tokio::test]
async fn who_is_alone_leads_until_it_resigns() {
    let leader = Leader::alone();
    leader.status.clone().wait_for(|it| it.leading).await.unwrap();
    leader.resign().await;
    assert!(!leader.status().leading);
}

#[test]
fn a_leader_stops_before_its_lease_ends_and_is_followed_within_fifteen_seconds() {
    let timing = Timing::new(Duration::from_secs(crate::config::LeaderElection::default().lease_seconds));
    assert!(timing.leads_for + timing.interval < timing.lease);
    // A death right after a renewal, which is seen an attempt later, and found to be over another one later.
    assert!(timing.interval + timing.lease + timing.interval < Duration::from_secs(15));
}
