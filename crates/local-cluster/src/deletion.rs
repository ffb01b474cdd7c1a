//! Deleting as Kubernetes does it: preconditions, grace for running pods, finalizers, propagation.
//!
//! Deletion by controllers and by clients is the same here. What depends on a deleted object is the garbage
//! collector's.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::storage::{Key, Storage, StorageError, now};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Propagation {
    #[default]
    Background,
    Foreground,
    Orphan,
}

#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    pub propagation: Propagation,
    pub grace_seconds: Option<u64>,
    /// Preconditions.
    pub uid: Option<String>,
    pub resource_version: Option<String>,
}

#[derive(Clone, Debug)]
pub enum Outcome {
    NotFound,
    /// A precondition does not hold; says which.
    Precondition(String),
    Removed(Arc<Value>),
    /// It has a deletionTimestamp and goes once its finalizers or its processes have gone.
    Marked(Arc<Value>),
}

pub fn delete(storage: &Storage, key: &Key, options: &DeleteOptions) -> Outcome {
    let marked = storage.update(key, |object| {
        check(object, options)?;
        mark(key, object, options);
        Ok(())
    });
    match marked {
        Ok(object) => match finish_if_done(storage, key, &object) {
            Some(removed) => Outcome::Removed(removed),
            None => Outcome::Marked(object),
        },
        // Nothing holds the object: it goes without having been marked.
        Err(StorageError::Refused(Refusal::RemoveNow)) => match storage.remove(key) {
            Some(object) => Outcome::Removed(object),
            None => Outcome::NotFound,
        },
        Err(StorageError::Refused(Refusal::Precondition(why))) => Outcome::Precondition(why),
        Err(StorageError::NotFound | StorageError::Exists) => Outcome::NotFound,
    }
}

#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("nothing holds the object")]
    RemoveNow,
    #[error("{0}")]
    Precondition(String),
}

fn check(object: &Value, options: &DeleteOptions) -> Result<(), Refusal> {
    let metadata = &object["metadata"];
    if let Some(wanted) = &options.uid
        && metadata["uid"] != *wanted
    {
        let found = metadata["uid"].as_str().unwrap_or_default();
        let why = format!("Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}");
        return Err(Refusal::Precondition(why));
    }
    if let Some(wanted) = &options.resource_version
        && metadata["resourceVersion"] != *wanted
    {
        let found = metadata["resourceVersion"].as_str().unwrap_or_default();
        let why = format!(
            "Precondition failed: ResourceVersion in precondition: {wanted}, ResourceVersion in object meta: {found}"
        );
        return Err(Refusal::Precondition(why));
    }
    let finalizers = metadata["finalizers"].as_array().is_some_and(|it| !it.is_empty());
    let namespace = object["kind"] == "Namespace";
    if !finalizers && !namespace && options.propagation == Propagation::Background && grace(object, options) == 0 {
        return Err(Refusal::RemoveNow);
    }
    Ok(())
}

/// How long an object may take to go: only a pod that a node runs has such a time.
fn grace(object: &Value, options: &DeleteOptions) -> u64 {
    let running = object["kind"] == "Pod"
        && object["spec"]["nodeName"].as_str().is_some_and(|it| !it.is_empty())
        && !matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    if !running {
        return 0;
    }
    options.grace_seconds.or_else(|| object["spec"]["terminationGracePeriodSeconds"].as_u64()).unwrap_or(30)
}

fn mark(key: &Key, object: &mut Value, options: &DeleteOptions) {
    let mut grace = grace(object, options);
    let metadata = &mut object["metadata"];
    if metadata["deletionTimestamp"].is_string() {
        // A second delete may only shorten the grace.
        grace = grace.min(metadata["deletionGracePeriodSeconds"].as_u64().unwrap_or(0));
        if metadata["deletionGracePeriodSeconds"] == json!(grace) {
            return;
        }
    }
    metadata["deletionTimestamp"] = json!(after_seconds(grace));
    metadata["deletionGracePeriodSeconds"] = json!(grace);
    let added = match options.propagation {
        Propagation::Background => None,
        Propagation::Foreground => Some("foregroundDeletion"),
        Propagation::Orphan => Some("orphan"),
    };
    if let Some(added) = added {
        if !metadata["finalizers"].is_array() {
            metadata["finalizers"] = json!([]);
        }
        if let Some(finalizers) = metadata["finalizers"].as_array_mut()
            && !finalizers.iter().any(|it| it == added)
        {
            finalizers.push(json!(added));
        }
    }
    if object["kind"] == "Pod" && object["metadata"]["generation"].is_u64() {
        let generation = object["metadata"]["generation"].as_u64().unwrap_or(1);
        object["metadata"]["generation"] = json!(generation + 1);
    }
    if key.resource.plural == "namespaces" {
        object["status"]["phase"] = json!("Terminating");
    }
}

fn after_seconds(seconds: u64) -> String {
    if seconds == 0 {
        return now();
    }
    let span = jiff::SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX / 2));
    let time = jiff::Timestamp::now();
    time.checked_add(span).unwrap_or(time).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Removes an object that is marked and that nothing holds any more.
pub fn finish_if_done(storage: &Storage, key: &Key, object: &Value) -> Option<Arc<Value>> {
    let metadata = &object["metadata"];
    let held = metadata["finalizers"].as_array().is_some_and(|it| !it.is_empty())
        || object["kind"] == "Namespace" && object["spec"]["finalizers"].as_array().is_some_and(|it| !it.is_empty())
        || metadata["deletionGracePeriodSeconds"].as_u64().is_some_and(|it| it > 0);
    if !metadata["deletionTimestamp"].is_string() || held {
        return None;
    }
    storage.remove(key)
}

/// Removes a pod whose containers have ended; one with finalizers stays until they have gone.
pub fn finish_pod(storage: &Storage, key: &Key, uid: &str) {
    let ended = storage.update(key, |pod| {
        if pod["metadata"]["uid"] != uid {
            return Err(());
        }
        pod["metadata"]["deletionGracePeriodSeconds"] = json!(0);
        Ok(())
    });
    if let Ok(pod) = ended {
        finish_if_done(storage, key, &pod);
    }
}
