//! The rows that `kubectl get` prints: columns per kind, `-o wide` ones with priority 1.

use std::sync::Arc;

use serde_json::{Value, json};

use super::read::metadata_only;
use super::table_cells as cells;
use crate::kinds::Kind;

type Cell = fn(&Value) -> Value;

/// Name, type, priority and what stands in it.
type Column = (&'static str, &'static str, u8, Cell);

const NAME: Column = ("Name", "string", 0, |it| it["metadata"]["name"].clone());
const AGE: Column = ("Age", "string", 0, cells::age);

const POD: &[Column] = &[
    NAME,
    ("Ready", "string", 0, cells::pod_ready),
    ("Status", "string", 0, cells::pod_status),
    ("Restarts", "string", 0, cells::pod_restarts),
    AGE,
    ("IP", "string", 1, |it| cells::or_none(&it["status"]["podIP"])),
    ("Node", "string", 1, |it| cells::or_none(&it["spec"]["nodeName"])),
    ("Nominated Node", "string", 1, |it| cells::or_none(&it["status"]["nominatedNodeName"])),
    ("Readiness Gates", "string", 1, |_| json!("<none>")),
];
const DEPLOYMENT: &[Column] = &[
    NAME,
    ("Ready", "string", 0, cells::ready_of_wanted),
    ("Up-to-date", "string", 0, |it| cells::number(&it["status"]["updatedReplicas"])),
    ("Available", "string", 0, |it| cells::number(&it["status"]["availableReplicas"])),
    AGE,
    ("Containers", "string", 1, cells::template_containers),
    ("Images", "string", 1, cells::template_images),
    ("Selector", "string", 1, cells::selector),
];
const REPLICA_SET: &[Column] = &[
    NAME,
    ("Desired", "integer", 0, |it| cells::number(&it["spec"]["replicas"])),
    ("Current", "integer", 0, |it| cells::number(&it["status"]["replicas"])),
    ("Ready", "integer", 0, |it| cells::number(&it["status"]["readyReplicas"])),
    AGE,
    ("Containers", "string", 1, cells::template_containers),
    ("Images", "string", 1, cells::template_images),
    ("Selector", "string", 1, cells::selector),
];
const STATEFUL_SET: &[Column] = &[
    NAME,
    ("Ready", "string", 0, cells::ready_of_wanted),
    AGE,
    ("Containers", "string", 1, cells::template_containers),
    ("Images", "string", 1, cells::template_images),
];
const DAEMON_SET: &[Column] = &[
    NAME,
    ("Desired", "integer", 0, |it| cells::number(&it["status"]["desiredNumberScheduled"])),
    ("Current", "integer", 0, |it| cells::number(&it["status"]["currentNumberScheduled"])),
    ("Ready", "integer", 0, |it| cells::number(&it["status"]["numberReady"])),
    ("Up-to-date", "integer", 0, |it| cells::number(&it["status"]["updatedNumberScheduled"])),
    ("Available", "integer", 0, |it| cells::number(&it["status"]["numberAvailable"])),
    ("Node Selector", "string", 0, |it| cells::labels(&it["spec"]["template"]["spec"]["nodeSelector"])),
    AGE,
];
const JOB: &[Column] = &[
    NAME,
    ("Status", "string", 0, cells::job_status),
    ("Completions", "string", 0, cells::job_completions),
    ("Duration", "string", 0, cells::job_duration),
    AGE,
    ("Containers", "string", 1, cells::template_containers),
    ("Images", "string", 1, cells::template_images),
];
const CRON_JOB: &[Column] = &[
    NAME,
    ("Schedule", "string", 0, |it| it["spec"]["schedule"].clone()),
    ("Timezone", "string", 0, |it| cells::or_none(&it["spec"]["timeZone"])),
    ("Suspend", "boolean", 0, |it| json!(cells::go_bool(&it["spec"]["suspend"]))),
    ("Active", "integer", 0, |it| json!(it["status"]["active"].as_array().map_or(0, Vec::len))),
    ("Last Schedule", "string", 0, |it| cells::since(&it["status"]["lastScheduleTime"], "<none>")),
    AGE,
];
const SERVICE: &[Column] = &[
    NAME,
    ("Type", "string", 0, |it| it["spec"]["type"].clone()),
    ("Cluster-IP", "string", 0, |it| cells::or_none(&it["spec"]["clusterIP"])),
    ("External-IP", "string", 0, |it| cells::or_none(&it["spec"]["externalIPs"][0])),
    ("Port(s)", "string", 0, cells::service_ports),
    AGE,
    ("Selector", "string", 1, |it| cells::labels(&it["spec"]["selector"])),
];
const CONFIG_MAP: &[Column] =
    &[NAME, ("Data", "integer", 0, |it| json!(cells::entries(&it["data"]) + cells::entries(&it["binaryData"]))), AGE];
const SECRET: &[Column] = &[
    NAME,
    ("Type", "string", 0, |it| it["type"].clone()),
    ("Data", "integer", 0, |it| json!(cells::entries(&it["data"]))),
    AGE,
];
const EVENT: &[Column] = &[
    ("Last Seen", "string", 0, cells::event_seen),
    ("Type", "string", 0, |it| it["type"].clone()),
    ("Reason", "string", 0, |it| it["reason"].clone()),
    ("Object", "string", 0, cells::event_object),
    ("Subobject", "string", 1, |it| it["involvedObject"]["fieldPath"].clone()),
    ("Source", "string", 1, |it| it["source"]["component"].clone()),
    ("Message", "string", 0, |it| it.get("message").unwrap_or(&it["note"]).clone()),
    ("First Seen", "string", 1, |it| cells::since(&it["firstTimestamp"], "<unknown>")),
    ("Count", "string", 1, |it| cells::number(&it["count"])),
    ("Name", "string", 1, |it| it["metadata"]["name"].clone()),
];
const NAMESPACE: &[Column] = &[NAME, ("Status", "string", 0, |it| it["status"]["phase"].clone()), AGE];
const NODE: &[Column] = &[
    NAME,
    ("Status", "string", 0, cells::node_status),
    ("Roles", "string", 0, |_| json!("<none>")),
    AGE,
    ("Version", "string", 0, |it| it["status"]["nodeInfo"]["kubeletVersion"].clone()),
    ("Internal-IP", "string", 1, |it| cells::or_none(&it["status"]["addresses"][0]["address"])),
    ("External-IP", "string", 1, |_| json!("<none>")),
    ("OS-Image", "string", 1, |it| cells::or_none(&it["status"]["nodeInfo"]["osImage"])),
    ("Kernel-Version", "string", 1, |it| cells::or_none(&it["status"]["nodeInfo"]["kernelVersion"])),
    ("Container-Runtime", "string", 1, |it| cells::or_none(&it["status"]["nodeInfo"]["containerRuntimeVersion"])),
];
const CLAIM: &[Column] = &[
    NAME,
    ("Status", "string", 0, |it| it["status"]["phase"].clone()),
    ("Volume", "string", 0, |it| cells::text(&it["spec"]["volumeName"])),
    ("Capacity", "string", 0, |it| cells::text(&it["status"]["capacity"]["storage"])),
    ("Access Modes", "string", 0, cells::access_modes),
    ("StorageClass", "string", 0, |it| cells::text(&it["spec"]["storageClassName"])),
    ("VolumeAttributesClass", "string", 0, |_| json!("<unset>")),
    AGE,
    ("VolumeMode", "string", 1, |it| cells::text(&it["spec"]["volumeMode"])),
];
const SERVICE_ACCOUNT: &[Column] =
    &[NAME, ("Secrets", "integer", 0, |it| json!(it["secrets"].as_array().map_or(0, Vec::len))), AGE];
const ENDPOINTS: &[Column] = &[NAME, ("Endpoints", "string", 0, cells::endpoints), AGE];
const INGRESS: &[Column] = &[
    NAME,
    ("Class", "string", 0, |it| cells::or_none(&it["spec"]["ingressClassName"])),
    ("Hosts", "string", 0, cells::ingress_hosts),
    ("Address", "string", 0, |it| cells::text(&it["status"]["loadBalancer"]["ingress"][0]["ip"])),
    ("Ports", "string", 0, |it| json!(if it["spec"]["tls"].is_array() { "80, 443" } else { "80" })),
    AGE,
];
const BINDING: &[Column] = &[NAME, ("Role", "string", 0, cells::role), AGE];
const CREATED: &[Column] = &[NAME, ("Created At", "date", 0, |it| it["metadata"]["creationTimestamp"].clone())];
const PLAIN: &[Column] = &[NAME, AGE];

fn columns(kind: &Kind) -> &'static [Column] {
    if kind.custom {
        return PLAIN;
    }
    match kind.kind.as_str() {
        "Pod" => POD,
        "Deployment" => DEPLOYMENT,
        "ReplicaSet" | "ReplicationController" => REPLICA_SET,
        "StatefulSet" => STATEFUL_SET,
        "DaemonSet" => DAEMON_SET,
        "Job" => JOB,
        "CronJob" => CRON_JOB,
        "Service" => SERVICE,
        "ConfigMap" => CONFIG_MAP,
        "Secret" => SECRET,
        "Event" => EVENT,
        "Namespace" => NAMESPACE,
        "Node" => NODE,
        "PersistentVolumeClaim" => CLAIM,
        "ServiceAccount" => SERVICE_ACCOUNT,
        "Endpoints" => ENDPOINTS,
        "Ingress" => INGRESS,
        "RoleBinding" | "ClusterRoleBinding" => BINDING,
        "Role" | "ClusterRole" | "CustomResourceDefinition" => CREATED,
        _ => PLAIN,
    }
}

/// What rows carry of their objects: `includeObject`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Include {
    Nothing,
    #[default]
    Metadata,
    Object,
}

/// A Table of objects; rows carry the objects' metadata, so that clients know what they are about.
pub fn table(kind: &Kind, objects: &[Arc<Value>], metadata: &Value, include: Include) -> Value {
    let columns = columns(kind);
    let definitions: Vec<Value> = columns
        .iter()
        .map(|(name, of, priority, _)| {
            let format = if *name == "Name" { "name" } else { "" };
            json!({"name": name, "type": of, "format": format, "description": "", "priority": priority})
        })
        .collect();
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let cells: Vec<Value> = columns.iter().map(|(_, _, _, cell)| cell(object)).collect();
            match include {
                Include::Metadata => json!({"cells": cells, "object": metadata_only(object)}),
                Include::Object => json!({"cells": cells, "object": **object}),
                Include::Nothing => json!({"cells": cells}),
            }
        })
        .collect();
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "columnDefinitions": definitions,
        "rows": rows,
    })
}
