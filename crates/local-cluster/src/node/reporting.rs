//! Events as a kubelet tells them: about a pod or one of its containers, repeated ones counted instead of repeated.

use serde_json::{Value, json};

use super::records::Role;
use crate::events::{EventText, Source, emit};
use crate::storage::{Key, Resource, Storage, now};

/// The field of the pod that an event is about: `spec.containers{main}`.
pub fn field_path(role: Role, container: &str) -> String {
    let list = if role == Role::Main { "containers" } else { "initContainers" };
    format!("spec.{list}{{{container}}}")
}

pub fn report(storage: &Storage, node: &str, pod: &Value, text: &EventText<'_>) {
    if !count_up(storage, pod, text) {
        emit(storage, Source { component: "kubelet", host: node }, pod, text);
    }
}

/// Counts an event that was told before, word for word.
fn count_up(storage: &Storage, pod: &Value, text: &EventText<'_>) -> bool {
    let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
    let (_, events) = storage.list(&Resource::core("events"), Some(namespace));
    let told = events.iter().rev().find(|it| {
        let about = &it["involvedObject"];
        about["uid"] == pod["metadata"]["uid"]
            && it["reason"] == text.reason
            && it["message"] == text.message
            && about["fieldPath"].as_str() == text.field_path
            && it["source"]["component"] == "kubelet"
    });
    let Some(name) = told.and_then(|it| it["metadata"]["name"].as_str()) else { return false };
    let count = |event: &mut Value| -> Result<(), std::convert::Infallible> {
        event["count"] = json!(event["count"].as_u64().unwrap_or(1) + 1);
        event["lastTimestamp"] = json!(now());
        Ok(())
    };
    storage.update(&Key::new(Resource::core("events"), namespace, name), count).is_ok()
}
