//! Services whose objects are there though the watch cache does not know them: a list lacked them, and a watch tells
//! nothing of what does not change. Nobody would hear of their end.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Services;
use super::judge::Judged;
use crate::cluster::Deadline;
use crate::domain::Moment;

/// A watch has told of a new object by then.
const LATENESS: Duration = Duration::from_secs(5);
const REMEMBERED: Duration = Duration::from_secs(600);
const LIST_TIME: Duration = Duration::from_secs(2);

/// The services that a direct read has found and the cache had not, and since when.
#[derive(Default)]
pub struct Unseen {
    since: Mutex<HashMap<i64, Moment>>,
}

impl Unseen {
    /// True: it was so for long enough that something is wrong.
    fn note(&self, sequence: i64, now: Moment) -> bool {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        since.retain(|_, it| now.since(*it) < REMEMBERED);
        let is_wrong = now.since(*since.entry(sequence).or_insert(now)) >= LATENESS;
        if is_wrong {
            since.remove(&sequence);
        }
        is_wrong
    }
}

impl Services {
    /// A direct read has found a service that the cache does not know.
    pub(super) async fn is_there_unseen(&self, service: Judged<'_>) {
        if !self.unseen.note(service.sequence, self.clock.moment()) {
            return;
        }
        tracing::warn!(id = %service.object_id, "the watches do not know a service that is there; they list everything again");
        metrics::counter!("k8smgr_watches_begun_again_total").increment(1);
        if let Err(error) = self.cluster.watch_anew(service.objects, Deadline::after(LIST_TIME)).await {
            tracing::debug!(%error, "the watches begin later");
        }
    }
}
