//! The scheduler of one node: every pod that asks for nothing else goes there.

use serde_json::{Value, json};

use super::Controllers;
use crate::events::{self, EventText, Source, set_condition};
use crate::storage::{Key, Resource};

const SOURCE: Source<'static> = Source { component: "default-scheduler", host: "" };

pub fn schedule(controllers: &mut Controllers, key: &Key, pod: &Value) {
    let bound = pod["spec"]["nodeName"].as_str().is_some_and(|it| !it.is_empty());
    let foreign = pod["spec"]["schedulerName"] != "default-scheduler";
    let gated = pod["spec"]["schedulingGates"].as_array().is_some_and(|it| !it.is_empty());
    if bound || foreign || gated || pod["metadata"]["deletionTimestamp"].is_string() {
        return;
    }
    let node = Key::new(Resource::core("nodes"), "", &controllers.node_name);
    let node = controllers.storage.get(&node).as_deref().cloned().unwrap_or_default();
    if let Some(why) = refusal(&pod["spec"], &node) {
        refuse(controllers, key, pod, &why);
        return;
    }
    let uid = pod["metadata"]["uid"].clone();
    let name = controllers.node_name.clone();
    let done = controllers.storage.update(key, |current| {
        if current["metadata"]["uid"] != uid || current["spec"]["nodeName"].is_string() {
            return Err(());
        }
        current["spec"]["nodeName"] = json!(name);
        set_condition(&mut current["status"], "PodScheduled", true, None, None);
        Ok(())
    });
    if done.is_ok() {
        let text = format!("Successfully assigned {}/{} to {name}", key.namespace, key.name);
        events::emit(&controllers.storage, SOURCE, pod, &EventText::normal("Scheduled", &text));
    }
}

/// Why the one node cannot take a pod.
fn refusal(spec: &Value, node: &Value) -> Option<String> {
    let labels = &node["metadata"]["labels"];
    if node["spec"]["unschedulable"] == true && !tolerates_cordon(spec) {
        return Some(
            "0/1 nodes are available: 1 node(s) were unschedulable. no new claims to deallocate, preemption: 0/1 nodes \
             are available: 1 Preemption is not helpful for scheduling."
                .to_owned(),
        );
    }
    let mut selector = spec["nodeSelector"].as_object().into_iter().flatten();
    let selected = selector.all(|(key, value)| labels.get(key) == Some(value));
    let required = &spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    let terms = required["nodeSelectorTerms"].as_array();
    let liked = terms.is_none_or(|terms| {
        terms.iter().any(|term| {
            let all = json!({"matchExpressions": term["matchExpressions"]});
            crate::selectors::LabelSelector::from_object(&all).matches_labels(labels)
        })
    });
    if selected && liked {
        return None;
    }
    Some(
        "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. no new claims to deallocate, \
         preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
            .to_owned(),
    )
}

fn tolerates_cordon(spec: &Value) -> bool {
    spec["tolerations"].as_array().into_iter().flatten().any(|it| {
        it["operator"] == "Exists" && (it["key"].is_null() || it["key"] == "node.kubernetes.io/unschedulable")
    })
}

/// Looks again at every pod that has no node, because the node changed.
pub fn look_again(controllers: &mut Controllers) {
    for pod in controllers.storage.list(&Resource::core("pods"), None).1 {
        if pod["spec"]["nodeName"].as_str().is_none_or(str::is_empty) {
            let text = |field: &str| pod["metadata"][field].as_str().unwrap_or_default();
            controllers.enqueue(Key::new(Resource::core("pods"), text("namespace"), text("name")));
        }
    }
}

fn refuse(controllers: &Controllers, key: &Key, pod: &Value, why: &str) {
    let mut conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    if conditions.any(|it| it["type"] == "PodScheduled" && it["message"] == *why) {
        return;
    }
    let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
    let told = events::set_pod_status(&controllers.storage, &key.namespace, &key.name, uid, |status| {
        set_condition(status, "PodScheduled", false, Some("Unschedulable"), Some(why));
    });
    if told {
        events::emit(&controllers.storage, SOURCE, pod, &EventText::warning("FailedScheduling", why));
    }
}
