//! ReplicaSets: as many pods as the spec says, those that have ended replaced.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Controllers, pods};
use crate::selectors::LabelSelector;
use crate::storage::Key;

const COMPONENT: &str = "replicaset-controller";
/// Failed pods of one set before their replacement is slowed down.
const QUICK_REPLACEMENTS: usize = 5;
/// How many failed pods a set keeps to be looked at.
const FAILED_KEPT: usize = 20;

pub fn reconcile(controllers: &mut Controllers, key: &Key, set: &Value) {
    let uid = set["metadata"]["uid"].as_str().unwrap_or_default();
    let selector = LabelSelector::from_object(&set["spec"]["selector"]);
    let mut owned = pods::controlled_by(controllers, uid);
    owned.retain(|pod| {
        let matches = selector.matches(pod);
        if !matches {
            release(controllers, uid, pod);
        }
        matches
    });
    let (going, staying): (Vec<_>, Vec<_>) = owned.into_iter().partition(|it| pods::is_going(it));
    let (ended, mut active): (Vec<_>, Vec<_>) = staying.into_iter().partition(|it| pods::is_terminal(it));
    let wanted = set["spec"]["replicas"].as_u64().unwrap_or(1);
    let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
    if active.len() < wanted {
        let failed = ended.iter().filter(|it| it["status"]["phase"] == "Failed").count();
        if let Some(wait) = replacement_delay(&ended, failed) {
            controllers.enqueue_after(key.clone(), wait);
        } else {
            for _ in active.len()..wanted {
                match pods::create(controllers, COMPONENT, set, &set["spec"]["template"], None, |_| {}) {
                    Some(pod) => active.push(pod),
                    None => break,
                }
            }
        }
    } else if active.len() > wanted {
        active.sort_by_key(|pod| deletion_rank(pod));
        let surplus: Vec<Arc<Value>> = active.drain(..active.len() - wanted).collect();
        for pod in &surplus {
            pods::delete(controllers, COMPONENT, set, pod);
        }
    }
    forget_oldest(controllers, set, ended);
    update_status(controllers, key, set, &active, going.len());
}

/// Pods that fail at once would be replaced as fast as the machine can; after some, each waits longer.
fn replacement_delay(ended: &[Arc<Value>], failed: usize) -> Option<Duration> {
    if failed < QUICK_REPLACEMENTS {
        return None;
    }
    let newest = ended
        .iter()
        .filter_map(|it| it["metadata"]["creationTimestamp"].as_str()?.parse::<jiff::Timestamp>().ok())
        .max()?;
    let exponent = u32::try_from(failed - QUICK_REPLACEMENTS).unwrap_or(u32::MAX).min(8);
    let due = newest.checked_add(jiff::SignedDuration::from_secs(1 << exponent)).ok()?;
    let left = due.duration_since(jiff::Timestamp::now());
    (left.as_millis() > 0).then(|| left.unsigned_abs())
}

fn forget_oldest(controllers: &Controllers, set: &Value, mut ended: Vec<Arc<Value>>) {
    if ended.len() > FAILED_KEPT {
        ended.sort_by_key(|pod| pod["metadata"]["creationTimestamp"].as_str().map(str::to_owned));
        for pod in &ended[..ended.len() - FAILED_KEPT] {
            pods::delete(controllers, COMPONENT, set, pod);
        }
    }
}

/// Who goes first: not scheduled, then pending, then not ready, then the newest.
fn deletion_rank(pod: &Value) -> (bool, bool, bool, std::cmp::Reverse<String>) {
    let scheduled = pod["spec"]["nodeName"].as_str().is_some_and(|it| !it.is_empty());
    let created = pod["metadata"]["creationTimestamp"].as_str().unwrap_or_default().to_owned();
    (scheduled, pod["status"]["phase"] == "Running", pods::is_ready(pod), std::cmp::Reverse(created))
}

/// A pod whose labels no longer match is nobody's.
fn release(controllers: &Controllers, uid: &str, pod: &Value) {
    let text = |field: &str| pod["metadata"][field].as_str().unwrap_or_default();
    let key = Key::new(crate::storage::Resource::core("pods"), text("namespace"), text("name"));
    // A pod that is gone needs no release.
    let _ = controllers.storage.update::<()>(&key, |pod| {
        if let Some(references) = pod["metadata"]["ownerReferences"].as_array_mut() {
            references.retain(|it| it["uid"] != uid);
        }
        Ok(())
    });
}

fn update_status(controllers: &Controllers, key: &Key, set: &Value, active: &[Arc<Value>], going: usize) {
    let ready = active.iter().filter(|it| pods::is_ready(it)).count();
    let mut status = json!({
        "replicas": active.len(), "observedGeneration": set["metadata"]["generation"], "terminatingReplicas": going,
    });
    if !active.is_empty() {
        status["fullyLabeledReplicas"] = json!(active.len());
    }
    if ready > 0 {
        status["readyReplicas"] = json!(ready);
        status["availableReplicas"] = json!(ready);
    }
    if set["status"] == status {
        return;
    }
    // A set that is gone needs no status.
    let _ = controllers.storage.update::<()>(key, |current| {
        current["status"] = status;
        Ok(())
    });
}
