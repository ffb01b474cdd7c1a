//! What a server fills in where a client says nothing.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::kinds::Kind;

/// Defaults, and the parts of an object that only its creation makes.
pub fn on_create(kind: &Kind, object: &mut Value, service_accounts: bool) {
    fill(kind, object);
    match kind.kind.as_str() {
        "Pod" => admit_pod(object, service_accounts),
        "Namespace" => {
            let name = object["metadata"]["name"].clone();
            object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
            object["spec"] = json!({"finalizers": ["kubernetes"]});
            object["status"] = json!({"phase": "Active"});
        }
        "Service" => object["status"] = json!({"loadBalancer": {}}),
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" | "Job" | "CronJob" if !kind.custom => {
            object["status"] = match kind.kind.as_str() {
                "ReplicaSet" | "StatefulSet" => json!({"replicas": 0}),
                "DaemonSet" => json!({"currentNumberScheduled": 0, "desiredNumberScheduled": 0,
                    "numberMisscheduled": 0, "numberReady": 0}),
                _ => json!({}),
            };
            if kind.kind == "Job" {
                label_job(object);
            }
        }
        "PersistentVolumeClaim" | "PersistentVolume" => object["status"] = json!({"phase": "Pending"}),
        "CustomResourceDefinition" => crd_status(object),
        _ => {}
    }
}

/// Defaults of a changed object; what the server chose before stays.
pub fn on_update(kind: &Kind, current: &Value, object: &mut Value) {
    match kind.kind.as_str() {
        "Service" => {
            for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"] {
                if object["spec"].get(field).is_none_or(|it| it.is_null() || it == "")
                    && let Some(value) = current["spec"].get(field)
                {
                    object["spec"][field] = value.clone();
                }
            }
        }
        "Namespace" => {
            let name = object["metadata"]["name"].clone();
            object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
            object["spec"] = current["spec"].clone();
        }
        "Job" => {
            for field in ["selector", "manualSelector"] {
                if object["spec"].get(field).is_none_or(Value::is_null)
                    && let Some(value) = current["spec"].get(field)
                {
                    object["spec"][field] = value.clone();
                }
            }
            if object["spec"]["template"]["metadata"]["labels"].is_null() {
                object["spec"]["template"]["metadata"]["labels"] =
                    current["spec"]["template"]["metadata"]["labels"].clone();
            }
        }
        _ => {}
    }
    fill(kind, object);
}

fn set(object: &mut Value, field: &str, value: Value) {
    if let Some(fields) = object.as_object_mut()
        && fields.get(field).is_none_or(Value::is_null)
    {
        fields.insert(field.to_owned(), value);
    }
}

/// The items of a list, if it is there; unlike indexing this adds nothing.
fn items<'a>(object: &'a mut Value, pointer: &str) -> impl Iterator<Item = &'a mut Value> {
    object.pointer_mut(pointer).and_then(Value::as_array_mut).into_iter().flatten()
}

fn section<'a>(object: &'a mut Value, field: &str) -> &'a mut Value {
    set(object, field, json!({}));
    &mut object[field]
}

fn fill(kind: &Kind, object: &mut Value) {
    if kind.custom {
        return;
    }
    match kind.kind.as_str() {
        "Pod" => pod_spec(section(object, "spec")),
        "Deployment" => deployment(section(object, "spec")),
        "ReplicaSet" | "ReplicationController" => {
            let spec = section(object, "spec");
            set(spec, "replicas", json!(1));
            template(spec);
        }
        "StatefulSet" => stateful_set(section(object, "spec")),
        "DaemonSet" => {
            let spec = section(object, "spec");
            set(spec, "revisionHistoryLimit", json!(10));
            set(spec, "updateStrategy", json!({"type": "RollingUpdate"}));
            if spec["updateStrategy"]["type"] == "RollingUpdate" {
                let rolling = section(&mut spec["updateStrategy"], "rollingUpdate");
                set(rolling, "maxUnavailable", json!(1));
                set(rolling, "maxSurge", json!(0));
            }
            template(spec);
        }
        "Job" => job(section(object, "spec")),
        "CronJob" => {
            let spec = section(object, "spec");
            set(spec, "concurrencyPolicy", json!("Allow"));
            set(spec, "suspend", json!(false));
            set(spec, "successfulJobsHistoryLimit", json!(3));
            set(spec, "failedJobsHistoryLimit", json!(1));
            template(&mut spec["jobTemplate"]["spec"]);
        }
        "Service" => service(section(object, "spec")),
        "Secret" => secret(object),
        "ConfigMap" => {}
        "PersistentVolumeClaim" => {
            let spec = section(object, "spec");
            set(spec, "volumeMode", json!("Filesystem"));
        }
        "PersistentVolume" => {
            let spec = section(object, "spec");
            set(spec, "volumeMode", json!("Filesystem"));
            set(spec, "persistentVolumeReclaimPolicy", json!("Retain"));
        }
        "CustomResourceDefinition" => {
            let spec = section(object, "spec");
            let kind = spec["names"]["kind"].as_str().unwrap_or_default().to_owned();
            set(&mut spec["names"], "singular", json!(kind.to_lowercase()));
            set(&mut spec["names"], "listKind", json!(format!("{kind}List")));
            set(spec, "conversion", json!({"strategy": "None"}));
        }
        "Ingress" => {
            for rule in items(object, "/spec/rules") {
                for path in items(rule, "/http/paths") {
                    set(path, "pathType", json!("ImplementationSpecific"));
                }
            }
        }
        "NetworkPolicy" => {
            let spec = section(object, "spec");
            let egress = spec["egress"].is_array();
            set(spec, "policyTypes", if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) });
        }
        "HorizontalPodAutoscaler" => set(section(object, "spec"), "minReplicas", json!(1)),
        "StorageClass" => {
            set(object, "reclaimPolicy", json!("Delete"));
            set(object, "volumeBindingMode", json!("Immediate"));
        }
        _ => {}
    }
}

fn deployment(spec: &mut Value) {
    set(spec, "replicas", json!(1));
    set(spec, "progressDeadlineSeconds", json!(600));
    set(spec, "revisionHistoryLimit", json!(10));
    let strategy = section(spec, "strategy");
    set(strategy, "type", json!("RollingUpdate"));
    if strategy["type"] == "RollingUpdate" {
        let rolling = section(strategy, "rollingUpdate");
        set(rolling, "maxSurge", json!("25%"));
        set(rolling, "maxUnavailable", json!("25%"));
    }
    template(spec);
}

fn stateful_set(spec: &mut Value) {
    set(spec, "replicas", json!(1));
    set(spec, "revisionHistoryLimit", json!(10));
    set(spec, "podManagementPolicy", json!("OrderedReady"));
    set(spec, "persistentVolumeClaimRetentionPolicy", json!({"whenDeleted": "Retain", "whenScaled": "Retain"}));
    let strategy = section(spec, "updateStrategy");
    set(strategy, "type", json!("RollingUpdate"));
    if strategy["type"] == "RollingUpdate" {
        set(section(strategy, "rollingUpdate"), "partition", json!(0));
    }
    for claim in items(spec, "/volumeClaimTemplates") {
        set(claim, "apiVersion", json!("v1"));
        set(claim, "kind", json!("PersistentVolumeClaim"));
        set(section(claim, "spec"), "volumeMode", json!("Filesystem"));
        set(claim, "status", json!({"phase": "Pending"}));
    }
    template(spec);
}

fn job(spec: &mut Value) {
    if spec["completions"].is_null() && spec["parallelism"].is_null() {
        set(spec, "completions", json!(1));
    }
    set(spec, "parallelism", json!(1));
    set(spec, "backoffLimit", json!(6));
    set(spec, "completionMode", json!("NonIndexed"));
    set(spec, "suspend", json!(false));
    set(spec, "manualSelector", json!(false));
    set(spec, "podReplacementPolicy", json!("TerminatingOrFailed"));
    template(spec);
}

/// A Job selects its pods by its own uid, which its creation gives it.
fn label_job(job: &mut Value) {
    if job["spec"]["manualSelector"] == true {
        return;
    }
    let uid = uuid::Uuid::new_v4().to_string();
    let name = job["metadata"]["name"].clone();
    job["spec"]["selector"] = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}});
    let labels = &mut job["spec"]["template"]["metadata"]["labels"];
    labels["batch.kubernetes.io/controller-uid"] = json!(uid);
    labels["controller-uid"] = json!(uid);
    labels["batch.kubernetes.io/job-name"] = name.clone();
    labels["job-name"] = name;
}

fn template(spec: &mut Value) {
    let template = section(spec, "template");
    if let Some(metadata) = template["metadata"].as_object_mut() {
        metadata.retain(|_, value| !value.is_null());
    }
    pod_spec(section(template, "spec"));
}

fn service(spec: &mut Value) {
    set(spec, "type", json!("ClusterIP"));
    set(spec, "sessionAffinity", json!("None"));
    if spec["type"] != "ExternalName" {
        set(spec, "internalTrafficPolicy", json!("Cluster"));
        set(spec, "ipFamilies", json!(["IPv4"]));
        set(spec, "ipFamilyPolicy", json!("SingleStack"));
    }
    let outside = matches!(spec["type"].as_str(), Some("NodePort" | "LoadBalancer"));
    if outside {
        set(spec, "externalTrafficPolicy", json!("Cluster"));
    }
    if spec["type"] == "LoadBalancer" {
        set(spec, "allocateLoadBalancerNodePorts", json!(true));
    }
    for port in items(spec, "/ports") {
        set(port, "protocol", json!("TCP"));
        let number = port["port"].clone();
        set(port, "targetPort", number);
    }
}

fn secret(secret: &mut Value) {
    set(secret, "type", json!("Opaque"));
    let Some(fields) = secret.as_object_mut() else { return };
    let Some(Value::Object(texts)) = fields.remove("stringData") else { return };
    let data = fields.entry("data").or_insert_with(|| json!({}));
    if data.is_null() {
        *data = json!({});
    }
    for (key, value) in texts {
        if let Some(text) = value.as_str() {
            data[&key] = json!(STANDARD.encode(text));
        }
    }
}

fn crd_status(object: &mut Value) {
    let time = crate::storage::now();
    let names = object["spec"]["names"].clone();
    let stored: Vec<Value> = object["spec"]["versions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|it| it["storage"] == true)
        .map(|it| it["name"].clone())
        .collect();
    object["status"] = json!({
        "conditions": [
            {"lastTransitionTime": time, "message": "no conflicts found", "reason": "NoConflicts",
                "status": "True", "type": "NamesAccepted"},
            {"lastTransitionTime": time, "message": "the initial names have been accepted",
                "reason": "InitialNamesAccepted", "status": "True", "type": "Established"}],
        "acceptedNames": names, "storedVersions": stored,
    });
}

/// The defaults of a pod's spec, also where it is in a template.
pub fn pod_spec(spec: &mut Value) {
    set(spec, "restartPolicy", json!("Always"));
    set(spec, "terminationGracePeriodSeconds", json!(30));
    set(spec, "dnsPolicy", json!("ClusterFirst"));
    set(spec, "securityContext", json!({}));
    set(spec, "schedulerName", json!("default-scheduler"));
    if let Some(account) = spec["serviceAccountName"].as_str().map(str::to_owned) {
        set(spec, "serviceAccount", json!(account));
    } else if let Some(account) = spec["serviceAccount"].as_str().map(str::to_owned) {
        set(spec, "serviceAccountName", json!(account));
    }
    for list in ["/containers", "/initContainers"] {
        for item in items(spec, list) {
            container(item);
        }
    }
    for volume in items(spec, "/volumes") {
        let known = volume.as_object().is_some_and(|it| it.keys().any(|key| key != "name"));
        if !known {
            set(volume, "emptyDir", json!({}));
        }
        for source in ["configMap", "secret", "projected", "downwardAPI"] {
            if volume.get(source).is_some_and(Value::is_object) {
                set(&mut volume[source], "defaultMode", json!(420));
            }
        }
        if volume.get("hostPath").is_some_and(Value::is_object) {
            set(&mut volume["hostPath"], "type", json!(""));
        }
        for item in items(volume, "/projected/sources") {
            if item.get("serviceAccountToken").is_some_and(Value::is_object) {
                set(&mut item["serviceAccountToken"], "expirationSeconds", json!(3600));
            }
        }
    }
    if let Some(fields) = spec.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
}

fn container(container: &mut Value) {
    let image = container["image"].as_str().unwrap_or_default();
    let last = image.rsplit('/').next().unwrap_or_default();
    let newest = !image.contains('@') && last.rsplit_once(':').is_none_or(|(_, tag)| tag == "latest");
    set(container, "imagePullPolicy", json!(if newest { "Always" } else { "IfNotPresent" }));
    set(container, "resources", json!({}));
    set(container, "terminationMessagePath", json!("/dev/termination-log"));
    set(container, "terminationMessagePolicy", json!("File"));
    if let Some(limits) = container["resources"]["limits"].as_object().cloned() {
        let requests = section(&mut container["resources"], "requests");
        for (name, amount) in limits {
            set(requests, &name, amount);
        }
    }
    for port in items(container, "/ports") {
        set(port, "protocol", json!("TCP"));
    }
    for variable in items(container, "/env") {
        if variable["valueFrom"].get("fieldRef").is_some_and(Value::is_object) {
            set(&mut variable["valueFrom"]["fieldRef"], "apiVersion", json!("v1"));
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if container.get(name).is_some_and(Value::is_object) {
            let probe = &mut container[name];
            for (field, value) in
                [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)]
            {
                set(probe, field, json!(value));
            }
            if probe.get("httpGet").is_some_and(Value::is_object) {
                set(&mut probe["httpGet"], "scheme", json!("HTTP"));
                set(&mut probe["httpGet"], "path", json!("/"));
            }
        }
    }
}

/// What admission adds to a pod, and its first status.
pub fn admit_pod(pod: &mut Value, service_accounts: bool) {
    let spec = &mut pod["spec"];
    set(spec, "enableServiceLinks", json!(true));
    set(spec, "preemptionPolicy", json!("PreemptLowerPriority"));
    set(spec, "priority", json!(0));
    if service_accounts {
        let account = spec["serviceAccountName"].as_str().filter(|it| !it.is_empty()).unwrap_or("default").to_owned();
        spec["serviceAccountName"] = json!(account);
        spec["serviceAccount"] = json!(account);
        if spec["automountServiceAccountToken"] != false {
            mount_token(spec);
        }
    }
    set(spec, "tolerations", json!([]));
    if let Some(tolerations) = spec["tolerations"].as_array_mut() {
        for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
            let told =
                tolerations.iter().any(|it| it["key"] == key || it["key"].is_null() && it["operator"] == "Exists");
            if !told {
                tolerations
                    .push(json!({"effect": "NoExecute", "key": key, "operator": "Exists", "tolerationSeconds": 300}));
            }
        }
    }
    let qos = quality_of_service(spec);
    pod["status"] = json!({"phase": "Pending", "qosClass": qos});
}

const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The volume by which clients in a pod find and trust the API server, in every container that has none of its own.
fn mount_token(spec: &mut Value) {
    let mut used = false;
    let name = format!("kube-api-access-{}", crate::names::suffix());
    for list in ["/containers", "/initContainers"] {
        for container in items(spec, list) {
            let has = container["volumeMounts"]
                .as_array()
                .is_some_and(|all| all.iter().any(|it| it["mountPath"] == TOKEN_PATH));
            if has {
                continue;
            }
            set(container, "volumeMounts", json!([]));
            if let Some(mounts) = container["volumeMounts"].as_array_mut() {
                mounts.push(json!({"name": name, "mountPath": TOKEN_PATH, "readOnly": true}));
                used = true;
            }
        }
    }
    if !used {
        return;
    }
    set(spec, "volumes", json!([]));
    if let Some(volumes) = spec["volumes"].as_array_mut() {
        volumes.push(json!({"name": name, "projected": {"defaultMode": 420, "sources": [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace",
                "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}}]}}));
    }
}

fn quality_of_service(spec: &Value) -> &'static str {
    let mut all_guaranteed = true;
    let mut any = false;
    for container in ["containers", "initContainers"].iter().flat_map(|it| spec[*it].as_array().into_iter().flatten()) {
        let map = |it: &Value| -> Map<String, Value> { it.as_object().cloned().unwrap_or_default() };
        let (requests, limits) = (map(&container["resources"]["requests"]), map(&container["resources"]["limits"]));
        any |= ["cpu", "memory"].iter().any(|it| requests.contains_key(*it) || limits.contains_key(*it));
        all_guaranteed &= ["cpu", "memory"]
            .iter()
            .all(|it| limits.get(*it).is_some_and(|limit| requests.get(*it).is_none_or(|request| request == limit)));
    }
    match (any, all_guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}
