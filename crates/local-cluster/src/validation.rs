//! What the API server refuses with 422: names, keys, labels, required and immutable fields.

use serde_json::{Value, json};

use crate::api::error::Cause;
use crate::kinds::Kind;
use crate::names;
use crate::selectors::LabelSelector;

/// Everything that is wrong with an object; `before` is what an update changes.
pub fn check(kind: &Kind, object: &Value, before: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    metadata(kind, object, &mut causes);
    if kind.custom {
        return causes;
    }
    let spec = &object["spec"];
    match kind.kind.as_str() {
        "ConfigMap" | "Secret" => data(object, before, kind, &mut causes),
        "Pod" => {
            pod_spec(spec, "spec", &Value::Null, &mut causes);
            if let Some(before) = before {
                fixed_pod(&before["spec"], spec, &mut causes);
            }
        }
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" => workload(spec, before, kind, &mut causes),
        "Job" => {
            pod_spec(&spec["template"]["spec"], "spec.template.spec", &Value::Null, &mut causes);
            let policy = &spec["template"]["spec"]["restartPolicy"];
            if policy == "Always" {
                causes.push(Cause::unsupported("spec.template.spec.restartPolicy", policy, &["OnFailure", "Never"]));
            }
            for field in ["template", "selector", "completions"] {
                if before.is_some_and(|it| it["spec"][field] != spec[field]) {
                    causes.push(Cause::invalid(&format!("spec.{field}"), &spec[field], "field is immutable"));
                }
            }
        }
        "Service" => {
            service(spec, &mut causes);
            let address = before.map(|it| &it["spec"]["clusterIP"]).filter(|it| it.is_string());
            if address.is_some_and(|it| *it != spec["clusterIP"]) && spec["type"] != "ExternalName" {
                let what = "may not change once set";
                causes.push(Cause::invalid("spec.clusterIPs[0]", &json!([spec["clusterIP"]]), what));
            }
        }
        "PersistentVolumeClaim" => claim(spec, before, &mut causes),
        "CustomResourceDefinition" => {
            let expected = format!(
                "{}.{}",
                spec["names"]["plural"].as_str().unwrap_or_default(),
                spec["group"].as_str().unwrap_or_default()
            );
            if object["metadata"]["name"] != *expected {
                let what = "must be spec.names.plural+\".\"+spec.group";
                causes.push(Cause::invalid("metadata.name", &object["metadata"]["name"], what));
            }
        }
        _ => {}
    }
    causes
}

fn push_all(causes: &mut Vec<Cause>, field: &str, value: &Value, errors: Vec<String>) {
    for error in errors {
        causes.push(Cause::invalid(field, value, &error));
    }
}

fn metadata(kind: &Kind, object: &Value, causes: &mut Vec<Cause>) {
    let metadata = &object["metadata"];
    let name = metadata["name"].as_str().unwrap_or_default();
    if name.is_empty() {
        causes.push(Cause::required("metadata.name", "name or generateName is required"));
    } else {
        let errors = match kind.kind.as_str() {
            "Service" => names::label_1035_errors(name),
            "Namespace" => names::label_errors(name),
            // These take any name that can be a path segment.
            "Role" | "RoleBinding" | "ClusterRole" | "ClusterRoleBinding" => path_segment_errors(name),
            _ => names::subdomain_errors(name),
        };
        push_all(causes, "metadata.name", &metadata["name"], errors);
    }
    labels(&metadata["labels"], "metadata.labels", causes);
    let mut size = 0;
    for (key, value) in metadata["annotations"].as_object().into_iter().flatten() {
        push_all(causes, "metadata.annotations", &json!(key), names::qualified_name_errors(&key.to_lowercase()));
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > 256 * 1024 {
        causes.push(Cause::too_long("metadata.annotations", 256 * 1024));
    }
    for finalizer in metadata["finalizers"].as_array().into_iter().flatten() {
        let text = finalizer.as_str().unwrap_or_default();
        push_all(causes, "metadata.finalizers", finalizer, names::qualified_name_errors(text));
    }
    for (index, owner) in metadata["ownerReferences"].as_array().into_iter().flatten().enumerate() {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if owner[field].as_str().is_none_or(str::is_empty) {
                let path = format!("metadata.ownerReferences[{index}].{field}");
                causes.push(Cause::required(&path, "must not be empty"));
            }
        }
    }
    let controllers = metadata["ownerReferences"].as_array().into_iter().flatten();
    if controllers.filter(|it| it["controller"] == true).count() > 1 {
        let what = "Only one reference can have Controller set to true";
        causes.push(Cause::invalid("metadata.ownerReferences", &metadata["ownerReferences"], what));
    }
}

fn path_segment_errors(name: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if name == "." || name == ".." {
        errors.push(format!("may not be '{name}'"));
    }
    for part in ['/', '%'] {
        if name.contains(part) {
            errors.push(format!("may not contain '{part}'"));
        }
    }
    errors
}

pub fn labels(labels: &Value, field: &str, causes: &mut Vec<Cause>) {
    for (key, value) in labels.as_object().into_iter().flatten() {
        push_all(causes, field, &json!(key), names::qualified_name_errors(key));
        push_all(causes, field, value, names::label_value_errors(value.as_str().unwrap_or_default()));
    }
}

const MAX_DATA: usize = 1024 * 1024;

fn data(object: &Value, before: Option<&Value>, kind: &Kind, causes: &mut Vec<Cause>) {
    let mut size = 0;
    let secret = kind.kind == "Secret";
    for field in ["data", "binaryData"] {
        for (key, value) in object[field].as_object().into_iter().flatten() {
            push_all(causes, &format!("{field}[{key}]"), &json!(key), names::config_key_errors(key));
            let length = value.as_str().map_or(0, str::len);
            // Base64 counts as the bytes it stands for.
            let encoded = secret || field == "binaryData";
            let padding = value.as_str().map_or(0, |it| it.bytes().rev().take_while(|byte| *byte == b'=').count());
            size += if encoded { (length / 4 * 3).saturating_sub(padding) } else { length };
        }
    }
    if size > MAX_DATA {
        causes.push(Cause::too_long(if secret { "data" } else { "" }, MAX_DATA));
    }
    if let Some(before) = before {
        if secret && before["type"] != object["type"] {
            causes.push(Cause::invalid("type", &object["type"], "field is immutable"));
        }
        if before["immutable"] == true
            && (before["data"] != object["data"]
                || before["binaryData"] != object["binaryData"]
                || object["immutable"] != true)
        {
            causes.push(Cause::forbidden("data", "field is immutable when `immutable` is set"));
        }
    }
}

fn workload(spec: &Value, before: Option<&Value>, kind: &Kind, causes: &mut Vec<Cause>) {
    if let Some(replicas) = spec["replicas"].as_i64()
        && replicas < 0
    {
        causes.push(Cause::invalid("spec.replicas", &spec["replicas"], "must be greater than or equal to 0"));
    }
    let selector = &spec["selector"];
    let template_labels = &spec["template"]["metadata"]["labels"];
    if selector.is_null() {
        causes.push(Cause::required("spec.selector", ""));
    } else if LabelSelector::from_object(selector).is_empty() {
        let what = "empty selector is invalid for deployment".replace("deployment", &kind.kind.to_lowercase());
        causes.push(Cause::invalid("spec.selector", selector, &what));
    }
    if !selector.is_null() && !LabelSelector::from_object(selector).matches_labels(template_labels) {
        let what = "`selector` does not match template `labels`";
        causes.push(Cause::invalid("spec.template.metadata.labels", template_labels, what));
    }
    labels(template_labels, "spec.template.metadata.labels", causes);
    pod_spec(&spec["template"]["spec"], "spec.template.spec", &spec["volumeClaimTemplates"], causes);
    let policy = &spec["template"]["spec"]["restartPolicy"];
    if policy != "Always" {
        causes.push(Cause::unsupported("spec.template.spec.restartPolicy", policy, &["Always"]));
    }
    let Some(before) = before else { return };
    if before["spec"]["selector"] != *selector {
        causes.push(Cause::invalid("spec.selector", selector, "field is immutable"));
    }
    if kind.kind == "StatefulSet" {
        let frozen = ["serviceName", "podManagementPolicy", "volumeClaimTemplates"];
        if frozen.iter().any(|it| before["spec"][*it] != spec[*it]) {
            let what = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
                        'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
                        'minReadySeconds' are forbidden";
            causes.push(Cause::forbidden("spec", what));
        }
    }
}

/// `claims` are the volume claim templates of a StatefulSet: its containers mount them like volumes.
fn pod_spec(spec: &Value, path: &str, claims: &Value, causes: &mut Vec<Cause>) {
    let containers = spec["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
    if containers.is_empty() {
        causes.push(Cause::required(&format!("{path}.containers"), ""));
    }
    let policy = &spec["restartPolicy"];
    if policy.as_str().is_some_and(|it| !matches!(it, "Always" | "OnFailure" | "Never")) {
        causes.push(Cause::unsupported(&format!("{path}.restartPolicy"), policy, &["Always", "OnFailure", "Never"]));
    }
    let mut volumes = Vec::new();
    for (index, volume) in spec["volumes"].as_array().into_iter().flatten().enumerate() {
        let name = volume["name"].as_str().unwrap_or_default();
        let field = format!("{path}.volumes[{index}].name");
        if name.is_empty() {
            causes.push(Cause::required(&field, ""));
        } else {
            push_all(causes, &field, &volume["name"], names::label_errors(name));
        }
        if volumes.contains(&name) {
            causes.push(Cause::duplicate(&field, &volume["name"]));
        }
        volumes.push(name);
    }
    // One of the same name stands in place of the volume.
    volumes.extend(claims.as_array().into_iter().flatten().filter_map(|it| it["metadata"]["name"].as_str()));
    let mut seen = Vec::new();
    for list in ["containers", "initContainers"] {
        for (index, container) in spec[list].as_array().into_iter().flatten().enumerate() {
            let field = format!("{path}.{list}[{index}]");
            let name = container["name"].as_str().unwrap_or_default();
            if name.is_empty() {
                causes.push(Cause::required(&format!("{field}.name"), ""));
            } else {
                push_all(causes, &format!("{field}.name"), &container["name"], names::label_errors(name));
            }
            if seen.contains(&name) {
                causes.push(Cause::duplicate(&format!("{field}.name"), &container["name"]));
            }
            seen.push(name);
            if container["image"].as_str().is_none_or(str::is_empty) {
                causes.push(Cause::required(&format!("{field}.image"), ""));
            }
            container_details(container, &field, &volumes, causes);
        }
    }
}

/// Of a pod only images, tolerations and times may change.
fn fixed_pod(before: &Value, now: &Value, causes: &mut Vec<Cause>) {
    let fixed = |spec: &Value| {
        let mut fixed = spec.clone();
        for list in ["/containers", "/initContainers"] {
            for container in fixed.pointer_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                container["image"] = Value::Null;
            }
        }
        for field in ["tolerations", "activeDeadlineSeconds", "terminationGracePeriodSeconds"] {
            fixed[field] = Value::Null;
        }
        fixed
    };
    if fixed(before) != fixed(now) {
        let what = "pod updates may not change fields other than `spec.containers[*].image`,\
                    `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to \
                    existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was \
                    previously negative)";
        causes.push(Cause::forbidden("spec", what));
    }
}

fn claim(spec: &Value, before: Option<&Value>, causes: &mut Vec<Cause>) {
    if spec["accessModes"].as_array().is_none_or(Vec::is_empty) {
        causes.push(Cause::required("spec.accessModes", "at least 1 access mode is required"));
    }
    if !spec["resources"]["requests"]["storage"].is_string() {
        causes.push(Cause::required("spec.resources[storage]", ""));
    }
    let changed =
        |field: &str| before.is_some_and(|it| !it["spec"][field].is_null() && it["spec"][field] != spec[field]);
    if ["accessModes", "volumeName", "storageClassName", "volumeMode", "selector"].iter().any(|it| changed(it)) {
        let what = "spec is immutable after creation except resources.requests and volumeAttributesClassName for \
                    bound claims";
        causes.push(Cause::forbidden("spec", what));
    }
}

fn container_details(container: &Value, field: &str, volumes: &[&str], causes: &mut Vec<Cause>) {
    let policy = &container["imagePullPolicy"];
    if policy.as_str().is_some_and(|it| !matches!(it, "Always" | "Never" | "IfNotPresent")) {
        let allowed = ["Always", "IfNotPresent", "Never"];
        causes.push(Cause::unsupported(&format!("{field}.imagePullPolicy"), policy, &allowed));
    }
    let mut paths = Vec::new();
    for (index, mount) in container["volumeMounts"].as_array().into_iter().flatten().enumerate() {
        let field = format!("{field}.volumeMounts[{index}]");
        let name = mount["name"].as_str().unwrap_or_default();
        if !volumes.contains(&name) {
            let message = format!("Not found: \"{name}\"");
            causes.push(Cause { reason: "FieldValueNotFound", field: format!("{field}.name"), message });
        }
        let path = mount["mountPath"].as_str().unwrap_or_default();
        if path.is_empty() {
            causes.push(Cause::required(&format!("{field}.mountPath"), ""));
        } else if paths.contains(&path) {
            causes.push(Cause::invalid(&format!("{field}.mountPath"), &mount["mountPath"], "must be unique"));
        }
        paths.push(path);
    }
    for (index, variable) in container["env"].as_array().into_iter().flatten().enumerate() {
        if variable["name"].as_str().is_none_or(str::is_empty) {
            causes.push(Cause::required(&format!("{field}.env[{index}].name"), ""));
        }
    }
    for (index, port) in container["ports"].as_array().into_iter().flatten().enumerate() {
        let field = format!("{field}.ports[{index}].containerPort");
        match port["containerPort"].as_i64() {
            None => causes.push(Cause::required(&field, "")),
            Some(1..=65535) => {}
            Some(_) => causes.push(Cause::invalid(&field, &port["containerPort"], PORT)),
        }
    }
}

const PORT: &str = "must be between 1 and 65535, inclusive";

fn service(spec: &Value, causes: &mut Vec<Cause>) {
    let ports = spec["ports"].as_array().map(Vec::as_slice).unwrap_or_default();
    let kind = spec["type"].as_str().unwrap_or_default();
    if !matches!(kind, "ClusterIP" | "NodePort" | "LoadBalancer" | "ExternalName") {
        let allowed = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
        causes.push(Cause::unsupported("spec.type", &spec["type"], &allowed));
    }
    if ports.is_empty() && spec["clusterIP"] != "None" && kind != "ExternalName" {
        causes.push(Cause::required("spec.ports", ""));
    }
    for (index, port) in ports.iter().enumerate() {
        let field = format!("spec.ports[{index}]");
        if ports.len() > 1 && port["name"].as_str().is_none_or(str::is_empty) {
            causes.push(Cause::required(&format!("{field}.name"), ""));
        }
        if port["port"].as_i64().is_none_or(|it| !(1..=65535).contains(&it)) {
            causes.push(Cause::invalid(&format!("{field}.port"), &port["port"], PORT));
        }
        if port["targetPort"].as_i64().is_some_and(|it| !(1..=65535).contains(&it)) {
            causes.push(Cause::invalid(&format!("{field}.targetPort"), &port["targetPort"], PORT));
        }
    }
}
