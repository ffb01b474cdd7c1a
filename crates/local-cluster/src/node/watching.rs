//! Follows the storage: pods that come to this node, are deleted or vanish, and the objects that pods wait for.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;

use super::Shared;
use super::pod::{PodWorker, Stop, StopKind};
use super::removal;
use super::volumes::release_claim;
use crate::storage::{Change, ChangeKind, Resource};

/// What a container has to end when its pod's object is gone already.
const GONE_GRACE: Duration = Duration::from_secs(1);

/// Removes the files of pods that went while this node was away.
pub async fn clean_up(shared: &Arc<Shared>) {
    let (_, pods) = shared.storage.list(&Resource::core("pods"), None);
    let known: HashSet<&str> = pods.iter().filter_map(|it| it["metadata"]["uid"].as_str()).collect();
    for folder in ["pods", "logs"] {
        let Ok(mut entries) = tokio::fs::read_dir(shared.config.data_dir.join(folder)).await else { continue };
        while let Ok(Some(entry)) = entries.next_entry().await {
            if entry.file_name().to_str().is_some_and(|it| known.contains(it)) {
                continue;
            }
            if let Err(error) = removal::remove(entry.path()).await {
                tracing::warn!(error = %error, "failed to remove the files of a pod that is gone");
            }
        }
    }
}

/// Runs until it is aborted.
pub async fn watch(shared: Arc<Shared>) {
    loop {
        let (revision, pods) = shared.storage.list(&Resource::core("pods"), None);
        let Ok((missed, mut changes)) = shared.storage.changes_since(revision) else { continue };
        take_list(&shared, &pods);
        missed.iter().for_each(|change| take(&shared, change));
        loop {
            match changes.recv().await {
                // The list and the subscription overlap.
                Ok(change) if change.revision <= revision => {}
                Ok(change) => take(&shared, &change),
                Err(RecvError::Lagged(_)) => break,
                Err(RecvError::Closed) => return,
            }
        }
    }
}

fn take_list(shared: &Arc<Shared>, pods: &[Arc<Value>]) {
    pods.iter().for_each(|pod| take_pod(shared, pod));
    let known: HashSet<&str> = pods.iter().filter_map(|it| it["metadata"]["uid"].as_str()).collect();
    for worker in shared.workers() {
        if !known.contains(worker.uid.as_str()) {
            worker.ask_to_stop(Stop { kind: StopKind::Gone, grace: GONE_GRACE });
        }
    }
    shared.sources.send_modify(|it| *it += 1);
}

fn take(shared: &Arc<Shared>, change: &Change) {
    match (change.key.resource.plural.as_str(), change.kind) {
        _ if !change.key.resource.group.is_empty() => {}
        ("pods", ChangeKind::Deleted) => {
            if let Some(worker) = change.object["metadata"]["uid"].as_str().and_then(|it| shared.worker(it)) {
                worker.ask_to_stop(Stop { kind: StopKind::Gone, grace: GONE_GRACE });
            }
        }
        ("pods", _) => take_pod(shared, &change.object),
        ("persistentvolumeclaims", ChangeKind::Deleted) => release(shared, &change.object),
        ("secrets" | "configmaps" | "persistentvolumeclaims", _) => shared.sources.send_modify(|it| *it += 1),
        _ => {}
    }
}

fn take_pod(shared: &Arc<Shared>, pod: &Arc<Value>) {
    if pod["spec"]["nodeName"].as_str() != Some(&shared.config.node_name) {
        return;
    }
    let metadata = &pod["metadata"];
    // A folder is named after it.
    let Some(uid) = metadata["uid"].as_str().filter(|it| !it.is_empty() && !it.contains(['/', '.'])) else { return };
    let worker = shared.worker(uid).unwrap_or_else(|| begin(shared, uid, pod));
    if !metadata["deletionTimestamp"].is_null() {
        let grace = metadata["deletionGracePeriodSeconds"].as_u64().map(Duration::from_secs);
        worker.ask_to_stop(Stop { kind: StopKind::Deleted, grace: grace.unwrap_or_else(|| worker.grace()) });
    }
}

fn begin(shared: &Arc<Shared>, uid: &str, pod: &Arc<Value>) -> Arc<PodWorker> {
    let worker = PodWorker::new(shared, Arc::clone(pod));
    let mut pods = shared.pods.lock().unwrap_or_else(PoisonError::into_inner);
    let (running, node, key) = (Arc::clone(&worker), Arc::downgrade(shared), uid.to_owned());
    let task = tokio::spawn(async move {
        running.run().await;
        if let Some(node) = node.upgrade() {
            node.pods.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        }
    });
    pods.insert(uid.to_owned(), (Arc::clone(&worker), task));
    worker
}

fn release(shared: &Arc<Shared>, claim: &Arc<Value>) {
    let (claims, claim) = (shared.config.data_dir.join("claims"), Arc::clone(claim));
    tokio::task::spawn_blocking(move || {
        if let Err(error) = release_claim(&claims, &claim) {
            tracing::warn!(error = %error, "failed to remove the data of a deleted claim");
        }
    });
}
