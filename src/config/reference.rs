//! The JSON schema and the markdown reference of config.json, both made from the doc comments.

use std::fmt::Write;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::Config;

/// `docs/config.schema.json`.
pub fn json_schema() -> String {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Config>();
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}

/// The schema without references, for whoever walks it.
pub(super) fn inlined_schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|it| it.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<Config>().to_value()
}

/// `docs/configuration.md`.
pub fn markdown() -> String {
    let schema = inlined_schema();
    let mut text = String::from(
        "# Configuration\n\n\
         Generated from the doc comments in `src/config/` by `k8smgr docs`; change it there.\n\n\
         `config.json` is the file that `CONFIG_PATH` or `--config` names. Every key may be left out. Keys that are not \
         known are warned about; wrong values are refused with file, path and reason. The last column says whether a \
         changed file takes effect while K8s Manager runs or at its next start.\n",
    );
    let sections = schema["properties"].as_object().cloned().unwrap_or_default();
    let (plain, nested): (Vec<_>, Vec<_>) = sections.iter().partition(|(_, it)| own_keys(it).is_none());
    let mut table = Vec::new();
    for (name, property) in plain {
        rows(name, property, &mut table);
    }
    section(&mut text, "Top level", "", &table);
    for (name, property) in nested {
        let mut table = Vec::new();
        rows(name, property, &mut table);
        section(&mut text, &format!("`{name}`"), &split_marker(property).0, &table);
    }
    text
}

/// One key: path, type, default, description, whether a reload applies it.
type Row = [String; 5];

fn section(text: &mut String, title: &str, description: &str, rows: &[Row]) {
    let _ = write!(text, "\n## {title}\n\n");
    if !description.is_empty() {
        let _ = write!(text, "{description}\n\n");
    }
    text.push_str("| Key | Type | Default | Meaning | Changes apply |\n| --- | --- | --- | --- | --- |\n");
    for row in rows {
        let cells: Vec<_> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
}

/// The schema of an object's own keys, whether it is the value itself or what a list or a map holds.
fn own_keys(property: &Value) -> Option<(&Map<String, Value>, &'static str)> {
    if let Some(keys) = property["properties"].as_object() {
        return Some((keys, ""));
    }
    if let Some(keys) = property["items"]["properties"].as_object() {
        return Some((keys, "[]"));
    }
    property["additionalProperties"]["properties"].as_object().map(|keys| (keys, ".<name>"))
}

fn rows(path: &str, property: &Value, table: &mut Vec<Row>) {
    match own_keys(property) {
        Some((keys, below)) => {
            for (key, property) in keys {
                rows(&format!("{path}{below}.{key}"), property, table);
            }
        }
        None => {
            let (description, applies) = split_marker(property);
            let default = match &property["default"] {
                Value::Null => String::new(),
                value => format!("`{value}`"),
            };
            table.push([format!("`{path}`"), type_of(property), default, description, applies]);
        }
    }
}

/// A description ends with `Reload.` or `Restart.`.
fn split_marker(property: &Value) -> (String, String) {
    let text = property["description"].as_str().unwrap_or_default().replace('\n', " ");
    for (marker, applies) in [("Reload.", "at a reload"), ("Restart.", "at the next start")] {
        if let Some(text) = text.strip_suffix(marker) {
            return (text.trim_end().to_owned(), applies.to_owned());
        }
    }
    (text, String::new())
}

fn type_of(property: &Value) -> String {
    let named = |name: &str| match name {
        "string" => "text".to_owned(),
        "integer" => "whole number".to_owned(),
        "boolean" => "true or false".to_owned(),
        "array" => format!("list of {}", type_of(&property["items"])),
        "object" => match &property["additionalProperties"] {
            inner @ Value::Object(_) => format!("object of {}", type_of(inner)),
            _ => "object".to_owned(),
        },
        other => other.to_owned(),
    };
    if let Some(value) = property.get("const") {
        return value.to_string();
    }
    if let Some(choices) = property["anyOf"].as_array() {
        return choices.iter().map(type_of).collect::<Vec<_>>().join(" or ");
    }
    if property["enum"].is_array() {
        return "text".to_owned();
    }
    match &property["type"] {
        Value::String(name) => named(name),
        Value::Array(names) => {
            let names = names.iter().filter_map(Value::as_str).filter(|it| *it != "null");
            names.map(named).collect::<Vec<_>>().join(" or ")
        }
        _ => String::new(),
    }
}

/// The keys of which the reference says that a change applies then.
#[cfg(test)]
pub(super) fn keys_that_change_at(when: &str) -> Vec<String> {
    let mut table = Vec::new();
    for (name, property) in inlined_schema()["properties"].as_object().into_iter().flatten() {
        rows(name, property, &mut table);
    }
    let wanted = table.into_iter().filter(|[.., applies]| applies == when);
    wanted.map(|[path, ..]| path.trim_matches('`').to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_says_what_it_does_and_when_a_change_applies() {
        let mut table = Vec::new();
        for (name, property) in inlined_schema()["properties"].as_object().unwrap() {
            rows(name, property, &mut table);
        }
        assert!(table.len() > 45);
        for [path, kind, _, description, applies] in &table {
            assert!(!kind.is_empty() && description.len() > 10 && !applies.is_empty(), "{path}: {kind} {description}");
        }
    }
}
