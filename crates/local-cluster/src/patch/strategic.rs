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
            let before = items.clone();
            *items = in_order(std::mem::take(items), order, &before, key);
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
    let before = list.clone();
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
    *list = in_order(std::mem::take(list), items, &before, Some(key));
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

/// Puts the items that a patch names into the patch's order, between those it does not name; these keep the order they
/// had `before`. Where both are known to have stood there, the earlier stays earlier; else the patch's goes first.
fn in_order(merged: Vec<Value>, order: &[Value], before: &[Value], key: Option<&str>) -> Vec<Value> {
    let same = |one: &Value, other: &Value| match key {
        Some(key) => one[key] == other[key],
        None => one == other,
    };
    let place = |list: &[Value], item: &Value| list.iter().position(|it| same(it, item));
    let (mut named, others): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|item| place(order, item).is_some());
    named.sort_by_key(|item| place(order, item));
    let (mut named, mut others) = (named.into_iter().peekable(), others.into_iter().peekable());
    let mut sorted = Vec::new();
    loop {
        let other_first = match (others.peek(), named.peek()) {
            (None, None) => return sorted,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(other), Some(named)) => {
                matches!((place(before, other), place(before, named)), (Some(other), Some(named)) if other < named)
            }
        };
        sorted.extend(if other_first { others.next() } else { named.next() });
    }
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
                {"name": "a", "image": "2", "env": [{"name": "Z", "value": "3"}, {"name": "Y", "value": "2"}]},
                {"name": "c", "image": "1"}, {"name": "b", "image": "1"}]}})
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
