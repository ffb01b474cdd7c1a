//! `/api/services/`: what hubs use.

use serde_json::{Value, json};

use super::operation::{Operation, PathItem, component};
use crate::http::{SERVICE, SERVICES};

const TAG: &str = "services";

pub fn paths() -> Vec<(&'static str, Value)> {
    let list = Operation::new(
        "get",
        "listServices",
        "All services of the caller",
        "Oldest first, without `running`. Each hub sees its own services only, a superuser too.",
    )
    .answer("200", "The services.", &json!({"type": "array", "items": component("Service")}));

    let one = PathItem::new("/api/services/{name}/", TAG, vec![poll(), update("put"), update("patch"), stop()])
        .parameter(
            "name",
            "The server's name, as it was in the header `uuidcode` of its start.",
            &json!({"type": "string", "minLength": 1, "maxLength": 255}),
        );
    vec![PathItem::new("/api/services/", TAG, vec![list, start()]).within(SERVICES), one.within(SERVICE)]
}

fn start() -> Operation {
    let server_name = json!({"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-.0-~]+$"});
    let next = json!({"name": "$response.body#/servername"});
    Operation::new(
        "post",
        "startService",
        "Start a server",
        "Renders the service description for this user, makes the user's home and creates the objects. The same start \
         again (name and `start_id`) changes nothing and is answered alike. A newer start of a name ends the older one.\n\n\
         Further headers may become part of the server's environment: `custom_headers_keys` of the configuration.",
    )
    .header("uuidcode", "The server's name, unique in the installation; without one a name is made.", &server_name)
    .header("access-token", "Becomes part of the server's environment.", &json!({"type": "string"}))
    .body("Start", true, &examples())
    .answer("201", "The server is being started, or was already.", &component("Service"))
    .refusal(
        "500",
        "The start failed, and nothing of it is left: `error` is a headline for the user, `detailed_error` the reason.",
        "FailureOrDetail",
    )
    .link("201", "pollService", &next)
    .link("201", "updateService", &next)
    .link("201", "stopService", &next)
}

fn poll() -> Operation {
    Operation::new(
        "get",
        "pollService",
        "Poll a server",
        "Whether it runs. `running` is false only on certain evidence, and stays so; `details` then say why. While the \
         cluster cannot be reached the last known state is told.",
    )
    .answer("200", "The service and whether it runs.", &component("ServiceStatus"))
    .not_found()
}

fn update(method: &'static str) -> Operation {
    let id = if method == "put" { "updateService" } else { "patchService" };
    Operation::new(
        method,
        id,
        "Apply update.yaml",
        "Applies the `update.yaml` of the description, as it was rendered at the start, then answers as a poll does. A \
         body is not looked at.",
    )
    .answer("200", "The service and whether it runs.", &component("ServiceStatus"))
    .not_found()
    .refusal("500", "The update failed.", "FailureOrDetail")
}

fn stop() -> Operation {
    Operation::new(
        "delete",
        "stopService",
        "Stop a server",
        "Recorded at once and carried out whatever state the cluster is in, for as long as it takes. All that the start \
         made is deleted, but for what is marked `k8smgr.io/keep`.",
    )
    .empty("204", "The server is being stopped.")
    .not_found()
}

fn examples() -> Value {
    let start = json!({
        "env": {
            "JUPYTERHUB_STATUS_URL": "/users/ada/servers/lab/progress/events",
            "JUPYTERHUB_API_TOKEN": "0123456789abcdef0123456789abcdef",
            "JUPYTERHUB_USER_ID": 7,
        },
        "user_options": {"service": "JupyterLab/Default"},
        "start_id": "1a2b3c4d",
    });
    json!({"start": {"summary": "What a hub sends", "value": start}})
}

/// The shapes of these resources.
pub fn schemas() -> Value {
    let mut status = service_properties();
    status["running"] =
        json!({"type": "boolean", "description": "False: the server has ended. It is not started again."});
    status["details"] = component("Failure");
    let service_keys =
        ["servername", "start_id", "user_options", "jhub_user_id", "jhub_credential", "start_date", "stop_pending"];
    let status_keys: Vec<_> = service_keys.iter().copied().chain(["running"]).collect();
    json!({
        "Start": start_schema(),
        "Service": {
            "type": "object",
            "properties": service_properties(),
            "required": service_keys,
            "additionalProperties": false,
        },
        "ServiceStatus": {
            "type": "object",
            "properties": status,
            "required": status_keys,
            "additionalProperties": false,
        },
    })
}

fn start_schema() -> Value {
    let pem = |what: &str| json!({"type": "string", "description": what});
    json!({
        "type": "object",
        "description": "Keys that are not listed are ignored.",
        "properties": {
            "env": {
                "type": "object",
                "description": "The server's environment; becomes a Secret. Values that are not text become what \
                    Python's `str()` gives.",
                "properties": {
                    "JUPYTERHUB_STATUS_URL": {"description": "Where progress is told, a text: an address, or a path of JUPYTERHUB_API_URL."},
                    "JUPYTERHUB_API_TOKEN": {"description": "A text."},
                    "JUPYTERHUB_USER_ID": {
                        "description": "The user's number at the hub, as a number or as text.",
                        "anyOf": [{"type": "integer", "format": "int64"}, {"type": "string", "pattern": "^ *-?[0-9]{1,18} *$"}],
                    },
                },
                "required": ["JUPYTERHUB_STATUS_URL", "JUPYTERHUB_API_TOKEN", "JUPYTERHUB_USER_ID"],
            },
            "user_options": {
                "type": "object",
                "description": "What the user chose, at most 256 KiB; echoed by every answer, and the context of templates.",
                "properties": {
                    "service": {
                        "type": "string",
                        "maxLength": 255,
                        "description": "The service description: a relative path below the caller's descriptions.",
                    },
                },
                "required": ["service"],
            },
            "start_id": {
                "type": ["string", "number"],
                "minLength": 1,
                "maxLength": 255,
                "description": "Tells this start of the server from the next one.",
            },
            "certs": {
                "type": ["object", "null"],
                "description": "Certificates of the server (PEM), where the hub encrypts internally; become a Secret.",
                "properties": {
                    "keyfile": pem("The server's key."),
                    "certfile": pem("The server's certificate."),
                    "cafile": pem("The authority that signed the hub's."),
                },
            },
            "auth_state": {"type": ["object", "null"], "description": "Not stored and not used."},
        },
        "required": ["env", "user_options", "start_id"],
    })
}

fn service_properties() -> Value {
    json!({
        "servername": {"type": "string", "description": "The header `uuidcode` of the start."},
        "start_id": {"type": "string"},
        "user_options": {"type": "object", "description": "As they were sent."},
        "jhub_user_id": {"type": "integer", "description": "`JUPYTERHUB_USER_ID` of the environment."},
        "jhub_credential": {"type": "string", "description": "The login that started it."},
        "start_date": {"type": "string", "format": "date-time", "description": "UTC."},
        "stop_pending": {"type": "boolean", "description": "It is being stopped."},
    })
}
