//! The configuration that is in force, shared by all rooms.

use std::sync::{Arc, PoisonError, RwLock};

use super::Config;

/// A handle to the configuration; clones see the same one. Whoever works on something takes `current` once, so that a
/// change never applies half-way through.
#[derive(Clone)]
pub struct SharedConfig(Arc<RwLock<Arc<Config>>>);

impl SharedConfig {
    pub fn new(config: Config) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(config))))
    }

    /// From now on this one is in force.
    pub fn replace(&self, config: Arc<Config>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    pub fn current(&self) -> Arc<Config> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
