//! The API server: one module a concern, all over the storage.

pub mod create;
pub mod delete;
pub mod discovery;
pub mod error;
pub mod logs;
pub mod openapi;
pub mod read;
pub mod request;
pub mod response;
pub mod review;
pub mod router;
pub mod subresources;
pub mod table;
mod table_cells;
pub mod watch;
pub mod write;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::addresses::Addresses;
use crate::auth::{Auth, User};
use crate::faults::Faults;
use crate::kinds::Registry;
use crate::kubelet::Kubelet;
use crate::storage::Storage;

/// What all requests share.
pub struct Api {
    pub storage: Storage,
    pub registry: Registry,
    pub faults: Faults,
    pub calls: Calls,
    pub auth: Auth,
    pub addresses: Arc<Addresses>,
    pub kubelet: OnceLock<Arc<dyn Kubelet>>,
    /// Pods get `serviceAccountName: default`, as the ServiceAccount admission gives it.
    pub service_account_admission: bool,
}

/// How often each verb was called on each resource, and what ServiceAccounts have called.
#[derive(Default)]
pub struct Calls {
    counts: Mutex<HashMap<(String, String), u64>>,
    /// User, verb, API group, resource.
    by_user: Mutex<BTreeSet<(String, String, String, String)>>,
}

impl Calls {
    pub fn count(&self, verb: &str, resource: &str) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((verb.to_owned(), resource.to_owned())).or_default() += 1;
    }

    /// Who may everything has no Role that could be compared with this.
    pub fn note(&self, user: &User, verb: &str, group: &str, resource: &str) {
        if !user.is_admin() {
            let call = (user.name.clone(), verb.to_owned(), group.to_owned(), resource.to_owned());
            self.by_user.lock().unwrap_or_else(PoisonError::into_inner).insert(call);
        }
    }

    /// `(verb, API group, resource)` in order.
    pub fn of(&self, user: &str) -> Vec<(String, String, String)> {
        let calls = self.by_user.lock().unwrap_or_else(PoisonError::into_inner);
        let of_user = calls.iter().filter(|(name, ..)| name == user);
        of_user.map(|(_, verb, group, resource)| (verb.clone(), group.clone(), resource.clone())).collect()
    }

    /// `(verb, resource, count)` in order; a subresource is `pods/log`.
    pub fn all(&self) -> Vec<(String, String, u64)> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = counts.iter().map(|((verb, res), count)| (verb.clone(), res.clone(), *count)).collect();
        all.sort();
        all
    }
}
