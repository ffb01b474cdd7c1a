//! Endpoints of Services: the addresses of the ready pods they select.

use serde_json::{Value, json};

use super::{Controllers, pods};
use crate::selectors::LabelSelector;
use crate::storage::{Key, Resource};

pub fn reconcile(controllers: &mut Controllers, key: &Key, service: &Value) {
    let selector = &service["spec"]["selector"];
    if selector.as_object().is_none_or(serde_json::Map::is_empty) {
        return;
    }
    let wanted = LabelSelector::from_map(selector);
    let (mut ready, mut waiting) = (Vec::new(), Vec::new());
    for pod_key in controllers.index.pods_with_label(&key.namespace, selector) {
        let Some(pod) = controllers.storage.get(&pod_key) else { continue };
        let Some(ip) = pod["status"]["podIP"].as_str() else { continue };
        if pods::is_going(&pod) || pods::is_terminal(&pod) || !wanted.matches(&pod) {
            continue;
        }
        let address = json!({"ip": ip, "nodeName": pod["spec"]["nodeName"], "targetRef": {"kind": "Pod",
            "namespace": key.namespace, "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}});
        if pods::is_ready(&pod) { ready.push(address) } else { waiting.push(address) }
    }
    let mut subset = json!({});
    for (field, addresses) in [("addresses", ready), ("notReadyAddresses", waiting)] {
        if !addresses.is_empty() {
            subset[field] = json!(addresses);
        }
    }
    let subsets = if subset.as_object().is_some_and(serde_json::Map::is_empty) {
        json!([])
    } else {
        subset["ports"] = service["spec"]["ports"].as_array().into_iter().flatten().map(port).collect();
        json!([subset])
    };
    let endpoints = Key::new(Resource::core("endpoints"), &key.namespace, &key.name);
    if controllers.storage.get(&endpoints).is_none() {
        let mut object = json!({"apiVersion": "v1", "kind": "Endpoints",
            "metadata": {"name": key.name, "namespace": key.namespace}});
        if !subsets.as_array().is_some_and(Vec::is_empty) {
            object["subsets"] = subsets;
        }
        // Another write made it in between: the next change of a pod brings it up to date.
        let _ = controllers.storage.create(endpoints, object);
        return;
    }
    let _ = controllers.storage.update::<()>(&endpoints, |object| {
        if !subsets.as_array().is_some_and(Vec::is_empty) {
            object["subsets"] = subsets;
        } else if let Some(fields) = object.as_object_mut() {
            fields.remove("subsets");
        }
        Ok(())
    });
}

fn port(port: &Value) -> Value {
    let target = port["targetPort"].as_u64().or_else(|| port["port"].as_u64()).unwrap_or(0);
    let mut told = json!({"port": target, "protocol": port["protocol"]});
    if let Some(name) = port["name"].as_str() {
        told["name"] = json!(name);
    }
    told
}
