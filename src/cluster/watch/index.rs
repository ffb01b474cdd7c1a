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
    name: String,
    value: T,
}

/// An object that a list did not name though it was there before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    pub uid: String,
    pub name: String,
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

    pub fn is_synced(&self, watched: &Watched) -> bool {
        self.synced.contains(watched)
    }

    pub fn get(&self, uid: &str) -> Option<&T> {
        self.services.get(self.places.get(uid)?)?.get(uid).map(|entry| &entry.value)
    }

    pub fn put(&mut self, watched: &Watched, uid: &str, name: &str, service: &str, value: T) {
        if self.places.get(uid).is_some_and(|it| it != service) {
            self.remove(uid);
        }
        self.places.insert(uid.to_owned(), service.to_owned());
        let entry = Entry { watched: watched.clone(), name: name.to_owned(), value };
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

    /// A watch has listed everything: what it did not name is gone. Where more than `shrunken_percent` of what was there
    /// is missing, the list is not believed: nothing is taken away, and what is missing is given back to be confirmed.
    pub fn finish_list(&mut self, watched: &Watched, seen: &HashSet<String>, shrunken_percent: u8) -> Vec<Missing> {
        let known = self.services.values().flatten().filter(|(_, entry)| entry.watched == *watched);
        let known: Vec<_> = known.map(|(uid, entry)| Missing { uid: uid.clone(), name: entry.name.clone() }).collect();
        let count = known.len();
        let missing: Vec<_> = known.into_iter().filter(|it| !seen.contains(&it.uid)).collect();
        self.synced.insert(watched.clone());
        if missing.len() * 100 > count * usize::from(shrunken_percent) {
            return missing;
        }
        missing.iter().for_each(|it| self.remove(&it.uid));
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(count: usize) -> Index<usize> {
        let mut index = Index::default();
        for number in 0..count {
            index.put(&Watched::pods("n"), &format!("u{number}"), &format!("p{number}"), &format!("s{number}"), number);
        }
        index
    }

    fn first(count: usize) -> HashSet<String> {
        (0..count).map(|number| format!("u{number}")).collect()
    }

    #[test]
    fn a_list_that_lacks_a_few_is_believed() {
        let mut index = index(10);
        assert_eq!(index.finish_list(&Watched::pods("n"), &first(8), 20), []);
        assert!(index.of_service("s7") == [7] && index.of_service("s8").is_empty());
    }

    #[test]
    fn a_list_that_lacks_many_takes_nothing_away() {
        let mut index = index(10);
        let missing = index.finish_list(&Watched::pods("n"), &first(7), 20);
        assert_eq!(missing.len(), 3);
        assert_eq!(index.of_service("s9"), [9]);
        // Another namespace's list says nothing about these.
        assert_eq!(index.finish_list(&Watched::pods("other"), &HashSet::new(), 20), []);
        assert_eq!(index.of_service("s9"), [9]);
    }
}
