//! Every process answers polls, so every process watches what runs, also where it did not start it.

use std::sync::Arc;
use std::time::Duration;

use super::Services;
use crate::domain::ServiceState;

const PAUSE: Duration = Duration::from_secs(1);

/// Begins the watches of all running services, as soon as the database can be read. What is started later elsewhere is
/// watched from its first poll on.
pub async fn watch_what_runs(services: Arc<Services>) {
    let running = loop {
        match services.store.services_in(&[ServiceState::Running]).await {
            Ok(running) => break running,
            Err(error) => tracing::warn!(%error, "running services are watched later"),
        }
        tokio::time::sleep(PAUSE).await;
    };
    running.iter().for_each(|record| services.watch_soon(record));
}
