//! All services of one hub.

use std::sync::Arc;
use std::time::Duration;

use super::{KnownService, Services};
use crate::domain::{Credential, ServiceRecord};
use crate::store::StoreError;

/// Before the last known list is given.
const LIST_TIME: Duration = Duration::from_secs(6);

impl Services {
    /// The services of a hub, oldest first. Whether they run is not looked at.
    pub async fn list(&self, credential: &Credential) -> Result<Vec<ServiceRecord>, StoreError> {
        self.store.in_time_or_away(LIST_TIME, self.store.services_of(credential)).await
    }

    /// The same as last known, for while the database does not answer.
    pub fn list_known(&self, credential: &Credential) -> Vec<Arc<KnownService>> {
        self.known.of(credential)
    }
}
