//! DaemonSets on the one node: one pod each.

use serde_json::{Value, json};

use super::{Controllers, pods};
use crate::storage::Key;

const COMPONENT: &str = "daemonset-controller";
const GENERATION: &str = "pod-template-generation";

pub fn reconcile(controllers: &mut Controllers, key: &Key, set: &Value) {
    let uid = set["metadata"]["uid"].as_str().unwrap_or_default();
    let generation = set["metadata"]["generation"].to_string();
    let owned = pods::controlled_by(controllers, uid);
    let mut active = Vec::new();
    for pod in owned.iter().filter(|it| !pods::is_going(it)) {
        let old = pod["metadata"]["labels"][GENERATION] != *generation
            && set["spec"]["updateStrategy"]["type"] != "OnDelete"
            && pod["spec"]["containers"] != set["spec"]["template"]["spec"]["containers"];
        if pods::is_terminal(pod) || old || !active.is_empty() {
            pods::delete(controllers, COMPONENT, set, pod);
        } else {
            active.push(pod.clone());
        }
    }
    if active.is_empty() && owned.iter().all(|it| pods::is_terminal(it) || pods::is_going(it)) {
        let node = controllers.node_name.clone();
        let made = pods::create(controllers, COMPONENT, set, &set["spec"]["template"], None, |pod| {
            pod["metadata"]["labels"][GENERATION] = json!(generation);
            // The set places its pods itself, by affinity to the node.
            pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] = json!({
                "nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}]});
        });
        active.extend(made);
    }
    let ready = active.iter().filter(|it| pods::is_ready(it)).count();
    let status = json!({
        "observedGeneration": set["metadata"]["generation"], "desiredNumberScheduled": 1,
        "currentNumberScheduled": active.len(), "updatedNumberScheduled": active.len(), "numberMisscheduled": 0,
        "numberReady": ready, "numberAvailable": ready, "numberUnavailable": 1 - ready.min(1),
    });
    if set["status"] != status {
        // A set that is gone needs no status.
        let _ = controllers.storage.update::<()>(key, |object| {
            object["status"] = status;
            Ok(())
        });
    }
}
