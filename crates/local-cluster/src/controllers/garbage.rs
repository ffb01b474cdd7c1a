//! The garbage collector: what has lost its owners goes, and what waits for its dependents (foreground, orphan) is
//! let go when they are.

use serde_json::Value;

use super::Controllers;
use crate::deletion::{self, DeleteOptions, Propagation};
use crate::storage::Key;

/// Looks at one object; true when it is going and no controller needs to look at it.
pub fn collect(controllers: &mut Controllers, key: &Key, object: &Value) -> bool {
    let metadata = &object["metadata"];
    let has =
        |finalizer: &str| metadata["finalizers"].as_array().is_some_and(|all| all.iter().any(|it| it == finalizer));
    if metadata["deletionTimestamp"].is_string() {
        if has("orphan") {
            orphan_dependents(controllers, key, object);
        } else if has("foregroundDeletion") {
            wait_for_dependents(controllers, key, object);
        }
        return false;
    }
    let references = metadata["ownerReferences"].as_array().map(Vec::as_slice).unwrap_or_default();
    if references.is_empty() {
        return false;
    }
    let (present, absent): (Vec<&Value>, Vec<&Value>) =
        references.iter().partition(|reference| owner_exists(controllers, key, reference));
    if absent.is_empty() {
        return false;
    }
    let uid = metadata["uid"].as_str().map(str::to_owned);
    if present.is_empty() {
        deletion::delete(&controllers.storage, key, &DeleteOptions { uid, ..DeleteOptions::default() });
        return true;
    }
    let kept: Vec<Value> = present.into_iter().cloned().collect();
    drop_references(controllers, key, &kept);
    false
}

/// The owner is the object of that uid, kind and name, in the same namespace or in none.
fn owner_exists(controllers: &Controllers, key: &Key, reference: &Value) -> bool {
    let owner = reference["uid"].as_str().and_then(|uid| controllers.index.key_of(uid));
    owner.is_some_and(|owner| {
        (owner.namespace.is_empty() || owner.namespace == key.namespace) && reference["name"] == *owner.name
    })
}

fn drop_references(controllers: &Controllers, key: &Key, kept: &[Value]) {
    // The object may be gone by now, which is as well.
    let _ = controllers.storage.update::<()>(key, |object| {
        if kept.is_empty() {
            if let Some(fields) = object["metadata"].as_object_mut() {
                fields.remove("ownerReferences");
            }
        } else {
            object["metadata"]["ownerReferences"] = Value::Array(kept.to_vec());
        }
        Ok(())
    });
}

fn orphan_dependents(controllers: &Controllers, key: &Key, owner: &Value) {
    let uid = owner["metadata"]["uid"].as_str().unwrap_or_default();
    for dependent in controllers.index.dependents(uid) {
        if let Some(object) = controllers.storage.get(&dependent) {
            let references = object["metadata"]["ownerReferences"].as_array();
            let kept: Vec<Value> = references.into_iter().flatten().filter(|it| it["uid"] != uid).cloned().collect();
            drop_references(controllers, &dependent, &kept);
        }
    }
    remove_finalizer(controllers, key, "orphan");
}

fn wait_for_dependents(controllers: &Controllers, key: &Key, owner: &Value) {
    let uid = owner["metadata"]["uid"].as_str().unwrap_or_default();
    let mut blocked = false;
    for dependent in controllers.index.dependents(uid) {
        let Some(object) = controllers.storage.get(&dependent) else { continue };
        let references = object["metadata"]["ownerReferences"].as_array();
        let others = references.into_iter().flatten().filter(|it| it["uid"] != uid).count();
        if others > 0 {
            continue;
        }
        if !object["metadata"]["deletionTimestamp"].is_string() {
            let own = object["metadata"]["uid"].as_str().unwrap_or_default();
            let has_dependents = !controllers.index.dependents(own).is_empty();
            let propagation = if has_dependents { Propagation::Foreground } else { Propagation::Background };
            deletion::delete(&controllers.storage, &dependent, &DeleteOptions { propagation, ..Default::default() });
        }
        if let Some(left) = controllers.storage.get(&dependent) {
            let mut references = left["metadata"]["ownerReferences"].as_array().into_iter().flatten();
            blocked |= references.any(|it| it["uid"] == uid && it["blockOwnerDeletion"] == true);
        }
    }
    if !blocked {
        remove_finalizer(controllers, key, "foregroundDeletion");
    }
}

fn remove_finalizer(controllers: &Controllers, key: &Key, finalizer: &str) {
    let changed = controllers.storage.update::<()>(key, |object| {
        if let Some(all) = object["metadata"]["finalizers"].as_array_mut() {
            all.retain(|it| it != finalizer);
        }
        if object["metadata"]["finalizers"].as_array().is_some_and(Vec::is_empty)
            && let Some(fields) = object["metadata"].as_object_mut()
        {
            fields.remove("finalizers");
        }
        Ok(())
    });
    if let Ok(object) = changed {
        deletion::finish_if_done(&controllers.storage, key, &object);
    }
}
