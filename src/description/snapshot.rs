//! A description as it was at one moment, in memory: what starts are made from, whatever happens on the disk.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::select::{self, DescriptionFile, Entry, SelectError, Stamp};
use super::{DescriptionError, input};
use crate::config::Services;
use crate::domain::{Credential, ServiceName};

/// Larger ones, with the files of all stages and credentials, are read from the disk at each start.
const MOST_BYTES: u64 = 32 * 1024 * 1024;
/// More credentials than share a folder; beyond these the input is packed at each start.
const MOST_PACKED: usize = 64;

pub struct Snapshot {
    entries: Vec<Entry>,
    /// The packed input by credential; all else that it depends on stays the same while this lives.
    packed: Mutex<BTreeMap<String, String>>,
}

impl Snapshot {
    pub fn new(entries: Vec<Entry>) -> Self {
        Self { entries, packed: Mutex::default() }
    }

    /// Reads a description for all stages and credentials.
    pub fn read(
        services: &Services,
        folder: &str,
        service: &ServiceName,
    ) -> Result<(Vec<Entry>, Vec<Stamp>), SelectError> {
        select::read(services, folder, service, &[], MOST_BYTES)
    }

    /// Whether service.yaml is a Handlebars template.
    pub fn is_template(&self, config: &crate::config::Config) -> bool {
        let name = format!("{}.hbs", config.services.yaml_filename.as_str());
        self.entries.iter().any(|it| it.name == name)
    }

    pub fn is_same(&self, other: &Snapshot) -> bool {
        std::ptr::eq(self, other) || self.entries == other.entries
    }

    pub fn holds(&self, entries: &[Entry]) -> bool {
        self.entries == entries
    }

    pub fn bytes(&self) -> u64 {
        select::bytes_of(&self.entries)
    }

    /// The files that count, and the packed input.
    pub(super) fn select(
        &self,
        services: &Services,
        stage: Option<&str>,
        credential: &Credential,
    ) -> Result<(Vec<DescriptionFile>, String), DescriptionError> {
        let selection = select::select_from(&self.entries, services, stage, credential)?;
        let known = self.packed.lock().unwrap_or_else(PoisonError::into_inner).get(credential.as_str()).cloned();
        let packed = match known {
            Some(packed) => packed,
            None => {
                let packed = input::pack(selection.input, stage, credential.as_str())?;
                let mut known = self.packed.lock().unwrap_or_else(PoisonError::into_inner);
                if known.len() < MOST_PACKED {
                    known.insert(credential.to_string(), packed.clone());
                }
                packed
            }
        };
        Ok((selection.files, packed))
    }
}
