//! Strategic merge: like a merge patch, but lists of named things are merged by the key that names them.

use serde_json::{Map, Value};

use crate::api::error::ApiError;

/// The key that names the items of a list, by the list's field name and the one it is in; `None`: replaced whole.
/// From the `patchMergeKey` tags of the built-in types.
pub fn merge_key(parent: &str, field: &str) -> Option<&'static str> {
    Some(match (parent, field) {
        (_, "containers" | "initContainers" | "ephemeralContainers") => "name",
        (_, "env" | "volumes" | "imagePullSecrets") => "name",
        ("", "secrets") => "name",
        (_, "volumeMounts") => "mountPath",
        (_, "volumeDevices") => "devicePath",
        (_, "hostAliases") => "ip",
        (_, "topologySpreadConstraints") => "topologyKey",
        (_, "ownerReferences") => "uid",
        (_, "conditions") => "type",
        ("status", "podIPs") => "ip",
        ("containers" | "initContainers" | "ephemeralContainers", "ports") => "containerPort",
        ("spec", "ports") => "port",
        ("status", "addresses") => "type",
        ("spec", "resourceClaims") => "name",
        _ => return None,
    })
}

/// Lists of plain values that are sets.
fn is_set(parent: &str, field: &str) -> bool {
    matches!((parent, field), ("metadata", "finalizers") | ("spec", "podCIDRs"))
}

pub fn merge(object: &mut Value, patch: &Value) -> Result<(), ApiError> {
    let Some(patch) = patch.as_object() else {
        return Err(ApiError::bad_request("json: cannot unmarshal into Go value of type map[string]interface {}"));
    };
    merge_map("", object, patch)
}

fn merge_map(parent: &str, object: &mut Value, patch: &Map<String, Value>) -> Result<(), ApiError> {
    match patch.get("$patch").and_then(Value::as_str) {
        Some("replace") => {
            let mut whole = patch.clone();
            whole.remove("$patch");
            *object = Value::Object(whole);
            return Ok(());
        }
        Some("delete") => {
            *object = Value::Object(Map::new());
            return Ok(());
        }
        Some("merge") | None => {}
        Some(other) => return Err(ApiError::bad_request(format!("unrecognized patch directive: {other}"))),
    }
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    let Some(fields) = object.as_object_mut() else { return Ok(()) };
    for (name, value) in patch {
        if let Some(list) = name.strip_prefix("$deleteFromPrimitiveList/") {
            delete_values(fields, list, value);
        } else if name == "$retainKeys" {
            let kept: Vec<&str> = value.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            fields.retain(|field, _| kept.contains(&field.as_str()));
        } else if name.starts_with("$setElementOrder/") || name == "$patch" {
            // Order is kept by appending; the directive only helps where clients merge themselves.
        } else {
            merge_field(parent, fields, name, value)?;
        }
    }
    for (name, value) in patch {
        if let Some(list) = name.strip_prefix("$setElementOrder/")
            && let (Some(items), Some(order)) = (fields.get_mut(list).and_then(Value::as_array_mut), value.as_array())
        {
            let key = merge_key(parent, list);
            reorder(items, order, key);
        }
    }
    Ok(())
}

fn merge_field(parent: &str, fields: &mut Map<String, Value>, name: &str, value: &Value) -> Result<(), ApiError> {
    match value {
        Value::Null => {
            fields.remove(name);
        }
        Value::Object(inner) => merge_map(name, fields.entry(name).or_insert(Value::Null), inner)?,
        Value::Array(items) => {
            let current = fields.entry(name).or_insert(Value::Null);
            match merge_key(parent, name) {
                Some(key) if items.iter().all(Value::is_object) => merge_list(name, current, items, key)?,
                None if is_set(parent, name) => add_values(current, items),
                _ => *current = value.clone(),
            }
        }
        plain => {
            fields.insert(name.to_owned(), plain.clone());
        }
    }
    Ok(())
}

fn merge_list(field: &str, current: &mut Value, items: &[Value], key: &str) -> Result<(), ApiError> {
    if items.iter().any(|it| it["$patch"] == "replace") {
        let mut kept: Vec<Value> = items.iter().filter(|it| it["$patch"] != "replace").cloned().collect();
        kept.retain(|it| it["$patch"].is_null());
        *current = Value::Array(kept);
        return Ok(());
    }
    if !current.is_array() {
        *current = Value::Array(Vec::new());
    }
    let Some(list) = current.as_array_mut() else { return Ok(()) };
    for item in items {
        let Some(patch) = item.as_object() else { continue };
        let Some(wanted) = patch.get(key) else {
            return Err(ApiError::bad_request(format!("map: {item} does not contain declared merge key: {key}")));
        };
        let position = list.iter().position(|it| it[key] == *wanted);
        if patch.get("$patch").is_some_and(|it| it == "delete") {
            list.retain(|it| it[key] != *wanted);
        } else if let Some(position) = position {
            merge_map(field, &mut list[position], patch)?;
        } else {
            let mut added = Value::Null;
            merge_map(field, &mut added, patch)?;
            list.push(added);
        }
    }
    Ok(())
}

fn add_values(current: &mut Value, items: &[Value]) {
    if !current.is_array() {
        *current = Value::Array(Vec::new());
    }
    if let Some(list) = current.as_array_mut() {
        for item in items {
            if !list.contains(item) {
                list.push(item.clone());
            }
        }
    }
}

fn delete_values(fields: &mut Map<String, Value>, list: &str, values: &Value) {
    if let (Some(items), Some(values)) = (fields.get_mut(list).and_then(Value::as_array_mut), values.as_array()) {
        items.retain(|it| !values.contains(it));
    }
}

/// Puts items into the order given; those it does not name keep their place at the end.
fn reorder(items: &mut [Value], order: &[Value], key: Option<&str>) {
    let place = |item: &Value| {
        let found = order.iter().position(|wanted| match key {
            Some(key) => wanted[key] == item[key],
            None => wanted == item,
        });
        found.unwrap_or(order.len())
    };
    items.sort_by_key(place);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn merged(mut object: Value, patch: Value) -> Value {
        merge(&mut object, &patch).unwrap();
        object
    }

    #[test]
    fn containers_are_merged_by_name_and_their_env_too() {
        let object = json!({"spec": {"containers": [
            {"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]},
            {"name": "b", "image": "1"}]}});
        let patch = json!({"spec": {"containers": [
            {"name": "a", "image": "2", "env": [{"name": "X", "$patch": "delete"}, {"name": "Z", "value": "3"}]},
            {"name": "c", "image": "1"}]}});
        assert_eq!(
            merged(object, patch),
            json!({"spec": {"containers": [
                {"name": "a", "image": "2", "env": [{"name": "Y", "value": "2"}, {"name": "Z", "value": "3"}]},
                {"name": "b", "image": "1"}, {"name": "c", "image": "1"}]}})
        );
    }

    #[test]
    fn directives_replace_delete_and_order() {
        let object = json!({"metadata": {"finalizers": ["a", "b"], "labels": {"x": "1", "y": "2"}},
            "spec": {"containers": [{"name": "a"}, {"name": "b"}], "tolerations": [{"key": "k"}]}});
        let patch = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"],
                "labels": {"x": null}},
            "spec": {"containers": [{"name": "b", "image": "i"}], "$setElementOrder/containers": [{"name": "b"}, {"name": "a"}],
                "tolerations": [{"key": "other"}]}});
        let result = merged(object, patch);
        let mut finalizers = result["metadata"]["finalizers"].as_array().unwrap().clone();
        finalizers.sort_by_key(Value::to_string);
        assert_eq!(finalizers, [json!("b"), json!("c")]);
        assert_eq!(result["metadata"]["labels"], json!({"y": "2"}));
        assert_eq!(result["spec"]["containers"], json!([{"name": "b", "image": "i"}, {"name": "a"}]));
        assert_eq!(result["spec"]["tolerations"], json!([{"key": "other"}]));
        let replaced = merged(json!({"a": {"b": 1}}), json!({"a": {"$patch": "replace", "c": 2}}));
        assert_eq!(replaced, json!({"a": {"c": 2}}));
    }

    #[test]
    fn an_item_without_its_merge_key_is_refused() {
        let mut object = json!({"spec": {"containers": []}});
        assert!(merge(&mut object, &json!({"spec": {"containers": [{"image": "x"}]}})).is_err());
    }
}
