//! Deployments: a ReplicaSet for every template there was, the newest with the pods, moved over step by step.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Controllers, controller_uid, pods};
use crate::deletion::{self, DeleteOptions};
use crate::events::{self, EventText, Source};
use crate::names;
use crate::storage::{Key, Resource, now};

const SOURCE: Source<'static> = Source { component: "deployment-controller", host: "" };
const REVISION: &str = "deployment.kubernetes.io/revision";
const HASH: &str = "pod-template-hash";

pub fn reconcile(controllers: &mut Controllers, key: &Key, deployment: &Value) {
    let uid = deployment["metadata"]["uid"].as_str().unwrap_or_default();
    let sets = sets_of(controllers, uid);
    let wanted = count(&deployment["spec"]["replicas"], 1);
    if deployment["spec"]["paused"] == true {
        update_status(controllers, key, deployment, &sets, None);
        return;
    }
    let (current, others): (Vec<_>, Vec<_>) =
        sets.iter().cloned().partition(|set| same_template(set, &deployment["spec"]["template"]));
    let newest = match current.first() {
        Some(set) => set.clone(),
        None => match create_set(controllers, deployment, &others, first_replicas(deployment, &others, wanted)) {
            Some(set) => set,
            None => return,
        },
    };
    let revision = revision_of(&newest, &others);
    annotate(controllers, key, deployment, &newest, revision, wanted);
    roll(controllers, deployment, &newest, &others, wanted);
    forget_old(controllers, deployment, &others);
    let sets = sets_of_keys(controllers, &newest, &others);
    let fresh = controllers.storage.get(key);
    let deployment = fresh.as_deref().unwrap_or(deployment);
    update_status(controllers, key, deployment, &sets, Some(&newest));
}

fn count(value: &Value, otherwise: u64) -> u64 {
    value.as_u64().unwrap_or(otherwise)
}

/// With how many pods a new set starts: as many as fit beside those of the others.
fn first_replicas(deployment: &Value, others: &[Arc<Value>], wanted: u64) -> u64 {
    let all = |section: &str| -> u64 { others.iter().map(|set| count(&set[section]["replicas"], 0)).sum() };
    if deployment["spec"]["strategy"]["type"] == "Recreate" {
        return if all("spec") + all("status") == 0 { wanted } else { 0 };
    }
    let (surge, _) = bounds(deployment, wanted);
    (wanted + surge).saturating_sub(all("spec")).min(wanted)
}

fn sets_of(controllers: &Controllers, uid: &str) -> Vec<Arc<Value>> {
    controllers
        .index
        .dependents(uid)
        .into_iter()
        .filter(|key| key.resource.plural == "replicasets")
        .filter_map(|key| controllers.storage.get(&key))
        .filter(|set| controller_uid(set) == Some(uid) && !pods::is_going(set))
        .collect()
}

fn set_key(set: &Value) -> Key {
    let text = |field: &str| set["metadata"][field].as_str().unwrap_or_default();
    Key::new(Resource::new("apps", "replicasets"), text("namespace"), text("name"))
}

fn sets_of_keys(controllers: &Controllers, newest: &Value, others: &[Arc<Value>]) -> Vec<Arc<Value>> {
    let all = others.iter().map(|it| set_key(it)).chain([set_key(newest)]);
    all.filter_map(|key| controllers.storage.get(&key)).collect()
}

fn without_hash(template: &Value) -> Value {
    let mut plain = template.clone();
    if let Some(labels) = plain.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove(HASH);
    }
    plain
}

fn same_template(set: &Value, template: &Value) -> bool {
    without_hash(&set["spec"]["template"]) == without_hash(template)
}

fn fnv(text: &str) -> u32 {
    text.bytes().fold(2_166_136_261, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(16_777_619))
}

fn create_set(
    controllers: &Controllers,
    deployment: &Value,
    others: &[Arc<Value>],
    replicas: u64,
) -> Option<Arc<Value>> {
    let metadata = &deployment["metadata"];
    let name = metadata["name"].as_str().unwrap_or_default();
    let namespace = metadata["namespace"].as_str().unwrap_or_default();
    let revision = others.iter().map(|set| revision_number(set)).max().unwrap_or(0) + 1;
    let text = deployment["spec"]["template"].to_string();
    for collision in 0..10 {
        let hash = names::encode_hash(fnv(&format!(
            "{text}{}",
            if collision == 0 { "".into() } else { collision.to_string() }
        )));
        let mut template = deployment["spec"]["template"].clone();
        template["metadata"]["labels"][HASH] = json!(hash);
        let mut selector = deployment["spec"]["selector"].clone();
        selector["matchLabels"][HASH] = json!(hash);
        let set_name = format!("{}-{hash}", name.get(..242).unwrap_or(name));
        let mut set = json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {
                "name": set_name, "namespace": namespace, "generation": 1, "labels": template["metadata"]["labels"],
                "annotations": {REVISION: revision.to_string()},
                "ownerReferences": [pods::controller_reference(deployment)],
            },
            "spec": {"replicas": replicas, "selector": selector, "template": template},
            "status": {"replicas": 0},
        });
        for (field, value) in metadata["annotations"].as_object().into_iter().flatten() {
            if field != "kubectl.kubernetes.io/last-applied-configuration" && field != REVISION {
                set["metadata"]["annotations"][field] = value.clone();
            }
        }
        if let Some(seconds) = deployment["spec"].get("minReadySeconds") {
            set["spec"]["minReadySeconds"] = seconds.clone();
        }
        let key = Key::new(Resource::new("apps", "replicasets"), namespace, &set_name);
        match controllers.storage.create(key.clone(), set) {
            Ok(created) => {
                if replicas > 0 {
                    let text = format!("Scaled up replica set {set_name} from 0 to {replicas}");
                    let text = EventText::normal("ScalingReplicaSet", &text);
                    events::emit(&controllers.storage, SOURCE, deployment, &text);
                }
                return Some(created);
            }
            Err(_) => {
                // Ours from an earlier life of this task, or another's: then the next hash is tried.
                if let Some(found) = controllers.storage.get(&key)
                    && controller_uid(&found) == metadata["uid"].as_str()
                    && same_template(&found, &deployment["spec"]["template"])
                {
                    return Some(found);
                }
            }
        }
    }
    None
}

fn revision_number(set: &Value) -> u64 {
    set["metadata"]["annotations"][REVISION].as_str().and_then(|it| it.parse().ok()).unwrap_or(0)
}

/// An old template that becomes current again gets a new revision.
fn revision_of(newest: &Value, others: &[Arc<Value>]) -> u64 {
    let highest = others.iter().map(|set| revision_number(set)).max().unwrap_or(0);
    let own = revision_number(newest);
    if own > highest { own } else { highest + 1 }
}

fn annotate(controllers: &Controllers, key: &Key, deployment: &Value, newest: &Value, revision: u64, wanted: u64) {
    let (surge, _) = bounds(deployment, wanted);
    // Whoever is gone meanwhile needs no annotation.
    let _ = controllers.storage.update::<()>(&set_key(newest), |set| {
        let annotations = &mut set["metadata"]["annotations"];
        annotations[REVISION] = json!(revision.to_string());
        annotations["deployment.kubernetes.io/desired-replicas"] = json!(wanted.to_string());
        annotations["deployment.kubernetes.io/max-replicas"] = json!((wanted + surge).to_string());
        Ok(())
    });
    let _ = controllers.storage.update::<()>(key, |object| {
        object["metadata"]["annotations"][REVISION] = json!(revision.to_string());
        Ok(())
    });
}

/// How many pods may be too many and how many too few while rolling.
fn bounds(deployment: &Value, wanted: u64) -> (u64, u64) {
    let strategy = &deployment["spec"]["strategy"];
    if strategy["type"] == "Recreate" {
        return (0, wanted);
    }
    let rolling = &strategy["rollingUpdate"];
    let surge = share(&rolling["maxSurge"], wanted, true);
    let unavailable = share(&rolling["maxUnavailable"], wanted, false);
    if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable.min(wanted)) }
}

fn share(value: &Value, of: u64, up: bool) -> u64 {
    match value {
        Value::String(text) => {
            let percent: u64 = text.trim_end_matches('%').parse().unwrap_or(25);
            let scaled = of * percent;
            if up { scaled.div_ceil(100) } else { scaled / 100 }
        }
        number => number.as_u64().unwrap_or(0),
    }
}

fn roll(controllers: &Controllers, deployment: &Value, newest: &Arc<Value>, others: &[Arc<Value>], wanted: u64) {
    let spec = |set: &Value| count(&set["spec"]["replicas"], 0);
    let available = |set: &Value| count(&set["status"]["availableReplicas"], 0);
    let old_total: u64 = others.iter().map(|set| spec(set)).sum();
    let (surge, unavailable) = bounds(deployment, wanted);
    if deployment["spec"]["strategy"]["type"] == "Recreate" {
        for set in others.iter().filter(|set| spec(set) > 0) {
            scale(controllers, deployment, set, 0);
        }
        let left: usize = others
            .iter()
            .map(|set| pods::controlled_by(controllers, set["metadata"]["uid"].as_str().unwrap_or_default()))
            .map(|all| all.iter().filter(|pod| !pods::is_terminal(pod)).count())
            .sum();
        if left == 0 {
            scale(controllers, deployment, newest, wanted);
        }
        return;
    }
    if old_total == 0 {
        scale(controllers, deployment, newest, wanted);
        return;
    }
    let total = old_total + spec(newest);
    let room = (wanted + surge).saturating_sub(total);
    let target = if spec(newest) > wanted { wanted } else { (spec(newest) + room).min(wanted) };
    scale(controllers, deployment, newest, target);
    // Old pods may go as far as enough stay available; those that are not available go first.
    let all_available: u64 = others.iter().map(|set| available(set)).sum::<u64>() + available(newest);
    let mut may_go = all_available.saturating_sub(wanted - unavailable);
    for set in others.iter().filter(|set| spec(set) > 0) {
        let broken = spec(set).saturating_sub(available(set));
        let healthy = (spec(set) - broken).min(may_go);
        may_go -= healthy;
        if broken + healthy > 0 {
            scale(controllers, deployment, set, spec(set) - broken - healthy);
        }
    }
}

fn scale(controllers: &Controllers, deployment: &Value, set: &Value, replicas: u64) {
    let before = count(&set["spec"]["replicas"], 0);
    if before == replicas {
        return;
    }
    let changed = controllers.storage.update::<()>(&set_key(set), |object| {
        object["spec"]["replicas"] = json!(replicas);
        let generation = object["metadata"]["generation"].as_u64().unwrap_or(1);
        object["metadata"]["generation"] = json!(generation + 1);
        Ok(())
    });
    if changed.is_ok() {
        let direction = if replicas > before { "up" } else { "down" };
        let name = set["metadata"]["name"].as_str().unwrap_or_default();
        let text = format!("Scaled {direction} replica set {name} from {before} to {replicas}");
        events::emit(&controllers.storage, SOURCE, deployment, &EventText::normal("ScalingReplicaSet", &text));
    }
}

fn forget_old(controllers: &Controllers, deployment: &Value, others: &[Arc<Value>]) {
    let limit = usize::try_from(count(&deployment["spec"]["revisionHistoryLimit"], 10)).unwrap_or(usize::MAX);
    let mut idle: Vec<&Arc<Value>> = others
        .iter()
        .filter(|set| count(&set["spec"]["replicas"], 0) == 0 && count(&set["status"]["replicas"], 0) == 0)
        .collect();
    if idle.len() <= limit {
        return;
    }
    idle.sort_by_key(|set| revision_number(set));
    for set in &idle[..idle.len() - limit] {
        deletion::delete(&controllers.storage, &set_key(set), &DeleteOptions::default());
    }
}

fn update_status(
    controllers: &Controllers,
    key: &Key,
    deployment: &Value,
    sets: &[Arc<Value>],
    newest: Option<&Arc<Value>>,
) {
    let sum = |field: &str| -> u64 { sets.iter().map(|set| count(&set["status"][field], 0)).sum() };
    let newest_key = newest.map(|set| set_key(set));
    let updated = sets.iter().find(|set| Some(set_key(set)) == newest_key);
    let updated = updated.map_or(0, |set| count(&set["status"]["replicas"], 0));
    let wanted = count(&deployment["spec"]["replicas"], 1);
    let (replicas, available) = (sum("replicas"), sum("availableReplicas"));
    let mut status = json!({
        "observedGeneration": deployment["metadata"]["generation"], "terminatingReplicas": sum("terminatingReplicas"),
    });
    for (field, value) in [
        ("replicas", replicas),
        ("updatedReplicas", updated),
        ("readyReplicas", sum("readyReplicas")),
        ("availableReplicas", available),
        ("unavailableReplicas", wanted.max(replicas).saturating_sub(available)),
    ] {
        if value > 0 {
            status[field] = json!(value);
        }
    }
    status["conditions"] = deployment["status"]["conditions"].clone();
    if !status["conditions"].is_array() {
        status["conditions"] = json!([]);
    }
    let (_, unavailable) = bounds(deployment, wanted);
    if available >= wanted.saturating_sub(unavailable) {
        let text = "Deployment has minimum availability.";
        condition(&mut status, "Available", "True", "MinimumReplicasAvailable", text);
    } else {
        let text = "Deployment does not have minimum availability.";
        condition(&mut status, "Available", "False", "MinimumReplicasUnavailable", text);
    }
    if let Some(newest) = newest {
        let name = newest["metadata"]["name"].as_str().unwrap_or_default();
        if updated == wanted && replicas == wanted && available == wanted {
            let text = format!("ReplicaSet \"{name}\" has successfully progressed.");
            condition(&mut status, "Progressing", "True", "NewReplicaSetAvailable", &text);
        } else if status["conditions"].as_array().is_none_or(|all| {
            !all.iter().any(|it| it["type"] == "Progressing" && it["reason"] == "NewReplicaSetAvailable")
                || updated < wanted
        }) {
            let reason = if updated == 0 { "NewReplicaSetCreated" } else { "ReplicaSetUpdated" };
            let text = if updated == 0 {
                format!("Created new replica set \"{name}\"")
            } else {
                format!("ReplicaSet \"{name}\" is progressing.")
            };
            condition(&mut status, "Progressing", "True", reason, &text);
        }
    }
    if deployment["status"] == status {
        return;
    }
    // A deployment that is gone needs no status.
    let _ = controllers.storage.update::<()>(key, |current| {
        current["status"] = status;
        Ok(())
    });
}

fn condition(status: &mut Value, kind: &str, value: &str, reason: &str, message: &str) {
    let Some(conditions) = status["conditions"].as_array_mut() else { return };
    let time = now();
    let mut next = json!({"type": kind, "status": value, "reason": reason, "message": message,
        "lastUpdateTime": time, "lastTransitionTime": time});
    match conditions.iter_mut().find(|it| it["type"] == kind) {
        Some(existing) => {
            if existing["status"] == value {
                next["lastTransitionTime"] = existing["lastTransitionTime"].clone();
            }
            if existing["reason"] == reason && existing["message"] == message && existing["status"] == value {
                return;
            }
            *existing = next;
        }
        None => conditions.push(next),
    }
}
