//! One at a time: whoever works on a name waits for its turn.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::cluster::Deadline;

/// How many names may be remembered before those nobody waits for are dropped.
const ENOUGH: usize = 256;

pub struct Turns<K> {
    queues: Mutex<HashMap<K, Arc<AsyncMutex<()>>>>,
}

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Self { queues: Mutex::default() }
    }
}

impl<K: Eq + Hash + Clone> Turns<K> {
    /// Waits until nobody else works on `key`, but no longer than the deadline. The turn ends when the guard is dropped.
    pub async fn take(&self, key: &K, deadline: Deadline) -> Option<OwnedMutexGuard<()>> {
        let queue = {
            let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
            if queues.len() > ENOUGH {
                queues.retain(|_, queue| Arc::strong_count(queue) > 1);
            }
            queues.entry(key.clone()).or_default().clone()
        };
        deadline.bound(queue.lock_owned()).await
    }
}
