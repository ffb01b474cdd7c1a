//! `k8smgr render`: what a start would make, as YAML for people and kubectl, and how that differs from what runs.
//!
//! Values of Secrets never leave this room unmasked.

pub mod compare;
pub mod mask;
pub mod running;
pub mod yaml_text;

use serde_json::{Value, json};

use crate::check::kubernetes_names::is_cluster_scoped;
use crate::services::Site;
use crate::services::plan::Planned;

/// The order in which a start makes them.
pub fn in_order(mut objects: Vec<Planned>) -> Vec<Planned> {
    let waves: Vec<u8> = objects.iter().enumerate().map(|(index, it)| it.wave(index)).collect();
    let mut indexed: Vec<(u8, Planned)> = waves.into_iter().zip(objects.drain(..)).collect();
    indexed.sort_by_key(|(wave, _)| *wave);
    indexed.into_iter().map(|(_, it)| it).collect()
}

/// An object as kubectl takes it: with its namespace, its Secrets masked.
pub fn printable(planned: &Planned, site: &Site) -> Value {
    let mut object = planned.manifest.object.clone();
    let target = &planned.target;
    if target.namespace.is_none() && !is_cluster_scoped(&target.api_version, &target.kind) {
        object["metadata"]["namespace"] = json!(site.namespace);
    }
    mask::mask(&mut object);
    object
}

/// Documents one after the other.
pub fn to_yaml<'a>(objects: impl IntoIterator<Item = &'a Value>) -> String {
    objects.into_iter().map(yaml_text::document).collect::<Vec<_>>().join("---\n")
}
