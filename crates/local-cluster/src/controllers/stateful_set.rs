//! StatefulSets: pods with fixed names, made in order and ended in reverse, each with its claims.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Controllers, pods};
use crate::deletion::{self, DeleteOptions};
use crate::names;
use crate::storage::{Key, Resource};

const COMPONENT: &str = "statefulset-controller";
const REVISION: &str = "controller-revision-hash";

pub fn reconcile(controllers: &mut Controllers, key: &Key, set: &Value) {
    let uid = set["metadata"]["uid"].as_str().unwrap_or_default();
    let name = &key.name;
    let wanted = usize::try_from(set["spec"]["replicas"].as_u64().unwrap_or(1)).unwrap_or(0);
    let first = usize::try_from(set["spec"]["ordinals"]["start"].as_u64().unwrap_or(0)).unwrap_or(0);
    let parallel = set["spec"]["podManagementPolicy"] == "Parallel";
    let revision = format!("{name}-{}", names::encode_hash(fnv(&set["spec"]["template"].to_string())));
    let mut owned = pods::controlled_by(controllers, uid);
    owned.sort_by_key(|pod| ordinal(name, pod));
    // An ended pod makes room for its successor of the same name.
    for pod in owned.iter().filter(|it| pods::is_terminal(it) && !pods::is_going(it)) {
        remove(controllers, set, pod);
    }
    let existing = |ordinal_wanted: usize| owned.iter().find(|pod| ordinal(name, pod) == Some(ordinal_wanted));
    let mut held_up = false;
    for number in first..first + wanted {
        match existing(number) {
            Some(pod) => held_up |= pods::is_going(pod) || !pods::is_ready(pod) || pods::is_terminal(pod),
            None => {
                make(controllers, set, number, &revision);
                held_up = true;
            }
        }
        if held_up && !parallel {
            break;
        }
    }
    let surplus: Vec<&Arc<Value>> =
        owned.iter().filter(|pod| ordinal(name, pod).is_none_or(|it| it < first || it >= first + wanted)).collect();
    let going = surplus.iter().any(|it| pods::is_going(it));
    if parallel {
        surplus.iter().filter(|it| !pods::is_going(it)).for_each(|pod| remove(controllers, set, pod));
    } else if let Some(last) = surplus.iter().rev().find(|it| !pods::is_going(it))
        && !going
    {
        remove(controllers, set, last);
    }
    if surplus.is_empty() && !held_up && set["spec"]["updateStrategy"]["type"] != "OnDelete" {
        roll_one(controllers, set, &owned, &revision);
    }
    update_status(controllers, key, set, uid, &revision);
}

/// Replaces the last pod of an older template.
fn roll_one(controllers: &Controllers, set: &Value, owned: &[Arc<Value>], revision: &str) {
    let partition = set["spec"]["updateStrategy"]["rollingUpdate"]["partition"].as_u64().unwrap_or(0);
    let name = set["metadata"]["name"].as_str().unwrap_or_default();
    let old = owned.iter().rev().find(|pod| {
        pod["metadata"]["labels"][REVISION] != *revision
            && ordinal(name, pod).is_some_and(|it| it as u64 >= partition)
            && !pods::is_going(pod)
    });
    if let Some(old) = old {
        remove(controllers, set, old);
    }
}

fn fnv(text: &str) -> u32 {
    text.bytes().fold(2_166_136_261, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(16_777_619))
}

fn ordinal(set: &str, pod: &Value) -> Option<usize> {
    pod["metadata"]["name"].as_str()?.strip_prefix(set)?.strip_prefix('-')?.parse().ok()
}

fn remove(controllers: &Controllers, set: &Value, pod: &Value) {
    if pods::is_terminal(pod) {
        let text = |field: &str| pod["metadata"][field].as_str().unwrap_or_default();
        let key = Key::new(Resource::core("pods"), text("namespace"), text("name"));
        deletion::delete(&controllers.storage, &key, &DeleteOptions::default());
    } else {
        pods::delete(controllers, COMPONENT, set, pod);
    }
}

fn make(controllers: &Controllers, set: &Value, number: usize, revision: &str) {
    let set_name = set["metadata"]["name"].as_str().unwrap_or_default();
    let namespace = set["metadata"]["namespace"].as_str().unwrap_or_default();
    let pod_name = format!("{set_name}-{number}");
    let mut volumes = Vec::new();
    for template in set["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten() {
        let volume = template["metadata"]["name"].as_str().unwrap_or_default();
        let claim = format!("{volume}-{pod_name}");
        let mut labels = template["metadata"]["labels"].clone();
        for (label, value) in set["spec"]["selector"]["matchLabels"].as_object().into_iter().flatten() {
            labels[label] = value.clone();
        }
        let mut object = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": claim, "namespace": namespace}, "spec": template["spec"],
            "status": {"phase": "Pending"}});
        if labels.is_object() {
            object["metadata"]["labels"] = labels;
        }
        if let Some(annotations) = template["metadata"].get("annotations") {
            object["metadata"]["annotations"] = annotations.clone();
        }
        // A claim of an earlier pod of this name is used again.
        let _ =
            controllers.storage.create(Key::new(Resource::core("persistentvolumeclaims"), namespace, &claim), object);
        volumes.push(json!({"name": volume, "persistentVolumeClaim": {"claimName": claim}}));
    }
    pods::create(controllers, COMPONENT, set, &set["spec"]["template"], Some(&pod_name), |pod| {
        let labels = &mut pod["metadata"]["labels"];
        labels["statefulset.kubernetes.io/pod-name"] = json!(pod_name);
        labels["apps.kubernetes.io/pod-index"] = json!(number.to_string());
        labels[REVISION] = json!(revision);
        pod["spec"]["hostname"] = json!(pod_name);
        if let Some(service) = set["spec"]["serviceName"].as_str().filter(|it| !it.is_empty()) {
            pod["spec"]["subdomain"] = json!(service);
        }
        if !volumes.is_empty() {
            let claimed: Vec<&Value> = volumes.iter().map(|it| &it["name"]).collect();
            let mut all: Vec<Value> = pod["spec"]["volumes"].as_array().cloned().unwrap_or_default();
            all.retain(|it| !claimed.contains(&&it["name"]));
            all.extend(volumes.iter().cloned());
            pod["spec"]["volumes"] = json!(all);
        }
    });
}

fn update_status(controllers: &Controllers, key: &Key, set: &Value, uid: &str, revision: &str) {
    // As the index knows them: pods made just now come with the next look.
    let owned = pods::controlled_by(controllers, uid);
    let count = |is: &dyn Fn(&Value) -> bool| owned.iter().filter(|it| is(it)).count();
    let updated = count(&|pod| pod["metadata"]["labels"][REVISION] == *revision);
    let ready = count(&|pod| pods::is_ready(pod) && !pods::is_going(pod));
    let wanted = usize::try_from(set["spec"]["replicas"].as_u64().unwrap_or(1)).unwrap_or(0);
    let done = updated == wanted && ready == wanted;
    let current =
        if done { json!(revision) } else { set["status"].get("currentRevision").cloned().unwrap_or(json!(revision)) };
    let mut status = json!({
        "observedGeneration": set["metadata"]["generation"], "replicas": owned.len(), "updateRevision": revision,
        "currentRevision": current, "collisionCount": 0, "availableReplicas": ready,
    });
    if ready > 0 {
        status["readyReplicas"] = json!(ready);
    }
    if updated > 0 {
        status["updatedReplicas"] = json!(updated);
        status["currentReplicas"] = json!(updated);
    }
    if set["status"] != status {
        // A set that is gone needs no status.
        let _ = controllers.storage.update::<()>(key, |object| {
            object["status"] = status;
            Ok(())
        });
    }
}
