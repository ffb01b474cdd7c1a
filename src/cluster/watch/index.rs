//! Objects by service, with what a watch needs to keep them right.

use std::collections::{HashMap, HashSet};

use super::Watched;

/// What watches have told, filed under the label value of the service.
pub struct Index<T> {
    services: HashMap<String, HashMap<String, Entry<T>>>,
    /// Which service an object was filed under.
    places: HashMap<String, String>,
    synced: HashSet<Watched>,
}

struct Entry<T> {
    watched: Watched,
    value: T,
}

impl<T> Default for Index<T> {
    fn default() -> Self {
        Self { services: HashMap::new(), places: HashMap::new(), synced: HashSet::new() }
    }
}

impl<T: Clone> Index<T> {
    pub fn of_service(&self, service: &str) -> Vec<T> {
        self.services.get(service).into_iter().flatten().map(|(_, entry)| entry.value.clone()).collect()
    }

    pub fn any_of_service(&self, service: &str, is_it: impl Fn(&T) -> bool) -> bool {
        self.services.get(service).is_some_and(|objects| objects.values().any(|entry| is_it(&entry.value)))
    }

    pub fn is_synced(&self, watched: &Watched) -> bool {
        self.synced.contains(watched)
    }

    pub fn get(&self, uid: &str) -> Option<&T> {
        self.services.get(self.places.get(uid)?)?.get(uid).map(|entry| &entry.value)
    }

    pub fn put(&mut self, watched: &Watched, uid: &str, service: &str, value: T) {
        if self.places.get(uid).is_some_and(|it| it != service) {
            self.remove(uid);
        }
        self.places.insert(uid.to_owned(), service.to_owned());
        let entry = Entry { watched: watched.clone(), value };
        self.services.entry(service.to_owned()).or_default().insert(uid.to_owned(), entry);
    }

    pub fn remove(&mut self, uid: &str) {
        let Some(service) = self.places.remove(uid) else { return };
        if let Some(objects) = self.services.get_mut(&service) {
            objects.remove(uid);
            if objects.is_empty() {
                self.services.remove(&service);
            }
        }
    }

    /// A watch has listed everything: what it did not name is gone.
    pub fn finish_list(&mut self, watched: &Watched, seen: &HashSet<String>) {
        let gone: Vec<String> = self
            .services
            .values()
            .flatten()
            .filter(|(uid, entry)| entry.watched == *watched && !seen.contains(*uid))
            .map(|(uid, _)| uid.clone())
            .collect();
        gone.iter().for_each(|uid| self.remove(uid));
        self.synced.insert(watched.clone());
    }
}
