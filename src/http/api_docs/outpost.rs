//! `/services` and what is beside it: what hubs with OutpostSpawner use.

use serde_json::{Value, json};

use super::operation::{Operation, PathItem, component};

pub const TAG: &str = "Outpost's protocol";

pub fn paths() -> Vec<(&'static str, Value)> {
    let ping = Operation::new("get", "ping", "Does it answer?", "Says only that the process answers.").answer(
        "200",
        "It does.",
        &json!({"type": "object", "properties": {"ping": {"const": "pong!"}}, "required": ["ping"]}),
    );
    let list = Operation::new(
        "get",
        "listOutpostServices",
        "All services of the calling hub",
        "Oldest first. Services that were started at `/api/services/` are not among them.",
    )
    .answer("200", "The services.", &json!({"type": "array", "items": component("OutpostService")}));
    let one = PathItem::new("/services/{name}/{start_id}/", TAG, vec![poll(), stop()])
        .parameter(
            "name",
            "The server's name, as it was in the body of its start. Empty for a user's default server (`/services//<start_id>`).",
            &json!({"type": "string", "maxLength": 255}),
        )
        .parameter(
            "start_id",
            "`user_options.start_id` of its start; without it the start that had none.",
            &json!({"type": "string", "minLength": 1, "maxLength": 255}),
        );
    vec![
        PathItem::new("/ping", TAG, vec![ping]).open(),
        PathItem::new("/services/", TAG, vec![list, start()]).behind_basic(),
        one.behind_basic(),
    ]
}

fn start() -> Operation {
    Operation::new(
        "post",
        "startOutpostService",
        "Start a server",
        "Renders a service description (`user_options.service`, else what `outpost` of the configuration says) and creates \
         its objects. Answered once the main container is ready, or as soon as it certainly will not be. The same start again \
         (name and start id) is answered alike and changes nothing; a newer start of the same user and name replaces an older \
         one whose objects have the same names.",
    )
    .header(
        "execution-type",
        "`async`: answered as soon as the start is on its way, without an address.",
        &json!({"type": "string"}),
    )
    .outpost_body("OutpostStart", &examples())
    .answer("200", "It is up: where the hub reaches it.", &component("OutpostStarted"))
    .answer("202", "It is on its way (`execution-type: async`).", &component("OutpostStarted"))
    .refusal("419", "It failed, and nothing of it is left; `args` tells the user why.", "OutpostFailure")
}

fn poll() -> Operation {
    collecting(Operation::new(
        "get",
        "pollOutpostService",
        "Poll a server",
        "`status` is null while it is alive or may come up yet, else its exit code, and stays so until it is stopped.",
    ))
    .answer("200", "How it is.", &component("OutpostStatus"))
    .not_found()
}

fn stop() -> Operation {
    collecting(Operation::new(
        "delete",
        "stopOutpostService",
        "Stop a server",
        "Recorded at once and carried out whatever state the cluster is in. Ends a start that is waited for.",
    ))
    .header("execution-type", "`async`: not waited for.", &json!({"type": "string"}))
    .answer("200", "It is stopped.", &component("OutpostLogs"))
    .answer("202", "It is being stopped (`execution-type: async`).", &json!({"type": "object", "maxProperties": 0}))
    .not_found()
}

fn collecting(operation: Operation) -> Operation {
    let values = json!({"type": "string", "enum": ["true", "false"]});
    operation.query("collect_logs", "`true`: with the last lines that the main container wrote.", &values)
}

fn examples() -> Value {
    let start = json!({
        "name": "lab",
        "env": {"JUPYTERHUB_USER": "ada", "JUPYTERHUB_USER_ID": "7", "JUPYTERHUB_API_TOKEN": "0123456789abcdef"},
        "user_options": {"start_id": "1a2b3c4d", "service": "JupyterLab/Default"},
        "misc": {"port": 8888, "pod_name_template": "jupyter-{username}--{servername}", "start_timeout": 5},
    });
    json!({"start": {"summary": "What OutpostSpawner sends", "value": start}})
}

/// The shapes of these resources.
pub fn schemas() -> Value {
    let (text, date) = (json!({"type": "string"}), json!({"type": "string", "description": "UTC, without a zone."}));
    let logs = json!({"type": "array", "items": text});
    let flag = json!({"type": "boolean"});
    let entry = json!({
        "name": text, "start_id": text, "start_date": date, "end_date": date, "jupyterhub": text,
        "jupyterhub_userid": text, "last_update": date, "state_stored": flag, "start_pending": flag, "stop_pending": flag,
    });
    let keys: Vec<_> = entry.as_object().into_iter().flat_map(|it| it.keys().cloned()).collect();
    json!({
        "OutpostStart": start_schema(),
        "OutpostStarted": {
            "type": "object",
            "properties": {"service": {"type": "string", "description": "`http(s)://<host>:<port>`, or nothing."}},
            "required": ["service"],
            "additionalProperties": false,
        },
        "OutpostStatus": {
            "type": "object",
            "properties": {"status": {"type": ["integer", "null"]}, "logs": logs},
            "required": ["status", "logs"],
            "additionalProperties": false,
        },
        "OutpostLogs": {"type": "object", "properties": {"logs": logs}, "required": ["logs"], "additionalProperties": false},
        "OutpostService": {"type": "object", "properties": entry, "required": keys, "additionalProperties": false},
        "OutpostFailure": {
            "type": "object",
            "properties": {
                "module": text, "class": text, "traceback": text, "args": {"type": "array", "items": text},
                "kwargs": {"type": "object"},
            },
            "required": ["module", "class", "traceback", "args", "kwargs"],
            "additionalProperties": false,
        },
        "OutpostInvalid": {
            "type": "object",
            "properties": {"detail": {"type": "array", "minItems": 1, "items": {
                "type": "object",
                "properties": {"type": text, "loc": {"type": "array", "items": text}, "msg": text},
                "required": ["type", "loc", "msg"],
                "additionalProperties": false,
            }}},
            "required": ["detail"],
            "additionalProperties": false,
        },
    })
}

fn start_schema() -> Value {
    let object = |description: &str| json!({"type": "object", "description": description});
    json!({
        "type": "object",
        "description": "Keys that are not listed are ignored.",
        "properties": {
            "name": {"type": "string", "maxLength": 255, "description": "The server's name; empty for the default server."},
            "env": object("The server's environment; becomes a Secret. Values that are not text become what Python's `str()` gives."),
            "user_options": object("What the user chose, at most 256 KiB. `start_id` is taken out of it; `service` or `profile` \
                chooses the description; `flavor` what it counts as."),
            "misc": object("Settings for the description, as far as `allow_override` of the configuration admits them."),
            "certs": object("Certificates of the server (PEM): `keyfile`, `certfile` and `cafile`; become a Secret."),
            "internal_trust_bundles": object("Authorities (PEM) of the hub and its services."),
            "flavor": {"type": "string", "description": "Where `user_options` has none."},
            "authentication": {"description": "What the hub knows of the user. Not stored."},
        },
        "required": ["name"],
    })
}
