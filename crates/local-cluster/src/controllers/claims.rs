//! PersistentVolumeClaims: bound at once, each to a volume of its own on this machine.

use serde_json::{Value, json};

use super::Controllers;
use crate::deletion::{self, DeleteOptions};
use crate::storage::{Key, Resource};

pub fn reconcile(controllers: &mut Controllers, key: &Key, claim: &Value) {
    if claim["status"]["phase"] == "Bound" || claim["metadata"]["deletionTimestamp"].is_string() {
        return;
    }
    let uid = claim["metadata"]["uid"].as_str().unwrap_or_default();
    let volume = match claim["spec"]["volumeName"].as_str().filter(|it| !it.is_empty()) {
        Some(named) => named.to_owned(),
        None => format!("pvc-{uid}"),
    };
    let size = claim["spec"]["resources"]["requests"]["storage"].clone();
    let class = claim["spec"]["storageClassName"].as_str().unwrap_or("local").to_owned();
    let object = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume,
            "annotations": {"pv.kubernetes.io/provisioned-by": "local-cluster"}},
        "spec": {"capacity": {"storage": size}, "accessModes": claim["spec"]["accessModes"],
            "persistentVolumeReclaimPolicy": "Delete", "storageClassName": class, "volumeMode": "Filesystem",
            "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": key.namespace,
                "name": key.name, "uid": uid}},
        "status": {"phase": "Bound"}});
    // A volume that is named may be there already.
    let _ = controllers.storage.create(Key::new(Resource::core("persistentvolumes"), "", &volume), object);
    let _ = controllers.storage.update::<()>(key, |claim| {
        claim["spec"]["volumeName"] = json!(volume);
        if claim["spec"]["storageClassName"].is_null() {
            claim["spec"]["storageClassName"] = json!(class);
        }
        claim["status"] = json!({"phase": "Bound", "accessModes": claim["spec"]["accessModes"],
            "capacity": {"storage": size}});
        Ok(())
    });
}

/// A volume that was made for a claim goes with it.
pub fn release(controllers: &Controllers, claim: &Value) {
    let uid = claim["metadata"]["uid"].as_str().unwrap_or_default();
    let key = Key::new(Resource::core("persistentvolumes"), "", &format!("pvc-{uid}"));
    deletion::delete(&controllers.storage, &key, &DeleteOptions::default());
}
