//! Pods as their controllers see and make them.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Controllers, controller_uid};
use crate::deletion::{self, DeleteOptions, Outcome};
use crate::events::{self, EventText, Source};
use crate::storage::{Key, Resource};
use crate::{defaults, names};

/// The pods that an object controls.
pub fn controlled_by(controllers: &Controllers, uid: &str) -> Vec<Arc<Value>> {
    controllers
        .index
        .dependents(uid)
        .into_iter()
        .filter(|key| key.resource.plural == "pods" && key.resource.group.is_empty())
        .filter_map(|key| controllers.storage.get(&key))
        .filter(|pod| controller_uid(pod) == Some(uid))
        .collect()
}

pub fn is_terminal(pod: &Value) -> bool {
    matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

pub fn is_going(pod: &Value) -> bool {
    pod["metadata"]["deletionTimestamp"].is_string()
}

pub fn is_ready(pod: &Value) -> bool {
    let mut conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.any(|it| it["type"] == "Ready" && it["status"] == "True")
}

/// An ownerReference that controls.
pub fn controller_reference(owner: &Value) -> Value {
    json!({
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true,
    })
}

/// Makes a pod from a template; `name`: its fixed name, else one from the owner's.
pub fn create(
    controllers: &Controllers,
    component: &str,
    owner: &Value,
    template: &Value,
    name: Option<&str>,
    edit: impl FnOnce(&mut Value),
) -> Option<Arc<Value>> {
    let namespace = owner["metadata"]["namespace"].as_str().unwrap_or_default();
    let owner_name = owner["metadata"]["name"].as_str().unwrap_or_default();
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": namespace, "generation": 1,
        "ownerReferences": [controller_reference(owner)]}, "spec": template["spec"]});
    for field in ["labels", "annotations", "finalizers"] {
        if let Some(value) = template["metadata"].get(field).filter(|it| !it.is_null()) {
            pod["metadata"][field] = value.clone();
        }
    }
    let generate_name = format!("{}-", owner_name.get(..58).unwrap_or(owner_name));
    let name = match name {
        Some(name) => name.to_owned(),
        None => {
            pod["metadata"]["generateName"] = json!(generate_name);
            names::generate(&generate_name)
        }
    };
    pod["metadata"]["name"] = json!(name);
    edit(&mut pod);
    defaults::pod_spec(&mut pod["spec"]);
    defaults::admit_pod(&mut pod, controllers.service_account_admission);
    let created = controllers.storage.create(Key::new(Resource::core("pods"), namespace, &name), pod).ok()?;
    let text = format!("Created pod: {name}");
    let source = Source { component, host: "" };
    events::emit(&controllers.storage, source, owner, &EventText::normal("SuccessfulCreate", &text));
    Some(created)
}

/// Deletes a pod and says so on its owner.
pub fn delete(controllers: &Controllers, component: &str, owner: &Value, pod: &Value) {
    let (namespace, name) = (&pod["metadata"]["namespace"], &pod["metadata"]["name"]);
    let name = name.as_str().unwrap_or_default();
    let key = Key::new(Resource::core("pods"), namespace.as_str().unwrap_or_default(), name);
    let uid = pod["metadata"]["uid"].as_str().map(str::to_owned);
    let done = deletion::delete(&controllers.storage, &key, &DeleteOptions { uid, ..DeleteOptions::default() });
    if matches!(done, Outcome::Removed(_) | Outcome::Marked(_)) {
        let text = format!("Deleted pod: {name}");
        let source = Source { component, host: "" };
        events::emit(&controllers.storage, source, owner, &EventText::normal("SuccessfulDelete", &text));
    }
}
