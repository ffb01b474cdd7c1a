//! Objects by service, with what a watch needs to keep them right.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use smallvec::SmallVec;

use super::Watched;
use crate::domain::mark::ServiceTag;

/// What watches have told, filed under the tag of the service.
pub struct Index<T> {
    /// Hardly any has more than one object: it is found where the service is.
    services: HashMap<ServiceTag, SmallVec<[Entry<T>; 1]>>,
    /// Which service an object was filed under, by its uid.
    places: HashMap<Arc<str>, ServiceTag>,
    /// What there are watches on: entries share it.
    watched: HashSet<Arc<Watched>>,
    synced: HashSet<Watched>,
}

struct Entry<T> {
    watched: Arc<Watched>,
    uid: Arc<str>,
    name: Box<str>,
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
        Self { services: HashMap::new(), places: HashMap::new(), watched: HashSet::new(), synced: HashSet::new() }
    }
}

impl<T: Clone> Index<T> {
    pub fn of_service(&self, service: ServiceTag) -> Vec<T> {
        self.services.get(&service).into_iter().flatten().map(|entry| entry.value.clone()).collect()
    }

    pub fn any_of_service(&self, service: ServiceTag, is_it: impl Fn(&T) -> bool) -> bool {
        self.services.get(&service).is_some_and(|objects| objects.iter().any(|entry| is_it(&entry.value)))
    }

    pub fn is_synced(&self, watched: &Watched) -> bool {
        self.synced.contains(watched)
    }

    pub fn get(&self, uid: &str) -> Option<&T> {
        let objects = self.services.get(self.places.get(uid)?)?;
        objects.iter().find(|entry| *entry.uid == *uid).map(|entry| &entry.value)
    }

    pub fn put(&mut self, watched: &Watched, uid: &str, name: &str, service: ServiceTag, value: T) {
        // Most of what a watch tells is another state of what is here.
        if let Some(entry) = self.entry(uid, service).filter(|it| *it.watched == *watched) {
            entry.value = value;
            return;
        }
        self.remove(uid);
        let watched = self.shared(watched);
        let uid: Arc<str> = uid.into();
        self.places.insert(uid.clone(), service);
        self.services.entry(service).or_default().push(Entry { watched, uid, name: name.into(), value });
    }

    fn entry(&mut self, uid: &str, service: ServiceTag) -> Option<&mut Entry<T>> {
        self.services.get_mut(&service)?.iter_mut().find(|entry| *entry.uid == *uid)
    }

    fn shared(&mut self, watched: &Watched) -> Arc<Watched> {
        if let Some(shared) = self.watched.get(watched) {
            return shared.clone();
        }
        let shared = Arc::new(watched.clone());
        self.watched.insert(shared.clone());
        shared
    }

    pub fn remove(&mut self, uid: &str) {
        let Some(service) = self.places.remove(uid) else { return };
        if let Some(objects) = self.services.get_mut(&service) {
            objects.retain(|entry| *entry.uid != *uid);
            if objects.is_empty() {
                self.services.remove(&service);
            }
        }
    }

    /// A watch has listed everything: what it did not name is gone. Where more than `shrunken_percent` of what was there
    /// is missing, the list is not believed: nothing is taken away, and what is missing is given back to be confirmed.
    pub fn finish_list(&mut self, watched: &Watched, seen: &HashSet<String>, shrunken_percent: u8) -> Vec<Missing> {
        let known = || self.services.values().flatten().filter(|entry| *entry.watched == *watched);
        let count = known().count();
        let missing = known().filter(|entry| !seen.contains(&*entry.uid));
        let missing: Vec<_> =
            missing.map(|entry| Missing { uid: entry.uid.to_string(), name: entry.name.to_string() }).collect();
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

    fn tag(number: usize) -> ServiceTag {
        ServiceTag::parse(&format!("{number:032x}")).unwrap()
    }

    fn index(count: usize) -> Index<usize> {
        let mut index = Index::default();
        for number in 0..count {
            index.put(&Watched::pods("n"), &format!("u{number}"), &format!("p{number}"), tag(number), number);
        }
        index
    }

    fn first(count: usize) -> HashSet<String> {
        (0..count).map(|number| format!("u{number}")).collect()
    }

    #[test]
    fn an_object_is_filed_once_under_the_service_that_it_was_last_told_of() {
        let mut index = index(2);
        let pods = Watched::pods("n");
        index.put(&pods, "u0", "p0", tag(0), 7);
        assert!(index.of_service(tag(0)) == [7] && index.get("u0") == Some(&7));
        index.put(&pods, "u0", "p0", tag(1), 8);
        assert!(index.of_service(tag(0)).is_empty() && index.of_service(tag(1)) == [1, 8]);
        index.put(&Watched::pods("other"), "u0", "p0", tag(1), 9);
        assert_eq!(index.of_service(tag(1)), [1, 9]);
        index.remove("u0");
        assert_eq!(index.of_service(tag(1)), [1]);
    }

    #[test]
    fn a_list_that_lacks_a_few_is_believed() {
        let mut index = index(10);
        assert_eq!(index.finish_list(&Watched::pods("n"), &first(8), 20), []);
        assert!(index.of_service(tag(7)) == [7] && index.of_service(tag(8)).is_empty());
    }

    #[test]
    fn a_list_that_lacks_many_takes_nothing_away() {
        let mut index = index(10);
        let missing = index.finish_list(&Watched::pods("n"), &first(7), 20);
        assert_eq!(missing.len(), 3);
        assert_eq!(index.of_service(tag(9)), [9]);
        // Another namespace's list says nothing about these.
        assert_eq!(index.finish_list(&Watched::pods("other"), &HashSet::new(), 20), []);
        assert_eq!(index.of_service(tag(9)), [9]);
    }
}
