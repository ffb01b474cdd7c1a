//! Who waits for something to change: told at once, after it was written down, and never kept from it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// Listeners by what they wait for. While there are none this costs one comparison.
pub struct Changes<K> {
    count: AtomicUsize,
    listeners: Mutex<HashMap<K, watch::Sender<()>>>,
}

impl<K> Default for Changes<K> {
    fn default() -> Self {
        Self { count: AtomicUsize::new(0), listeners: Mutex::default() }
    }
}

impl<K: Eq + Hash> Changes<K> {
    fn listeners(&self) -> MutexGuard<'_, HashMap<K, watch::Sender<()>>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on every change is told, several at once as one.
    pub fn listen(&self, key: K) -> watch::Receiver<()> {
        let mut listeners = self.listeners();
        listeners.retain(|_, it| it.receiver_count() > 0);
        let receiver = listeners.entry(key).or_insert_with(|| watch::Sender::new(())).subscribe();
        self.count.store(listeners.len(), Ordering::Release);
        receiver
    }

    pub fn tell<Q>(&self, key: &Q)
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        if self.count.load(Ordering::Acquire) > 0
            && let Some(sender) = self.listeners().get(key)
        {
            sender.send_replace(());
        }
    }

    pub fn tell_all(&self) {
        if self.count.load(Ordering::Acquire) > 0 {
            for listener in self.listeners().values() {
                listener.send_replace(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_listens_hears_of_its_own_and_of_all() {
        let changes = Changes::<String>::default();
        changes.tell("a");
        let (mut first, mut second) = (changes.listen("a".to_owned()), changes.listen("b".to_owned()));
        changes.tell("a");
        assert!(first.has_changed().unwrap() && !second.has_changed().unwrap());
        first.changed().await.unwrap();
        changes.tell_all();
        first.changed().await.unwrap();
        second.changed().await.unwrap();
        drop((first, second));
        let _third = changes.listen("c".to_owned());
        assert_eq!(changes.listeners().len(), 1, "those that nobody listens to are forgotten");
    }
}
