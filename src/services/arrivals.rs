//! Starts that are not written down yet: a DELETE that comes meanwhile must not miss them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Name;

/// Names with starts that wait for their turn or are being planned.
#[derive(Default)]
pub struct Arrivals {
    names: Mutex<HashMap<Name, Waiting>>,
}

#[derive(Default)]
struct Waiting {
    starts: usize,
    stops: u64,
}

/// One start on its way in.
pub struct Arrival<'a> {
    arrivals: &'a Arrivals,
    name: Name,
    stops: u64,
}

impl Arrivals {
    fn names(&self) -> MutexGuard<'_, HashMap<Name, Waiting>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn arrive(&self, name: Name) -> Arrival<'_> {
        let mut names = self.names();
        let waiting = names.entry(name.clone()).or_default();
        waiting.starts += 1;
        let stops = waiting.stops;
        drop(names);
        Arrival { arrivals: self, name, stops }
    }

    /// Whether starts of a name are on their way.
    pub fn holds(&self, name: &Name) -> bool {
        self.names().contains_key(name)
    }

    /// Tells the starts of a name that a stop came. False: none is on its way.
    pub fn stop(&self, name: &Name) -> bool {
        match self.names().get_mut(name) {
            Some(waiting) => {
                waiting.stops += 1;
                true
            }
            None => false,
        }
    }
}

impl Arrival<'_> {
    pub fn was_stopped(&self) -> bool {
        self.arrivals.names().get(&self.name).is_some_and(|waiting| waiting.stops != self.stops)
    }
}

impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        let mut names = self.arrivals.names();
        if let Some(waiting) = names.get_mut(&self.name) {
            waiting.starts -= 1;
            if waiting.starts == 0 {
                names.remove(&self.name);
            }
        }
    }
}
