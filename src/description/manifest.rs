//! Rendered YAML as checked Kubernetes objects.

use std::fmt;

use serde_json::Value;

use super::yaml::{self, YamlError};

/// One object of a description.
#[derive(Clone, PartialEq)]
pub struct Manifest {
    pub api_version: String,
    pub kind: String,
    /// As the description has it; without one the object goes to K8s Manager's own namespace, if its kind has any.
    pub namespace: Option<String>,
    /// `metadata.name`, or `metadata.generateName` where the API server is to make up the name.
    pub name: String,
    pub is_name_generated: bool,
    /// Whether its pods are looked at for the state of the service.
    pub counts: bool,
    pub object: Value,
}

/// What it is, not what it holds: that may be a Secret.
impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.api_version, self.kind, self.name)
    }
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    #[error("{file}, {error}")]
    Yaml { file: String, error: YamlError },
    #[error("{file}, document {document}: {reason}")]
    Document { file: String, document: usize, reason: String },
}

impl Manifest {
    /// What others mount or refer to comes first (0), then the workloads.
    pub fn wave(&self) -> u8 {
        u8::from(super::workload::is_workload(&self.object))
    }

    /// An object with `k8smgr.io/keep: "true"` outlives the service.
    pub fn is_kept(&self) -> bool {
        self.object.pointer("/metadata/annotations/k8smgr.io~1keep").and_then(Value::as_str) == Some("true")
    }
}

/// The objects of a file, lists flattened and empty documents left out. `file` is what messages call it.
pub fn parse(text: &str, file: &str) -> Result<Vec<Manifest>, ManifestError> {
    let documents = yaml::documents(text).map_err(|error| ManifestError::Yaml { file: file.to_owned(), error })?;
    let mut manifests = Vec::new();
    for (index, document) in documents.into_iter().enumerate() {
        let Some(object) = document else { continue };
        add(object, &mut manifests).map_err(|reason| ManifestError::Document {
            file: file.to_owned(),
            document: index + 1,
            reason,
        })?;
    }
    Ok(manifests)
}

fn add(mut object: Value, manifests: &mut Vec<Manifest>) -> Result<(), String> {
    if !object.is_object() {
        return Err("a Kubernetes object was expected".to_owned());
    }
    let kind = text(&object, "/kind", "kind")?;
    if kind.ends_with("List") && object["items"].is_array() {
        let Value::Array(items) = object["items"].take() else { return Ok(()) };
        for (index, item) in items.into_iter().enumerate() {
            add(item, manifests).map_err(|reason| format!("item {} of the list: {reason}", index + 1))?;
        }
        return Ok(());
    }
    let api_version = text(&object, "/apiVersion", "apiVersion")?;
    let named = |reason: String| format!("{kind}: {reason}");
    let metadata = object.get("metadata").ok_or_else(|| named("metadata.name is missing".to_owned()))?;
    if !metadata.is_object() {
        return Err(named("metadata must be an object".to_owned()));
    }
    let is_name_generated = metadata.get("name").is_none() && metadata.get("generateName").is_some();
    let name = match is_name_generated {
        true => text(&object, "/metadata/generateName", "metadata.generateName"),
        false => text(&object, "/metadata/name", "metadata.name"),
    };
    let name = name.map_err(named)?;
    let namespace = match metadata.get("namespace") {
        None | Some(Value::Null) => None,
        Some(_) => Some(text(&object, "/metadata/namespace", "metadata.namespace").map_err(named)?),
    };
    for key in ["labels", "annotations"] {
        check_texts(metadata, key).map_err(named)?;
    }
    manifests.push(Manifest {
        api_version,
        kind: kind.clone(),
        namespace,
        name,
        is_name_generated,
        counts: false,
        object,
    });
    Ok(())
}

fn text(object: &Value, pointer: &str, shown: &str) -> Result<String, String> {
    match object.pointer(pointer) {
        None | Some(Value::Null) => Err(format!("{shown} is missing")),
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
        Some(Value::String(_)) => Err(format!("{shown} is empty")),
        Some(other) => Err(format!("{shown} is {other}, which is not a text; put it in quotes")),
    }
}

/// Labels and annotations must be text: an unquoted number or `yes` is the usual mistake.
fn check_texts(metadata: &Value, key: &str) -> Result<(), String> {
    let members = match metadata.get(key) {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Object(members)) => members,
        Some(_) => return Err(format!("metadata.{key} must be an object")),
    };
    match members.iter().find(|(_, value)| !value.is_string()) {
        Some((name, value)) => {
            Err(format!("the value of `{name}` in metadata.{key} is {value}, which is not a text; put it in quotes"))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        parse(text, "service.yaml").unwrap_err().to_string()
    }

    #[test]
    fn objects_are_found_in_lists_and_among_empty_documents() {
        let text = "---\n---\napiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: a}}\n\
                    - {apiVersion: v1, kind: ConfigMap, metadata: {generateName: b-, namespace: n}}\n---\n\
                    {apiVersion: apps/v1, kind: Deployment, metadata: {name: c, namespace: null}}\n";
        let found: Vec<_> = parse(text, "service.yaml")
            .unwrap()
            .into_iter()
            .map(|it| (it.kind, it.name, it.namespace, it.is_name_generated))
            .collect();
        let n = Some("n".to_owned());
        assert_eq!(
            found,
            [
                ("Pod".into(), "a".into(), None, false),
                ("ConfigMap".into(), "b-".into(), n, true),
                ("Deployment".into(), "c".into(), None, false)
            ]
        );
    }

    #[test]
    fn what_is_missing_is_told_with_the_document() {
        for (text, message) in [
            ("a: 1", "service.yaml, document 1: kind is missing"),
            ("---\n---\nkind: Pod", "service.yaml, document 2: apiVersion is missing"),
            ("{apiVersion: v1, kind: Pod}", "service.yaml, document 1: Pod: metadata.name is missing"),
            (
                "{apiVersion: v1, kind: Pod, metadata: {name: 5}}",
                "service.yaml, document 1: Pod: metadata.name is 5, which is not a text; put it in quotes",
            ),
            (
                "{apiVersion: v1, kind: Pod, metadata: {name: ''}}",
                "service.yaml, document 1: Pod: metadata.name is empty",
            ),
            ("{apiVersion: v1, kind: Pod, metadata: x}", "service.yaml, document 1: Pod: metadata must be an object"),
            (
                "{apiVersion: v1, kind: Pod, metadata: {name: a, labels: {on: yes}}}",
                "service.yaml, document 1: Pod: the value of `true` in metadata.labels is true, which is not a text; put it in quotes",
            ),
            ("- a", "service.yaml, document 1: a Kubernetes object was expected"),
            ("hello", "service.yaml, document 1: a Kubernetes object was expected"),
            (
                "{apiVersion: v1, kind: List, items: [{}, {}]}",
                "service.yaml, document 1: item 1 of the list: kind is missing",
            ),
        ] {
            assert_eq!(refused(text), message);
        }
        assert!(refused("a: [1\n").starts_with("service.yaml, line "));
    }

    #[test]
    fn what_others_mount_comes_before_workloads() {
        let kinds = ["Secret", "ConfigMap", "PersistentVolumeClaim", "Service", "Anything"];
        for kind in kinds {
            let text = format!("{{apiVersion: v1, kind: {kind}, metadata: {{name: a}}}}");
            assert_eq!(parse(&text, "x").unwrap()[0].wave(), 0, "{kind}");
        }
        let pod = "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: main}]}}";
        assert_eq!(parse(pod, "x").unwrap()[0].wave(), 1);
    }
}
