//! `/api/userjobs/`: what hubs use to connect a server to a job on an HPC system.

use serde_json::{Value, json};

use super::operation::{Operation, PathItem, component};
use crate::http::{USER_JOB, USER_JOBS};

const TAG: &str = "user jobs";

pub fn paths() -> Vec<(&'static str, Value)> {
    let list = Operation::new("get", "listUserJobs", "The caller's user jobs", "Oldest first.").answer(
        "200",
        "The user jobs.",
        &json!({"type": "array", "items": component("UserJob")}),
    );
    let get = Operation::new("get", "getUserJob", "One user job", "")
        .answer("200", "The user job.", &component("UserJob"))
        .not_found();
    let delete = Operation::new(
        "delete",
        "deleteUserJob",
        "End a user job",
        "Its forwards and its Service are removed, for as long as it takes.",
    )
    .empty("204", "It is removed, or being removed.")
    .not_found();
    let service = json!({"type": "string", "minLength": 1, "maxLength": 63});
    vec![
        PathItem::new("/api/userjobs/", TAG, vec![list, create()]).within(USER_JOBS),
        PathItem::new("/api/userjobs/{service}/", TAG, vec![get, delete])
            .parameter("service", "The name of its Service.", &service)
            .within(USER_JOB),
    ]
}

fn create() -> Operation {
    let next = json!({"service": "$response.body#/service"});
    let example = json!({
        "service": "lab1-job",
        "ports": {"8080": 59998, "8081": "59999"},
        "hostname": "login01",
        "target_node": "node0050",
    });
    Operation::new(
        "post",
        "createUserJob",
        "Connect to a user job",
        "Makes a Service of this name whose ports lead through ssh to ports of a node. The job ends with the server that the \
         header `uuidcode` names, where there is one.",
    )
    .header(
        "uuidcode",
        "The server that asks; without it the server that is called as the job is.",
        &json!({"type": "string"}),
    )
    .body("NewUserJob", true, &json!({"job": {"summary": "Two ports", "value": example}}))
    .answer("201", "It is connected.", &component("UserJob"))
    .refusal("500", "It could not be connected, and nothing of it is left.", "FailureOrDetail")
    .link("201", "getUserJob", &next)
    .link("201", "deleteUserJob", &next)
}

/// The shapes of these resources.
pub fn schemas() -> Value {
    let service = json!({
        "type": "string",
        "pattern": "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$",
        "description": "The name of the Service.",
    });
    let hostname = json!({
        "type": "string",
        "minLength": 1,
        "maxLength": 253,
        "description": "The ssh configuration names it as `Host tunnel_<hostname>`.",
    });
    let target_node = json!({
        "type": "string",
        "minLength": 1,
        "maxLength": 253,
        "description": "The node, as that host knows it; one of `userjobs.allowed_target_nodes`.",
    });
    let number = json!({"type": "integer", "minimum": 1, "maximum": 65535});
    let text = json!({"type": "string", "pattern": "^[1-9][0-9]{0,4}$"});
    json!({
        "NewUserJob": {
            "type": "object",
            "description": "Keys that are not listed are ignored.",
            "properties": {
                "service": service,
                "ports": {
                    "type": "object",
                    "description": "From the Service's port to the node's.",
                    "propertyNames": {"pattern": "^[1-9][0-9]{0,4}$"},
                    "additionalProperties": {"anyOf": [number, text]},
                    "minProperties": 1,
                    "maxProperties": 32,
                },
                "hostname": hostname,
                "target_node": target_node,
            },
            "required": ["service", "ports", "hostname", "target_node"],
        },
        "UserJob": {
            "type": "object",
            "properties": {
                "service": {"type": "string"},
                "hostname": {"type": "string"},
                "target_node": {"type": "string"},
            },
            "required": ["service", "hostname", "target_node"],
            "additionalProperties": false,
        },
    })
}
