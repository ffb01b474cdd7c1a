//! OpenAPI v3, as far as kubectl reads it: which kinds there are, and that the server validates fields itself.

use serde_json::{Map, Value, json};

use super::Api;
use super::error::ApiError;
use super::response::{self, Answer};
use crate::kinds::Kind;

pub fn v3(api: &Api, rest: &[&str]) -> Answer {
    match rest {
        [] => response::json(200, &json!({"paths": index(api)})),
        ["api", version] => document(api, "", version),
        ["apis", group, version] => document(api, group, version),
        _ => response::refusal(&ApiError::no_such_path()),
    }
}

fn base(kind: &Kind) -> String {
    if kind.group.is_empty() {
        format!("api/{}", kind.version)
    } else {
        format!("apis/{}/{}", kind.group, kind.version)
    }
}

fn index(api: &Api) -> Map<String, Value> {
    let paths = api.registry.all().into_iter().map(|kind| base(&kind));
    paths.map(|path| (path.clone(), json!({"serverRelativeURL": format!("/openapi/v3/{path}")}))).collect()
}

fn document(api: &Api, group: &str, version: &str) -> Answer {
    let mut paths = Map::new();
    for kind in api.registry.all().iter().filter(|it| it.group == group && it.version == version) {
        let inside = if kind.namespaced { "/namespaces/{namespace}" } else { "" };
        let all = format!("/{}{inside}/{}", base(kind), kind.plural);
        let gvk = json!({"group": kind.group, "version": kind.version, "kind": kind.kind});
        let parameters: Vec<Value> = ["dryRun", "fieldManager", "fieldValidation"]
            .iter()
            .map(|name| json!({"in": "query", "name": name, "schema": {"type": "string", "uniqueItems": true}}))
            .collect();
        let operation = |action: &str| {
            json!({"x-kubernetes-action": action, "x-kubernetes-group-version-kind": gvk, "parameters": parameters,
                "responses": {"200": {"description": "OK"}}})
        };
        paths.insert(all.clone(), json!({"post": operation("post")}));
        if !kind.create_only {
            let mut patch = operation("patch");
            patch["requestBody"] = json!({"content": {
                "application/apply-patch+yaml": {}, "application/json-patch+json": {},
                "application/merge-patch+json": {}}});
            paths.insert(format!("{all}/{{name}}"), json!({"put": operation("put"), "patch": patch}));
        }
    }
    if paths.is_empty() {
        return response::refusal(&ApiError::no_such_path());
    }
    let document = json!({
        "openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.36.0"}, "paths": paths,
        "components": {"schemas": {}},
    });
    response::json(200, &document)
}
