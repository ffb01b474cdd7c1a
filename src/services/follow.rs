//! Keeps the memory of services in step with the database.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Services;
use crate::domain::ServiceRecord;
use crate::domain::news::News;
use crate::store::{Batch, Changes, StoreError};

/// Rows that are read at a time: a large installation is not held in memory twice.
const PAGE: i64 = 500;
/// Changes of a moment are read together: a start makes two, and what is this process's own is known before.
const GATHERING: Duration = Duration::from_millis(50);
/// Between attempts to read rows that changed.
const PAUSE: Duration = Duration::from_secs(1);

/// Sees the changes of all processes, until it is aborted.
pub async fn follow_changes(services: Arc<Services>, mut changes: Changes) {
    loop {
        let batch = changes.next_gathered(GATHERING).await;
        let mut is_lost = false;
        while let Err(error) = services.refresh(&batch).await {
            if !is_lost {
                tracing::warn!(%error, "changes of services are not seen for now");
            }
            is_lost = true;
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Services {
    /// Reads all services into the memory, before anything else is done. Nobody else may be reading.
    pub async fn remember_all(self: &Arc<Self>) -> Result<(), StoreError> {
        let everything = Batch { everything: true, ..Batch::default() };
        self.refresh(&everything).await?;
        self.inherited.store(self.known.last_sequence(), Ordering::SeqCst);
        Ok(())
    }

    async fn refresh(self: &Arc<Self>, batch: &Batch) -> Result<(), StoreError> {
        if !batch.everything && batch.services.is_empty() {
            return Ok(());
        }
        let reading = self.known.begin_reading();
        let mut found = HashSet::new();
        let mut put = |records: Vec<ServiceRecord>| {
            records.iter().for_each(|it| self.note_namespaces(&it.objects));
            self.known.put_read(&reading, &records, |it| self.mark(it));
            found.extend(records.iter().map(|it| it.sequence));
        };
        if batch.everything {
            let mut last = i64::MIN;
            while let (records, Some(end)) = self.store.services_after(last, PAGE).await? {
                put(records);
                last = end;
            }
            self.announce(News::AllCounted);
        } else {
            let sequences: Vec<i64> = batch.services.iter().copied().collect();
            for page in sequences.chunks(usize::try_from(PAGE).unwrap_or(1)) {
                let records = self.store.services_by_sequence(page).await?;
                self.watch_what_starts(&records);
                records.iter().for_each(|it| self.announce_state(it));
                put(records);
            }
        }
        let asked = (!batch.everything).then_some(&batch.services);
        // Whoever waits for one of them looks again, now that it is known.
        found.iter().for_each(|it| self.changes.tell(it));
        // Also of what other processes removed.
        for sequence in self.known.end_reading(reading, asked, &found) {
            self.announce(News::Gone { sequence });
            self.forget(sequence);
        }
        Ok(())
    }
}
