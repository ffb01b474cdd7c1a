//! The rows that `kubectl get` prints.

use std::sync::Arc;

use serde_json::{Value, json};

use super::read::metadata_only;
use crate::kinds::Kind;

pub fn table(kind: &Kind, objects: &[Arc<Value>], metadata: &Value) -> Value {
    let _ = kind;
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let metadata = &object["metadata"];
            json!({"cells": [metadata["name"], metadata["creationTimestamp"]], "object": metadata_only(object)})
        })
        .collect();
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
        "columnDefinitions": [
            {"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0},
            {"name": "Created At", "type": "date", "format": "", "description": "", "priority": 0}],
        "rows": rows,
    })
}
