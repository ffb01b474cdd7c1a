//! The types of the built-in kinds' fields: a value of a wrong type is refused as the real server words it, null
//! counts as absent, and unknown fields are dropped or, where the client asks for it, refused.

pub mod protobuf;
mod types;

use serde_json::{Map, Value};

use crate::api::error::ApiError;
use crate::kinds::Kind;
use types::{Field, FieldType, Message};

/// The message of a kind, if it is a built-in one.
fn message_of(kind: &Kind) -> Option<&'static Message> {
    if kind.custom {
        return None;
    }
    let package = match kind.group.split('.').next().unwrap_or_default() {
        "" => "core",
        "events" => return None,
        other => other,
    };
    types::find(&format!("{package}.{}.{}", kind.version, kind.kind))
}

/// Brings an object into the shape of its kind, or refuses it. `strict` also refuses fields the kind does not have.
pub fn check(kind: &Kind, object: &mut Value, strict: bool) -> Result<(), ApiError> {
    let mut walk = Walk { path: Vec::new(), unknown: Vec::new() };
    let cannot = |why: String| {
        let (name, version) = (&kind.kind, &kind.version);
        ApiError::bad_request(format!("{name} in version \"{version}\" cannot be handled as a {name}: {why}"))
    };
    let checked = match message_of(kind) {
        Some(message) => walk.message(message, object),
        None => custom(&mut walk, object),
    };
    checked.map_err(cannot)?;
    if strict && !walk.unknown.is_empty() {
        let listed: Vec<String> = walk.unknown.iter().map(|it| format!("unknown field \"{it}\"")).collect();
        return Err(cannot(format!("strict decoding error: {}", listed.join(", "))));
    }
    Ok(())
}

/// Of a custom resource only the metadata is known.
fn custom(walk: &mut Walk, object: &mut Value) -> Result<(), String> {
    let Some(metadata) = types::find("meta.v1.ObjectMeta") else { return Ok(()) };
    walk.path.push("metadata".to_owned());
    walk.message(metadata, &mut object["metadata"])?;
    walk.path.pop();
    for section in ["spec", "status"] {
        if object.get(section).is_some_and(|it| !it.is_object() && !it.is_null()) {
            return Err(format!("{section}: Invalid value: must be of type object"));
        }
    }
    Ok(())
}

struct Walk {
    path: Vec<String>,
    unknown: Vec<String>,
}

impl Walk {
    fn message(&mut self, message: &'static Message, value: &mut Value) -> Result<(), String> {
        let Some(fields) = value.as_object_mut() else { return Ok(()) };
        fields.retain(|_, value| !value.is_null());
        let names: Vec<String> = fields.keys().cloned().collect();
        for name in names {
            let top = self.path.is_empty();
            if top && (name == "kind" || name == "apiVersion") {
                continue;
            }
            let Some(field) = message.field(&name) else {
                if top && name == "status" {
                    continue;
                }
                let mut path = self.path.clone();
                path.push(name.clone());
                self.unknown.push(path.join("."));
                fields.remove(&name);
                continue;
            };
            self.path.push(name.clone());
            if let Some(value) = fields.get_mut(&name) {
                self.field(message, field, value)?;
            }
            self.path.pop();
        }
        Ok(())
    }

    fn field(&mut self, owner: &Message, field: &'static Field, value: &mut Value) -> Result<(), String> {
        if field.list {
            let Some(items) = value.as_array_mut() else {
                return Err(self.wrong(owner, value, &format!("[]{}", field.kind.go_name())));
            };
            for (index, item) in items.iter_mut().enumerate() {
                let at = self.path.len().saturating_sub(1);
                let plain = self.path[at].clone();
                self.path[at] = format!("{plain}[{index}]");
                self.value(owner, &field.kind, item)?;
                self.path[at] = plain;
            }
            return Ok(());
        }
        if field.map {
            let Some(entries) = value.as_object_mut() else {
                return Err(self.wrong(owner, value, &format!("map[string]{}", field.kind.go_name())));
            };
            // A null in a map of texts or bytes is the empty one.
            if matches!(field.kind, FieldType::String | FieldType::Bytes) {
                for entry in entries.values_mut().filter(|it| it.is_null()) {
                    *entry = Value::String(String::new());
                }
            }
            for entry in entries.values_mut() {
                self.value(owner, &field.kind, entry)?;
            }
            return Ok(());
        }
        self.value(owner, &field.kind, value)
    }

    fn value(&mut self, owner: &Message, kind: &'static FieldType, value: &mut Value) -> Result<(), String> {
        let fits = match kind {
            FieldType::Any => true,
            FieldType::String => value.is_string(),
            FieldType::Bool => value.is_boolean(),
            FieldType::Int32 => value.as_i64().is_some_and(|it| i32::try_from(it).is_ok()),
            FieldType::Int64 => value.is_i64() || value.is_u64(),
            FieldType::Float => value.is_number(),
            FieldType::IntOrString => value.is_string() || value.is_i64() || value.is_u64(),
            FieldType::Bytes => return self.bytes(owner, value),
            FieldType::Quantity => return quantity(value),
            FieldType::Time => return time(value),
            FieldType::Message(_) => value.is_object() || value.is_null(),
        };
        if !fits {
            return Err(self.wrong(owner, value, &kind.go_name()));
        }
        match kind {
            FieldType::Message(name) => match types::find(name) {
                Some(message) => self.message(message, value),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn bytes(&self, owner: &Message, value: &Value) -> Result<(), String> {
        use base64::Engine;
        let Some(text) = value.as_str() else { return Err(self.wrong(owner, value, "[]uint8")) };
        // The real decoder passes over line breaks.
        let plain: Vec<u8> = text.bytes().filter(|it| *it != b'\n' && *it != b'\r').collect();
        match base64::engine::general_purpose::STANDARD.decode(&plain) {
            Ok(_) => Ok(()),
            Err(base64::DecodeError::InvalidByte(offset, _) | base64::DecodeError::InvalidLastSymbol(offset, _)) => {
                Err(format!("illegal base64 data at input byte {offset}"))
            }
            Err(_) => Err(format!("illegal base64 data at input byte {}", plain.len() / 4 * 4)),
        }
    }

    fn wrong(&self, owner: &Message, value: &Value, expected: &str) -> String {
        let got = match value {
            Value::Null => "null".to_owned(),
            Value::Bool(_) => "bool".to_owned(),
            Value::String(_) => "string".to_owned(),
            Value::Array(_) => "array".to_owned(),
            Value::Object(_) => "object".to_owned(),
            // A number of the right kind that does not fit is told as it is.
            Value::Number(number) if expected.starts_with("int") => format!("number {number}"),
            Value::Number(_) => "number".to_owned(),
        };
        // Go's path has no list indices.
        let path: Vec<&str> = self.path.iter().map(|it| it.split('[').next().unwrap_or_default()).collect();
        let path = path.join(".");
        format!("json: cannot unmarshal {got} into Go struct field {}.{path} of type {expected}", owner.go_name)
    }
}

fn quantity(value: &mut Value) -> Result<(), String> {
    const WRONG: &str = "quantities must match the regular expression \
                         '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return Err(WRONG.to_owned()),
    };
    let plain = text.strip_prefix(['+', '-']).unwrap_or(&text);
    let digits = plain.find(|it: char| !it.is_ascii_digit() && it != '.').unwrap_or(plain.len());
    let (number, suffix) = plain.split_at(digits);
    let exponent = suffix.strip_prefix(['e', 'E']).is_some_and(|it| it.parse::<i32>().is_ok());
    let known = ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    if number.is_empty() || number.parse::<f64>().is_err() || !(exponent || known.contains(&suffix)) {
        return Err(WRONG.to_owned());
    }
    *value = Value::String(text);
    Ok(())
}

fn time(value: &Value) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    if value.is_null() || text.parse::<jiff::Timestamp>().is_ok() {
        return Ok(());
    }
    Err(format!("parsing time {value} as \"2006-01-02T15:04:05Z07:00\": cannot parse {value} as \"2006\""))
}

/// An object without what is empty, as the binary encoding of Go structs needs it.
fn without_empty(fields: Map<String, Value>, keeps: impl Fn(&str) -> bool) -> Map<String, Value> {
    let empty = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_i64() == Some(0),
        Value::Array(items) => items.is_empty(),
        Value::Object(inner) => inner.is_empty(),
        Value::Bool(true) => false,
    };
    fields.into_iter().filter(|(name, value)| keeps(name) || !empty(value)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::kinds::Registry;

    fn refusal(plural: &str, group: &str, mut object: Value, strict: bool) -> String {
        let kind = Registry::default().find(group, "v1", plural).unwrap();
        check(&kind, &mut object, strict).unwrap_err().message
    }

    #[test]
    fn wrong_types_are_worded_as_the_real_server_words_them() {
        assert_eq!(
            refusal("deployments", "apps", json!({"spec": {"replicas": "two"}}), false),
            "Deployment in version \"v1\" cannot be handled as a Deployment: json: cannot unmarshal string into Go \
             struct field DeploymentSpec.spec.replicas of type int32"
        );
        let container = json!({"spec": {"containers": [{"name": "a", "env": [{"name": "X", "value": 5}]}]}});
        assert_eq!(
            refusal("pods", "", container, false),
            "Pod in version \"v1\" cannot be handled as a Pod: json: cannot unmarshal number into Go struct field \
             EnvVar.spec.containers.env.value of type string"
        );
        assert_eq!(
            refusal("pods", "", json!({"spec": {"containers": "x"}}), false),
            "Pod in version \"v1\" cannot be handled as a Pod: json: cannot unmarshal string into Go struct field \
             PodSpec.spec.containers of type []v1.Container"
        );
        assert_eq!(
            refusal("secrets", "", json!({"data": {"a": "%%%"}}), false),
            "Secret in version \"v1\" cannot be handled as a Secret: illegal base64 data at input byte 0"
        );
        assert_eq!(
            refusal("configmaps", "", json!({"metadata": {"labels": {"a": 1}}}), false),
            "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go \
             struct field ObjectMeta.metadata.labels of type string"
        );
        assert_eq!(
            refusal("pods", "", json!({"spec": {"container": [], "containers": [{"imag": "x"}]}}), true),
            "Pod in version \"v1\" cannot be handled as a Pod: strict decoding error: unknown field \
             \"spec.container\", unknown field \"spec.containers[0].imag\""
        );
    }

    #[test]
    fn nulls_and_unknown_fields_are_dropped_and_embedded_ones_known() {
        let kind = Registry::default().find("", "v1", "pods").unwrap();
        let mut pod = json!({"metadata": {"labels": null, "name": "a"}, "other": 1, "spec": {"volumes": [
            {"name": "v", "configMap": {"name": "c"}, "secret": null}], "containers": [{"name": "m",
            "livenessProbe": {"httpGet": {"port": 8080}}, "resources": {"limits": {"cpu": 1}}}]}});
        check(&kind, &mut pod, false).unwrap();
        assert_eq!(
            pod,
            json!({"metadata": {"name": "a"}, "spec": {"volumes": [{"name": "v", "configMap": {"name": "c"}}],
                "containers": [{"name": "m", "livenessProbe": {"httpGet": {"port": 8080}},
                "resources": {"limits": {"cpu": "1"}}}]}})
        );
    }
}
