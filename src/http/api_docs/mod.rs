//! The description of this API (OpenAPI 3.1) at `/api-docs`, and the page at `/docs` that shows it.
//!
//! It is made of the areas, groups, kinds of handlers and views that the resources work with. Tests compare it with the
//! URL table, with the committed `docs/openapi.json` and, by schemathesis, with what is answered.

mod flavors;
mod logs;
mod open;
mod operation;
mod outpost;
mod page;
mod services;
mod user_jobs;
mod users;

use std::sync::LazyLock;

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use self::operation::component;
use super::{ApiError, Call, Reply};

pub use self::page::{asset, page};

const ALLOW: &str = "GET, HEAD";

/// `/api-docs`.
pub fn description(call: Call) -> Reply {
    static TEXT: LazyLock<String> = LazyLock::new(|| document().to_string());
    readable(call, || Reply::json(StatusCode::OK, TEXT.clone()))
}

/// `docs/openapi.json`.
pub fn openapi() -> String {
    serde_json::to_string_pretty(&document()).map(|text| text + "\n").unwrap_or_default()
}

fn readable(call: Call, reply: impl FnOnce() -> Reply) -> Reply {
    match call.method {
        Method::GET | Method::HEAD => reply().allowing(ALLOW),
        method => Reply::error(&ApiError::MethodNotAllowed(method), Some(ALLOW)),
    }
}

fn document() -> Value {
    let mut paths = Map::new();
    for (path, item) in [
        services::paths(),
        outpost::paths(),
        flavors::paths(),
        user_jobs::paths(),
        logs::paths(),
        users::paths(),
        open::paths(),
    ]
    .concat()
    {
        paths.insert(path.to_owned(), item);
    }
    let schemas: Map<String, Value> = [
        services::schemas(),
        outpost::schemas(),
        flavors::schemas(),
        user_jobs::schemas(),
        logs::schemas(),
        users::schemas(),
        errors(),
    ]
    .into_iter()
    .filter_map(|it| if let Value::Object(schemas) = it { Some(schemas) } else { None })
    .flatten()
    .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "K8s Manager",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Starts, polls and stops the servers of JupyterHub users on Kubernetes",
            "description": INTRODUCTION,
            "license": {"name": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [
            {"name": "services", "description": "Hubs start, poll and stop the servers of their users. For `access_to_webservice`."},
            {"name": outpost::TAG, "description": "The same for hubs with OutpostSpawner, also beneath OUTPOST_BASE_PATH. For `access_to_webservice`."},
            {"name": "user jobs", "description": "Hubs connect servers to jobs on HPC systems. For `access_to_webservice`."},
            {"name": "log handlers", "description": "Operators say where log lines go, while it runs. For `access_to_logging`."},
            {"name": "users", "description": "Superusers manage hubs and operators."},
            {"name": "health", "description": "For probes. No credentials."},
            {"name": "about the API", "description": "No credentials."},
        ],
        "security": [{"password": []}, {"token": []}],
        "paths": paths,
        "components": {"securitySchemes": security_schemes(), "schemas": schemas, "responses": responses()},
    })
}

const INTRODUCTION: &str = "Every path works with and without the slash at its end. A method that a path does not know is \
    answered 405, a path that is not known 404, both with `{\"detail\": ...}`; `Allow` lists the methods. Credentials are \
    looked at first (401), then groups (403), then the method (405), then the body (400, 413, 415). The header `uuidcode` \
    of any request is on every log line of that request.";

fn security_schemes() -> Value {
    json!({
        "password": {"type": "http", "scheme": "basic", "description": "A user's name and password."},
        "token": {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "A user's token, as `token <token>`, with the word before it.",
        },
    })
}

/// What answers to calls hold that went wrong.
fn errors() -> Value {
    let text = json!({"type": "string"});
    let texts = json!({"type": "array", "items": {"type": "string"}, "minItems": 1});
    json!({
        "Detail": {
            "type": "object",
            "properties": {"detail": text},
            "required": ["detail"],
            "additionalProperties": false,
        },
        "Texts": texts,
        "Fields": {
            "type": "object",
            "description": "What is wrong with which field.",
            "additionalProperties": texts,
            "minProperties": 1,
        },
        "BadInput": {"anyOf": [component("Detail"), component("Texts"), component("Fields")]},
        "Failure": {
            "type": "object",
            "properties": {
                "error": {"type": "string", "description": "A headline for the user."},
                "detailed_error": {"type": "string", "description": "HTML that a hub shows to the user."},
            },
            "required": ["error", "detailed_error"],
            "additionalProperties": false,
        },
        "FailureOrDetail": {"anyOf": [component("Failure"), component("Detail")]},
        "Name": {
            "type": "object",
            "properties": {"name": text},
            "required": ["name"],
            "additionalProperties": false,
        },
    })
}

/// What any call may be answered with.
fn responses() -> Value {
    let detail = json!({"application/json": {"schema": component("Detail")}});
    json!({
        "TooLargeHead": {"description": "Request line and headers are longer than `http.max_header_bytes`."},
        "Internal": {"description": "Something failed inside; the log says what.", "content": detail},
        "Unavailable": {
            "description": "Credentials cannot be checked now, or the request took longer than \
                `http.request_timeout_seconds`. Try again.",
            "content": detail,
        },
        "Bodyless": {"description": "As GET, without a body."},
    })
}
