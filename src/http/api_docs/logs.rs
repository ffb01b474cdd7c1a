//! `/api/logs/`: what operators use. Kinds, keys and defaults are those that the handlers are made from.

use serde_json::{Map, Value, json};

use super::operation::{Operation, PathItem, component};
use crate::http::{LOG_HANDLER, LOG_HANDLERS, LOG_TEST};
use crate::log_handlers::HandlerKind;

const TAG: &str = "log handlers";

pub fn paths() -> Vec<(&'static str, Value)> {
    let list = Operation::new("get", "listLogHandlers", "All log handlers", "In the order in which they were made.")
        .answer("200", "The handlers.", &json!({"type": "array", "items": component("LogHandler")}));
    let get = Operation::new("get", "getLogHandler", "One log handler", "And whether it fails or has lost records.")
        .answer("200", "The handler.", &component("LogHandler"))
        .not_found();
    let delete = Operation::new("delete", "deleteLogHandler", "Remove a log handler", "")
        .empty("204", "It logs no more.")
        .not_found();
    let log_test = Operation::new(
        "get",
        "logTest",
        "Log one record on every level",
        "From TRACE to CRITICAL, so that an operator sees which handler takes what.",
    )
    .empty("200", "The records are with the handlers.");
    let kinds = HandlerKind::ALL.map(HandlerKind::as_str);
    vec![
        PathItem::new("/api/logs/handler/", TAG, vec![list, add()]).within(LOG_HANDLERS),
        PathItem::new("/api/logs/handler/{handler}/", TAG, vec![get, change("put"), change("patch"), delete])
            .parameter("handler", "Which of the four.", &json!({"type": "string", "enum": kinds}))
            .within(LOG_HANDLER),
        PathItem::new("/api/logs/logtest/", TAG, vec![log_test]).within(LOG_TEST),
    ]
}

fn add() -> Operation {
    let next = json!({"handler": "$response.body#/handler"});
    let file = json!({"handler": "file", "configuration": {"filename": "/tmp/k8smgr.log", "level": "INFO"}});
    Operation::new(
        "post",
        "addLogHandler",
        "Add a log handler",
        "What is not given has its default. It is active when this is answered, on other replicas within two seconds. \
         What cannot work (no such folder, a host that may not be sent to) is refused.",
    )
    .body("NewLogHandler", true, &json!({"file": {"summary": "A file, from INFO on", "value": file}}))
    .answer("201", "The handler.", &component("LogHandler"))
    .link("201", "getLogHandler", &next)
    .link("201", "changeLogHandler", &next)
    .link("201", "deleteLogHandler", &next)
}

fn change(method: &'static str) -> Operation {
    let id = if method == "patch" { "changeLogHandler" } else { "putLogHandler" };
    let quiet = json!({"configuration": {"level": "WARNING"}});
    Operation::new(
        method,
        id,
        "Change a log handler",
        "PUT does as PATCH: the given keys are laid over the stored ones.",
    )
    .body("LogHandlerChange", false, &json!({"quiet": {"summary": "From WARNING on", "value": quiet}}))
    .answer("200", "The handler.", &component("LogHandler"))
    .not_found()
}

/// The shapes of these resources.
pub fn schemas() -> Value {
    let mut schemas = Map::new();
    let name = |kind: HandlerKind| format!("{}Configuration", capitalised(kind.as_str()));
    for kind in HandlerKind::ALL {
        schemas.insert(name(kind), configuration(kind));
    }
    let stored = HandlerKind::ALL.map(|kind| {
        json!({
            "type": "object",
            "properties": {
                "handler": {"const": kind.as_str()},
                "configuration": component(&name(kind)),
                "failing": {"type": "string", "description": "Why it cannot write now."},
                "dropped": {"type": "integer", "minimum": 1, "description": "Records that are lost."},
            },
            "required": ["handler", "configuration"],
            "additionalProperties": false,
        })
    });
    let new = HandlerKind::ALL.map(|kind| {
        json!({
            "type": "object",
            "properties": {"handler": {"const": kind.as_str()}, "configuration": component(&name(kind))},
            "required": ["handler"],
        })
    });
    let configurations = HandlerKind::ALL.map(|kind| component(&name(kind)));
    let kinds = HandlerKind::ALL.map(HandlerKind::as_str);
    schemas.insert("LogHandler".to_owned(), json!({ "oneOf": stored }));
    schemas.insert("NewLogHandler".to_owned(), json!({ "oneOf": new }));
    schemas.insert(
        "LogHandlerChange".to_owned(),
        json!({
            "type": "object",
            "properties": {
                "handler": {"enum": kinds, "description": "May repeat the path's."},
                "configuration": {"anyOf": configurations},
            },
        }),
    );
    Value::Object(schemas)
}

/// The keys of a kind of handler, with the defaults of new ones.
pub(super) fn configuration(kind: HandlerKind) -> Value {
    let defaults = kind.defaults().to_value();
    let mut properties = Map::new();
    for (key, mut schema) in keys(kind) {
        if let Some(default) = defaults.get(key) {
            schema["default"] = default.clone();
        }
        properties.insert(key.to_owned(), schema);
    }
    json!({"type": "object", "properties": properties, "additionalProperties": false})
}

fn keys(kind: HandlerKind) -> Vec<(&'static str, Value)> {
    let text = |description: &str| json!({"type": "string", "description": description});
    let formatter = json!({"enum": ["simple", "json"], "description": "A line of text, or an object a line."});
    let mut keys = vec![("formatter", formatter), ("level", level())];
    keys.extend(match kind {
        HandlerKind::Stream => vec![("stream", json!({"enum": ["ext://sys.stdout", "ext://sys.stderr"]}))],
        HandlerKind::File => vec![
            ("filename", text("Directly in one of `logs.directories`.")),
            ("when", when()),
            ("backupCount", json!({"type": "integer", "description": "How many old files stay; 0: all."})),
        ],
        HandlerKind::Smtp => vec![
            ("mailhost", text("A host of `logs.targets`; without one nothing is sent.")),
            ("fromaddr", text("A plain address.")),
            ("toaddrs", json!({"type": "array", "items": {"type": "string"}})),
            ("subject", text("")),
            ("port", port("25; 587 with `starttls`, 465 with `tls`.")),
            ("security", json!({"enum": ["none", "starttls", "tls"], "description": "`none` where it is left out."})),
        ],
        HandlerKind::Syslog => vec![
            ("address", address()),
            (
                "socktype",
                json!({"enum": ["ext://socket.SOCK_STREAM", "ext://socket.SOCK_DGRAM"], "description": "TCP or UDP."}),
            ),
            ("protocol", json!({"enum": ["rfc3164", "rfc5424"], "description": "`rfc3164` where it is left out."})),
        ],
    });
    keys
}

fn level() -> Value {
    let numbers = [0, 5, 10, 20, 30, 40, 50, 99].map(|it| json!(it));
    let texts = ["0", "5", "10", "20", "30", "40", "50", "99"].map(|it| json!(it));
    let names = ["NOTSET", "TRACE", "DEBUG", "INFO", "WARN", "WARNING", "ERROR", "FATAL", "CRITICAL", "DEACTIVATE"];
    let all: Vec<_> = numbers.into_iter().chain(texts).chain(names.map(|it| json!(it))).collect();
    json!({"enum": all, "description": "Records of this level and graver are taken: a number, a number as text, or a name."})
}

/// In small letters or capitals.
fn when() -> Value {
    json!({
        "type": "string",
        "pattern": "^([sSmMhHdD]|[wW][0-6]|[mM][iI][dD][nN][iI][gG][hH][tT])$",
        "description": "When the file is put aside: `s`, `m`, `h`, `d`, `w0` (Monday) to `w6`, `midnight`.",
    })
}

fn port(description: &str) -> Value {
    json!({"type": "integer", "minimum": 1, "maximum": 65535, "description": description})
}

fn address() -> Value {
    let (host, port) = (json!({"type": "string", "minLength": 1}), port("The port."));
    json!({
        "type": "array",
        "prefixItems": [host, port],
        "minItems": 2,
        "maxItems": 2,
        "description": "A host of `logs.targets` and a port.",
    })
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Json;
    use crate::log_handlers::Configuration;

    fn is_taken(kind: HandlerKind, key: &str, value: &Value) -> Result<(), String> {
        let given = Json::parse(json!({ key: value }).to_string().as_bytes()).unwrap();
        Configuration::merged(kind, None, Some(&given)).map(|_| ())
    }

    #[test]
    fn every_default_is_described() {
        for kind in HandlerKind::ALL {
            let described = configuration(kind);
            for (key, default) in kind.defaults().to_value().as_object().unwrap() {
                assert_eq!(&described["properties"][key]["default"], default, "{kind:?} {key}");
            }
        }
    }

    #[test]
    fn every_value_that_is_described_is_taken_and_no_other_key() {
        for kind in HandlerKind::ALL {
            let described = configuration(kind);
            for (key, schema) in described["properties"].as_object().unwrap() {
                for value in schema["enum"].as_array().into_iter().flatten() {
                    assert_eq!(is_taken(kind, key, value), Ok(()), "{kind:?} {key} {value}");
                }
                let refused = is_taken(kind, key, &json!({"no": "such value"})).unwrap_err();
                assert!(!refused.contains("Unsupported key"), "{kind:?} {key}: {refused}");
            }
            // The message lists what is known.
            let known = is_taken(kind, "unknown", &json!(1)).unwrap_err();
            let count = known.split("Supported keys: ").nth(1).unwrap().split(", ").count();
            assert_eq!(count, described["properties"].as_object().unwrap().len(), "{kind:?}: {known}");
        }
        for when in ["s", "M", "h", "d", "w0", "W6", "midnight", "MIDNIGHT"] {
            assert_eq!(is_taken(HandlerKind::File, "when", &json!(when)), Ok(()), "{when}");
        }
    }
}
