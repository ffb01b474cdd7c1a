//! Server-side apply: who owns which field, what they may change, and what goes when nobody wants it any more.

mod fields;

use serde_json::{Map, Value, json};

use crate::api::error::ApiError;
use crate::kinds::Kind;
use crate::storage::now;
use fields::{FieldSet, Flat, ListKind, Path, Step};

/// One entry of `managedFields`.
#[derive(Clone, Debug)]
struct Manager {
    name: String,
    operation: &'static str,
    api_version: String,
    subresource: Option<String>,
    time: String,
    set: FieldSet,
}

impl Manager {
    fn read(entry: &Value) -> Self {
        let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        Self {
            name: text("manager"),
            operation: if entry["operation"] == "Apply" { "Apply" } else { "Update" },
            api_version: text("apiVersion"),
            subresource: entry["subresource"].as_str().filter(|it| !it.is_empty()).map(str::to_owned),
            time: text("time"),
            set: fields::from_tree(&entry["fieldsV1"]),
        }
    }

    fn write(&self) -> Value {
        let mut entry = json!({
            "manager": self.name, "operation": self.operation, "apiVersion": self.api_version, "time": self.time,
            "fieldsType": "FieldsV1", "fieldsV1": fields::to_tree(&self.set),
        });
        if let Some(subresource) = &self.subresource {
            entry["subresource"] = json!(subresource);
        }
        entry
    }

    fn is(&self, name: &str, operation: &str, subresource: Option<&str>) -> bool {
        self.name == name && self.operation == operation && self.subresource.as_deref() == subresource
    }

    /// As conflicts name it.
    fn shown(&self) -> String {
        let mut text = format!("\"{}\"", self.name);
        if let Some(subresource) = &self.subresource {
            text += &format!(" with subresource \"{subresource}\"");
        }
        if self.operation == "Update" {
            text += &format!(" using {}", self.api_version);
            if !self.time.is_empty() {
                text += &format!(" at {}", self.time);
            }
        }
        text
    }
}

fn read_managers(object: &Value) -> Vec<Manager> {
    object["metadata"]["managedFields"].as_array().into_iter().flatten().map(Manager::read).collect()
}

fn write_managers(object: &mut Value, managers: &[Manager]) {
    let entries: Vec<Value> = managers.iter().filter(|it| !it.set.is_empty()).map(Manager::write).collect();
    if entries.is_empty() {
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
    } else {
        object["metadata"]["managedFields"] = json!(entries);
    }
}

/// The entry of a manager, made if need be.
fn entry<'a>(
    managers: &'a mut Vec<Manager>,
    kind: &Kind,
    name: &str,
    operation: &'static str,
    subresource: Option<&str>,
) -> &'a mut Manager {
    let index = managers.iter().position(|it| it.is(name, operation, subresource)).unwrap_or_else(|| {
        managers.push(Manager {
            name: name.to_owned(),
            operation,
            api_version: kind.api_version(),
            subresource: subresource.map(str::to_owned),
            time: now(),
            set: FieldSet::new(),
        });
        managers.len() - 1
    });
    &mut managers[index]
}

/// Records what a write other than apply changed. Objects nobody tracks stay untracked: their fields count as
/// `before-first-apply` once somebody applies.
pub fn record_update(kind: &Kind, before: Option<&Value>, after: &mut Value, manager: &str, subresource: Option<&str>) {
    let mut managers = match before {
        Some(before) => read_managers(before),
        None => Vec::new(),
    };
    if before.is_some() && managers.is_empty() {
        return;
    }
    let flat_after = Flat::of(after);
    let (mut changed, mut gone) = (FieldSet::new(), FieldSet::new());
    match before {
        Some(before) => {
            for (path, value) in &flat_after.leaves {
                if fields::get(before, path) != Some(value) {
                    changed.insert(path.clone());
                }
            }
            for path in &flat_after.items {
                if fields::get(before, path).is_none() {
                    changed.insert(path.clone());
                }
            }
            let flat_before = Flat::of(before);
            gone.extend(flat_before.set().difference(&flat_after.set()).cloned());
        }
        None => changed = flat_after.set(),
    }
    if subresource.is_none() && kind.has_subresource("status") {
        changed.retain(|path| path.first() != Some(&Step::Field("status".to_owned())));
    }
    if changed.is_empty() && gone.is_empty() {
        write_managers(after, &managers);
        return;
    }
    for other in &mut managers {
        other.set.retain(|path| !gone.contains(path) && (!changed.contains(path) || is_item(path)));
    }
    let own = entry(&mut managers, kind, manager, "Update", subresource);
    if !changed.is_subset(&own.set) {
        own.time = now();
    }
    own.set.extend(changed);
    write_managers(after, &managers);
}

fn is_item(path: &Path) -> bool {
    matches!(path.last(), Some(Step::Key(_)))
}

/// Records the first apply, which makes the object.
pub fn first(kind: &Kind, object: &mut Value, applied: &Value, manager: &str) {
    let mut managers = Vec::new();
    entry(&mut managers, kind, manager, "Apply", None).set = Flat::of(applied).set();
    write_managers(object, &managers);
}

/// An apply that changes nothing else does not change the time of its entry either, and so is no change at all.
pub fn keep_time_of_unchanged(before: &Value, after: &mut Value) {
    let old = before["metadata"]["managedFields"].as_array().map(Vec::as_slice).unwrap_or_default();
    for entry in after["metadata"]["managedFields"].as_array_mut().into_iter().flatten() {
        let same = old.iter().find(|it| {
            ["manager", "operation", "subresource", "fieldsV1"].iter().all(|field| it.get(*field) == entry.get(*field))
        });
        if let Some(same) = same {
            entry["time"] = same["time"].clone();
        }
    }
}

/// Merges what a manager applies into an object. Fields that another owns and that would change are conflicts, unless
/// it is forced; fields the manager applied before and no longer does go, unless another owns them.
pub fn merge(
    kind: &Kind,
    current: &Value,
    applied: &Value,
    manager: &str,
    force: bool,
    subresource: Option<&str>,
) -> Result<Value, ApiError> {
    let mut managers = read_managers(current);
    if managers.is_empty() {
        let own = entry(&mut managers, kind, "before-first-apply", "Update", None);
        own.set = Flat::of(current).set();
        own.set.retain(|path| path.first() != Some(&Step::Field("status".to_owned())));
    }
    let flat = Flat::of(applied);
    let mut conflicts: Vec<(Manager, Path)> = Vec::new();
    for (path, value) in &flat.leaves {
        if fields::get(current, path) == Some(value) {
            continue;
        }
        for other in &mut managers {
            if !other.is(manager, "Apply", subresource) && other.set.contains(path) {
                if force {
                    other.set.remove(path);
                } else {
                    conflicts.push((other.clone(), path.clone()));
                }
            }
        }
    }
    if !conflicts.is_empty() {
        return Err(conflict(&conflicts));
    }
    let mut merged = current.clone();
    merge_value("", "", &mut merged, applied);
    let set = flat.set();
    let own = entry(&mut managers, kind, manager, "Apply", subresource);
    let mut dropped: Vec<Path> = own.set.difference(&set).cloned().collect();
    own.time = now();
    own.set = set;
    // Whole items go before what is in them, while their keys can still be told.
    dropped.sort_by_key(Path::len);
    for path in dropped {
        let owned =
            is_key_of_item(&path) || managers.iter().any(|it| it.set.iter().any(|other| other.starts_with(&path)));
        if !owned {
            fields::remove(&mut merged, &path);
        }
    }
    write_managers(&mut merged, &managers);
    Ok(merged)
}

/// A field that tells its item apart stays as long as the item does.
fn is_key_of_item(path: &Path) -> bool {
    match path.as_slice() {
        [.., Step::Key(key), Step::Field(name)] => {
            serde_json::from_str::<Map<String, Value>>(key).is_ok_and(|fields| fields.contains_key(name))
        }
        _ => false,
    }
}

fn conflict(conflicts: &[(Manager, Path)]) -> ApiError {
    let message = if let [(manager, path)] = conflicts {
        format!("Apply failed with 1 conflict: conflict with {}: {}", manager.shown(), fields::shown(path))
    } else {
        let mut by_manager: Vec<(String, Vec<String>)> = Vec::new();
        for (manager, path) in conflicts {
            let line = format!("- {}", fields::shown(path));
            match by_manager.iter_mut().find(|it| it.0 == manager.shown()) {
                Some(found) => found.1.push(line),
                None => by_manager.push((manager.shown(), vec![line])),
            }
        }
        by_manager.sort();
        let told: Vec<String> =
            by_manager.iter().map(|(name, lines)| format!("conflicts with {name}:\n{}", lines.join("\n"))).collect();
        format!("Apply failed with {} conflicts: {}", conflicts.len(), told.join("\n"))
    };
    let causes: Vec<Value> = conflicts
        .iter()
        .map(|(manager, path)| {
            json!({"reason": "FieldManagerConflict", "message": format!("conflict with {}", manager.shown()),
                "field": fields::shown(path)})
        })
        .collect();
    let mut error = ApiError::new(409, "Conflict", message);
    error.details = Some(json!({"causes": causes}));
    error
}

fn merge_value(parent: &str, field: &str, current: &mut Value, applied: &Value) {
    match applied {
        Value::Object(wanted) if !fields::is_atomic_map(field) && !wanted.is_empty() => {
            if !current.is_object() {
                *current = Value::Object(Map::new());
            }
            for (name, value) in wanted {
                merge_value(field, name, &mut current[name], value);
            }
        }
        Value::Array(items) => {
            let kind = fields::list_kind(parent, field);
            if matches!(kind, ListKind::Atomic) || !current.is_array() {
                *current = applied.clone();
                return;
            }
            let Some(list) = current.as_array_mut() else { return };
            for item in items {
                let step = fields::step_of(item, &kind);
                let found = list.iter_mut().find(|it| fields::step_of(it, &kind) == step);
                match found {
                    Some(existing) => merge_value(field, field, existing, item),
                    None => list.push(item.clone()),
                }
            }
        }
        // An empty object applied onto one that has something inside owns nothing of it.
        Value::Object(_) if current.is_object() && !fields::is_atomic_map(field) => {}
        plain => *current = plain.clone(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::kinds::Registry;

    fn apply(current: &Value, applied: Value, manager: &str, force: bool) -> Result<Value, ApiError> {
        let kind = Registry::default().find("", "v1", "configmaps").unwrap();
        merge(&kind, current, &applied, manager, force, None)
    }

    fn applied_first(applied: &Value, manager: &str) -> Value {
        let kind = Registry::default().find("", "v1", "configmaps").unwrap();
        let mut object = applied.clone();
        first(&kind, &mut object, applied, manager);
        object
    }

    #[test]
    fn what_a_manager_no_longer_applies_goes() {
        let object = applied_first(&json!({"data": {"a": "1", "b": "2"}}), "me");
        let object = apply(&object, json!({"data": {"a": "1"}}), "me", false).unwrap();
        assert_eq!(object["data"], json!({"a": "1"}));
    }

    #[test]
    fn another_managers_field_is_a_conflict_unless_forced_or_equal() {
        let object = applied_first(&json!({"data": {"a": "1"}}), "me");
        let error = apply(&object, json!({"data": {"a": "2"}}), "you", false).unwrap_err();
        assert_eq!(error.message, "Apply failed with 1 conflict: conflict with \"me\": .data.a");
        assert_eq!(error.details.unwrap()["causes"][0]["reason"], "FieldManagerConflict");
        let shared = apply(&object, json!({"data": {"a": "1"}}), "you", false).unwrap();
        // Both own it: it stays when one lets go.
        let kept = apply(&shared, json!({"data": {"b": "2"}}), "me", false).unwrap();
        assert_eq!(kept["data"], json!({"a": "1", "b": "2"}));
        let forced = apply(&object, json!({"data": {"a": "2"}}), "you", true).unwrap();
        assert_eq!(forced["data"], json!({"a": "2"}));
        assert_eq!(forced["metadata"]["managedFields"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn lists_with_keys_are_owned_item_by_item() {
        let container = |name: &str, image: &str| json!({"name": name, "image": image});
        let object = applied_first(&json!({"spec": {"containers": [container("a", "1"), container("b", "1")]}}), "me");
        let other = apply(&object, json!({"spec": {"containers": [container("c", "1")]}}), "you", false).unwrap();
        assert_eq!(other["spec"]["containers"].as_array().unwrap().len(), 3);
        let less = apply(&other, json!({"spec": {"containers": [container("b", "2")]}}), "me", false).unwrap();
        assert_eq!(less["spec"]["containers"], json!([container("b", "2"), container("c", "1")]));
        let error = apply(&less, json!({"spec": {"containers": [container("c", "9")]}}), "me", false).unwrap_err();
        assert!(error.message.ends_with(": .spec.containers[name=\"c\"].image"), "{}", error.message);
    }

    #[test]
    fn an_untracked_object_belongs_to_before_first_apply() {
        let object = json!({"metadata": {"name": "x"}, "data": {"a": "1"}});
        let error = apply(&object, json!({"data": {"a": "2"}}), "me", false).unwrap_err();
        assert!(error.message.contains("conflict with \"before-first-apply\" using v1"), "{}", error.message);
        assert!(apply(&object, json!({"data": {"b": "2"}}), "me", false).is_ok());
    }

    #[test]
    fn an_update_takes_over_what_it_changes() {
        let kind = Registry::default().find("", "v1", "configmaps").unwrap();
        let object = applied_first(&json!({"data": {"a": "1", "b": "1"}}), "me");
        let mut edited = object.clone();
        edited["data"]["a"] = json!("2");
        record_update(&kind, Some(&object), &mut edited, "editor", None);
        let error = apply(&edited, json!({"data": {"a": "1", "b": "1"}}), "me", false).unwrap_err();
        assert!(error.message.contains("conflict with \"editor\" using v1 at "), "{}", error.message);
    }
}
