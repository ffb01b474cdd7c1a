//! All services of one hub.
//!
//! The database says which there are, the memory what they look like: of a start only the state ever changes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::{KnownService, Services};
use crate::domain::{Credential, ServiceState};
use crate::store::StoreError;

/// Before the last known list is given.
const LIST_TIME: Duration = Duration::from_secs(6);
/// Services that the memory lacks (another process has just started them) are read so many at a time.
const PAGE: usize = 500;

/// A service as a list shows it.
pub struct ListedService {
    pub service: Arc<KnownService>,
    pub is_stopping: bool,
}

impl ListedService {
    fn new(service: Arc<KnownService>, state: ServiceState) -> Self {
        Self { service, is_stopping: state == ServiceState::Stopping }
    }
}

#[cfg(test)]
impl ListedService {
    pub fn of(record: &crate::domain::ServiceRecord) -> Self {
        let mark =
            crate::domain::Mark::new("i", &record.credential, &record.server_name, &record.start_id, record.start_date);
        let is_stopping = record.state == ServiceState::Stopping;
        Self { service: Arc::new(KnownService::read(record, &mark)), is_stopping }
    }
}

impl Services {
    /// The services of a hub, oldest first. Whether they run is not looked at.
    pub async fn list(&self, credential: &Credential) -> Result<Vec<ListedService>, StoreError> {
        let listed = self.list_in_time(credential).await?.into_iter();
        Ok(listed.filter(|(it, _)| is_listed(it)).map(|(it, state)| ListedService::new(it, state)).collect())
    }

    /// The starts of both protocols.
    pub(super) async fn list_in_time(
        &self,
        credential: &Credential,
    ) -> Result<Vec<(Arc<KnownService>, ServiceState)>, StoreError> {
        self.store.in_time_or_away(LIST_TIME, self.list_stored(credential)).await
    }

    async fn list_stored(&self, credential: &Credential) -> Result<Vec<(Arc<KnownService>, ServiceState)>, StoreError> {
        let stored = self.store.sequences_of(credential).await?;
        let mut known: HashMap<i64, Arc<KnownService>> =
            self.known.of(credential).into_iter().map(|it| (it.sequence, it)).collect();
        let missing: Vec<i64> =
            stored.iter().map(|(sequence, _)| *sequence).filter(|it| !known.contains_key(it)).collect();
        for page in missing.chunks(PAGE) {
            let records = self.store.services_by_sequence(page).await?;
            known.extend(records.iter().map(|it| (it.sequence, Arc::new(KnownService::read(it, &self.mark(it))))));
        }
        Ok(stored.into_iter().filter_map(|(sequence, state)| Some((known.remove(&sequence)?, state))).collect())
    }

    /// How many services of a hub are of which flavor and neither stopping nor over.
    pub async fn flavor_counts(&self, hub: &Credential) -> Result<Vec<(String, i64)>, StoreError> {
        self.store.in_time_or_away(LIST_TIME, self.store.flavor_counts(hub)).await
    }

    /// The same as last known, for while the database does not answer.
    pub fn list_known(&self, credential: &Credential) -> Vec<ListedService> {
        let known = self.known.of(credential).into_iter().filter(is_listed);
        known.map(|it| (it.state, it)).map(|(state, it)| ListedService::new(it, state)).collect()
    }
}

/// Hubs of Outpost's protocol have a list of their own.
fn is_listed(service: &Arc<KnownService>) -> bool {
    service.server_name.outpost_name().is_none()
}
