//! Writing what controllers and nodes tell about an object: Event objects and pod status.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::storage::{Key, Resource, Storage, now};

/// Who reports: `deployment-controller`, `default-scheduler`, `kubelet`.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    pub component: &'a str,
    pub host: &'a str,
}

/// An Event less the object it is about.
#[derive(Clone, Debug)]
pub struct EventText<'a> {
    /// `Normal` or `Warning`.
    pub kind: &'a str,
    pub reason: &'a str,
    pub message: &'a str,
    /// As kubelet events name it: `spec.containers{main}`.
    pub field_path: Option<&'a str>,
}

impl<'a> EventText<'a> {
    pub fn normal(reason: &'a str, message: &'a str) -> Self {
        Self { kind: "Normal", reason, message, field_path: None }
    }

    pub fn warning(reason: &'a str, message: &'a str) -> Self {
        Self { kind: "Warning", reason, message, field_path: None }
    }
}

/// Stores an Event about an object, in the object's namespace (`default` for cluster-scoped ones). Event names count
/// up, so that a list in the order of names is in the order of time.
pub fn emit(storage: &Storage, source: Source<'_>, object: &Value, text: &EventText<'_>) {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let micros = u64::try_from(jiff::Timestamp::now().as_microsecond()).unwrap_or_default();
    let before = LAST.fetch_max(micros, Ordering::Relaxed);
    let stamp = if before >= micros { LAST.fetch_add(1, Ordering::Relaxed) + 1 } else { micros };
    let metadata = &object["metadata"];
    let name = metadata["name"].as_str().unwrap_or_default();
    let namespace = metadata["namespace"].as_str().unwrap_or("default");
    let event_name = format!("{}.{:016x}", name.get(..230).unwrap_or(name), stamp);
    let time = now();
    let mut involved = json!({
        "kind": object["kind"], "apiVersion": object["apiVersion"], "name": name,
        "uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"],
    });
    if let Some(namespace) = metadata["namespace"].as_str() {
        involved["namespace"] = json!(namespace);
    }
    if let Some(path) = text.field_path {
        involved["fieldPath"] = json!(path);
    }
    let mut origin = json!({"component": source.component});
    if !source.host.is_empty() {
        origin["host"] = json!(source.host);
    }
    let event = json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": {"name": event_name, "namespace": namespace},
        "involvedObject": involved, "type": text.kind, "reason": text.reason, "message": text.message,
        "source": origin, "firstTimestamp": time, "lastTimestamp": time, "count": 1, "eventTime": null,
        "reportingComponent": source.component, "reportingInstance": source.host,
    });
    // A name that is taken would need two events in one microsecond; losing one then harms nobody.
    let _ = storage.create(Key::new(Resource::core("events"), namespace, &event_name), event);
}

/// Changes a pod's `status` in place; a pod that is gone, or is another by now (`uid`), is left alone.
/// Answers whether the pod was there.
pub fn set_pod_status(
    storage: &Storage,
    namespace: &str,
    name: &str,
    uid: &str,
    edit: impl FnOnce(&mut Value),
) -> bool {
    let key = Key::new(Resource::core("pods"), namespace, name);
    storage
        .update(&key, |pod| {
            if pod["metadata"]["uid"].as_str() != Some(uid) {
                return Err(());
            }
            edit(&mut pod["status"]);
            Ok(())
        })
        .is_ok()
}

/// Sets one condition by its type; its transition time changes with its status only.
pub fn set_condition(status: &mut Value, kind: &str, value: bool, reason: Option<&str>, message: Option<&str>) {
    let value = if value { "True" } else { "False" };
    if !status["conditions"].is_array() {
        status["conditions"] = json!([]);
    }
    let Some(conditions) = status["conditions"].as_array_mut() else { return };
    let mut condition = json!({"lastProbeTime": null, "lastTransitionTime": now(), "status": value, "type": kind});
    if let Some(reason) = reason {
        condition["reason"] = json!(reason);
    }
    if let Some(message) = message {
        condition["message"] = json!(message);
    }
    match conditions.iter_mut().find(|it| it["type"] == kind) {
        Some(existing) => {
            if existing["status"] == condition["status"] {
                condition["lastTransitionTime"] = existing["lastTransitionTime"].clone();
            }
            *existing = condition;
        }
        None => conditions.push(condition),
    }
}
