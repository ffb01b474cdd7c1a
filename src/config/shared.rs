//! The configuration that is in force, shared by all rooms.

use std::sync::Arc;

use tokio::sync::watch;

use super::Config;

/// A handle to the configuration; clones see the same one. Whoever works on something takes `current` once, so that a
/// change never applies half-way through.
#[derive(Clone)]
pub struct SharedConfig(Arc<watch::Sender<Arc<Config>>>);

impl SharedConfig {
    pub fn new(config: Config) -> Self {
        Self(Arc::new(watch::channel(Arc::new(config)).0))
    }

    /// From now on this one is in force.
    pub fn replace(&self, config: Arc<Config>) {
        self.0.send_replace(config);
    }

    pub fn current(&self) -> Arc<Config> {
        self.0.borrow().clone()
    }

    /// For whoever has to do something about a change: tells of those from now on.
    pub fn changes(&self) -> watch::Receiver<Arc<Config>> {
        self.0.subscribe()
    }
}
