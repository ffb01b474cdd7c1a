//! Sets of fields, as `managedFields` keeps them: which paths of an object a manager owns.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Field(String),
    /// An item of a list by its key fields, as compact JSON: `{"name":"main"}`.
    Key(String),
    /// An item of a set, as JSON.
    Item(String),
}

pub type Path = Vec<Step>;
pub type FieldSet = BTreeSet<Path>;

/// How a list is owned.
pub enum ListKind {
    /// As a whole.
    Atomic,
    /// Item by item, items told apart by these fields.
    Map(&'static [&'static str]),
    /// Item by item, plain values.
    Set,
}

/// From the `x-kubernetes-list-*` markers of the built-in types; `parent` is the field that holds the list's owner.
pub fn list_kind(parent: &str, field: &str) -> ListKind {
    match (parent, field) {
        ("containers" | "initContainers" | "ephemeralContainers", "ports") => {
            ListKind::Map(&["containerPort", "protocol"])
        }
        ("spec", "ports") => ListKind::Map(&["port", "protocol"]),
        (_, "topologySpreadConstraints") => ListKind::Map(&["topologyKey", "whenUnsatisfiable"]),
        (_, "containers" | "initContainers" | "ephemeralContainers" | "env" | "volumes" | "imagePullSecrets") => {
            ListKind::Map(&["name"])
        }
        (_, "volumeMounts") => ListKind::Map(&["mountPath"]),
        (_, "volumeDevices") => ListKind::Map(&["devicePath"]),
        (_, "ownerReferences") => ListKind::Map(&["uid"]),
        (_, "conditions") => ListKind::Map(&["type"]),
        (_, "hostAliases" | "podIPs") => ListKind::Map(&["ip"]),
        ("metadata", "finalizers") => ListKind::Set,
        _ => ListKind::Atomic,
    }
}

/// Objects that are owned as a whole.
pub fn is_atomic_map(field: &str) -> bool {
    matches!(
        field,
        "selector"
            | "nodeSelector"
            | "fieldRef"
            | "secretKeyRef"
            | "configMapKeyRef"
            | "resourceFieldRef"
            | "labelSelector"
    )
}

/// The step to a list's item; key fields that are missing take the API's default.
pub fn step_of(item: &Value, kind: &ListKind) -> Option<Step> {
    match kind {
        ListKind::Atomic => None,
        ListKind::Set => Some(Step::Item(item.to_string())),
        ListKind::Map(keys) => {
            let mut key = Map::new();
            for name in *keys {
                let value = match item.get(*name) {
                    Some(value) => value.clone(),
                    None if *name == "protocol" => json!("TCP"),
                    None => continue,
                };
                key.insert((*name).to_owned(), value);
            }
            (!key.is_empty()).then(|| Step::Key(Value::Object(key).to_string()))
        }
    }
}

/// The metadata that no client owns.
fn is_system(path: &[Step], name: &str) -> bool {
    match path {
        [] => matches!(name, "kind" | "apiVersion"),
        [Step::Field(first)] if first == "metadata" => matches!(
            name,
            "name"
                | "namespace"
                | "generateName"
                | "uid"
                | "resourceVersion"
                | "generation"
                | "creationTimestamp"
                | "deletionTimestamp"
                | "deletionGracePeriodSeconds"
                | "managedFields"
                | "selfLink"
        ),
        _ => false,
    }
}

/// What an object says: its leaves with their values, and the list items it names.
#[derive(Default)]
pub struct Flat<'a> {
    pub leaves: Vec<(Path, &'a Value)>,
    pub items: Vec<Path>,
}

impl<'a> Flat<'a> {
    pub fn of(object: &'a Value) -> Self {
        let mut flat = Self::default();
        flat.walk(&mut Vec::new(), "", "", object);
        flat
    }

    pub fn set(&self) -> FieldSet {
        self.leaves.iter().map(|(path, _)| path.clone()).chain(self.items.iter().cloned()).collect()
    }

    fn walk(&mut self, path: &mut Path, parent: &str, field: &str, value: &'a Value) {
        match value {
            Value::Object(fields) if !fields.is_empty() && !is_atomic_map(field) => {
                for (name, value) in fields {
                    if is_system(path, name) {
                        continue;
                    }
                    path.push(Step::Field(name.clone()));
                    self.walk(path, field, name, value);
                    path.pop();
                }
            }
            Value::Array(items) if !items.is_empty() => {
                let kind = list_kind(parent, field);
                let steps: Option<Vec<Step>> = items.iter().map(|item| step_of(item, &kind)).collect();
                let Some(steps) = steps else {
                    self.leaves.push((path.clone(), value));
                    return;
                };
                for (step, item) in steps.into_iter().zip(items) {
                    path.push(step);
                    if matches!(kind, ListKind::Set) {
                        self.leaves.push((path.clone(), item));
                    } else {
                        self.items.push(path.clone());
                        self.walk(path, field, field, item);
                    }
                    path.pop();
                }
            }
            _ => self.leaves.push((path.clone(), value)),
        }
    }
}

/// The value at a path.
pub fn get<'a>(object: &'a Value, path: &[Step]) -> Option<&'a Value> {
    let mut value = object;
    for step in path {
        value = match step {
            Step::Field(name) => value.get(name)?,
            Step::Key(_) | Step::Item(_) => &value.as_array()?[position(value, step)?],
        };
    }
    Some(value)
}

fn position(list: &Value, step: &Step) -> Option<usize> {
    let items = list.as_array()?;
    match step {
        Step::Field(_) => None,
        Step::Item(text) => {
            let wanted: Value = serde_json::from_str(text).ok()?;
            items.iter().position(|it| *it == wanted)
        }
        Step::Key(text) => {
            let wanted: Map<String, Value> = serde_json::from_str(text).ok()?;
            items.iter().position(|item| {
                wanted.iter().all(|(name, value)| match item.get(name) {
                    Some(found) => found == value,
                    None => name == "protocol" && value == "TCP",
                })
            })
        }
    }
}

/// Takes away what is at a path, and the objects and lists that are empty then.
pub fn remove(object: &mut Value, path: &[Step]) {
    let [step, rest @ ..] = path else { return };
    match step {
        Step::Field(name) => {
            let Some(fields) = object.as_object_mut() else { return };
            if rest.is_empty() {
                fields.remove(name);
            } else if let Some(inner) = fields.get_mut(name) {
                remove(inner, rest);
                let empty = inner.as_object().is_some_and(Map::is_empty) || inner.as_array().is_some_and(Vec::is_empty);
                if empty {
                    fields.remove(name);
                }
            }
        }
        Step::Key(_) | Step::Item(_) => {
            let Some(index) = position(object, step) else { return };
            let Some(items) = object.as_array_mut() else { return };
            if rest.is_empty() {
                items.remove(index);
            } else {
                remove(&mut items[index], rest);
            }
        }
    }
}

/// `.spec.containers[name="main"].image`
pub fn shown(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Field(name) => text.push_str(&format!(".{name}")),
            Step::Item(value) => text.push_str(&format!("[={value}]")),
            Step::Key(key) => {
                let fields: Map<String, Value> = serde_json::from_str(key).unwrap_or_default();
                let pairs: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
                text.push_str(&format!("[{}]", pairs.join(",")));
            }
        }
    }
    text
}

fn written(step: &Step) -> String {
    match step {
        Step::Field(name) => format!("f:{name}"),
        Step::Key(key) => format!("k:{key}"),
        Step::Item(value) => format!("v:{value}"),
    }
}

/// The `fieldsV1` tree of a set.
pub fn to_tree(set: &FieldSet) -> Value {
    let mut tree = json!({});
    for path in set {
        let mut node = &mut tree;
        for step in path {
            node = &mut node[written(step)];
            if node.is_null() {
                *node = json!({});
            }
        }
        node["."] = json!({});
    }
    drop_lone_dots(&mut tree);
    tree
}

/// A leaf is written `{}`, only what has more inside keeps its `.`.
fn drop_lone_dots(tree: &mut Value) {
    let Some(fields) = tree.as_object_mut() else { return };
    if fields.len() == 1 {
        fields.remove(".");
    }
    for inner in fields.values_mut() {
        drop_lone_dots(inner);
    }
}

pub fn from_tree(tree: &Value) -> FieldSet {
    let mut set = FieldSet::new();
    read_tree(tree, &mut Vec::new(), &mut set);
    set
}

fn read_tree(tree: &Value, path: &mut Path, set: &mut FieldSet) {
    let Some(fields) = tree.as_object() else { return };
    if (fields.is_empty() || fields.contains_key(".")) && !path.is_empty() {
        set.insert(path.clone());
    }
    for (name, inner) in fields {
        let step = match name.split_once(':') {
            Some(("f", rest)) => Step::Field(rest.to_owned()),
            Some(("k", rest)) => Step::Key(rest.to_owned()),
            Some(("v", rest)) => Step::Item(rest.to_owned()),
            _ => continue,
        };
        path.push(step);
        read_tree(inner, path, set);
        path.pop();
    }
}
