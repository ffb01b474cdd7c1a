//! All services of one hub.

use super::Services;
use crate::domain::{Credential, ServiceRecord};
use crate::store::StoreError;

impl Services {
    /// The services of a hub, oldest first. Whether they run is not looked at.
    pub async fn list(&self, credential: &Credential) -> Result<Vec<ServiceRecord>, StoreError> {
        self.store.services_of(credential).await
    }
}
