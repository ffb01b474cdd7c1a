//! What a client asks before it asks for objects: versions, groups, resources, health.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};

use super::Api;
use super::error::ApiError;
use super::request::ApiRequest;
use super::response::{self, Answer};
use crate::kinds::Kind;

/// Answers a path that names no object; `None` for those that do.
pub fn answer(api: &Api, request: &ApiRequest, segments: &[String]) -> Option<Answer> {
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let found = match segments.as_slice() {
        [] => response::json(
            200,
            &json!({"paths": ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v2",
            "/openapi/v3", "/readyz", "/version"]}),
        ),
        ["version"] => response::json(200, &version()),
        ["healthz" | "readyz" | "livez", ..] => response::text(200, "ok"),
        ["openapi", "v2"] => openapi_v2(request),
        ["openapi", "v3", rest @ ..] => super::openapi::v3(api, rest),
        ["api"] => response::json(
            200,
            &json!({"kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": request.header("host")}]}),
        ),
        ["apis"] => response::json(200, &json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups(api)})),
        ["apis", group] => match groups(api).into_iter().find(|it| it["name"] == *group) {
            Some(mut found) => {
                found["kind"] = json!("APIGroup");
                found["apiVersion"] = json!("v1");
                response::json(200, &found)
            }
            None => response::refusal(&ApiError::no_such_path()),
        },
        ["api", version] => resources(api, "", version),
        ["apis", group, version] => resources(api, group, version),
        _ => return None,
    };
    if matches!(request.method, Method::GET | Method::HEAD) {
        Some(found)
    } else {
        Some(response::refusal(&ApiError::method_not_allowed()))
    }
}

fn version() -> Value {
    json!({
        "major": "1", "minor": "36", "emulationMajor": "1", "emulationMinor": "36",
        "minCompatibilityMajor": "1", "minCompatibilityMinor": "35",
        "gitVersion": "v1.36.0", "gitCommit": "", "gitTreeState": "clean", "buildDate": "2026-04-22T00:00:00Z",
        "goVersion": "go1.26", "compiler": "gc", "platform": "linux/amd64",
    })
}

/// An empty document: kubectl then checks nothing itself and leaves that to the server.
fn openapi_v2(request: &ApiRequest) -> Answer {
    if request.header("accept").contains("com.github.proto-openapi.spec.v2") {
        // The type as newer servers write it, also to those who ask for the older spelling with an `@`.
        let mime = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
        return response::bytes(200, mime, "");
    }
    let document = json!({"swagger": "2.0", "info": {"title": "Kubernetes", "version": "v1.36.0"}, "paths": {}});
    response::json(200, &document)
}

fn groups(api: &Api) -> Vec<Value> {
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for kind in api.registry.all().iter().filter(|it| !it.group.is_empty()) {
        let of_group = versions.entry(kind.group.clone()).or_default();
        if !of_group.contains(&kind.version) {
            of_group.push(kind.version.clone());
        }
    }
    versions
        .into_iter()
        .map(|(group, mut versions)| {
            versions.sort_by_key(|it| std::cmp::Reverse(priority(it)));
            let listed: Vec<Value> = versions
                .iter()
                .map(|version| json!({"groupVersion": format!("{group}/{version}"), "version": version}))
                .collect();
            json!({"name": group, "preferredVersion": listed[0], "versions": listed})
        })
        .collect()
}

/// Orders versions as Kubernetes prefers them: stable before beta before alpha, newer before older.
fn priority(version: &str) -> (u8, u32, u32) {
    let Some(rest) = version.strip_prefix('v') else { return (0, 0, 0) };
    let digits = rest.find(|it: char| !it.is_ascii_digit()).unwrap_or(rest.len());
    let major = rest[..digits].parse().unwrap_or(0);
    let end = &rest[digits..];
    if end.is_empty() {
        return (3, major, 0);
    }
    for (stage, rank) in [("beta", 2), ("alpha", 1)] {
        if let Some(minor) = end.strip_prefix(stage) {
            return (rank, major, minor.parse().unwrap_or(0));
        }
    }
    (0, 0, 0)
}

fn resources(api: &Api, group: &str, version: &str) -> Answer {
    let kinds: Vec<Arc<Kind>> =
        api.registry.all().into_iter().filter(|it| it.group == group && it.version == version).collect();
    if kinds.is_empty() {
        return response::refusal(&ApiError::no_such_path());
    }
    let mut listed = Vec::new();
    for kind in &kinds {
        let mut entry = json!({
            "name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced,
            "kind": kind.kind, "verbs": kind.verbs(),
        });
        if !kind.short_names.is_empty() {
            entry["shortNames"] = json!(kind.short_names);
        }
        if !kind.categories.is_empty() {
            entry["categories"] = json!(kind.categories);
        }
        listed.push(entry);
        for subresource in &kind.subresources {
            listed.push(subresource_entry(kind, subresource));
        }
    }
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let list = json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": listed,
    });
    response::json(200, &list)
}

fn subresource_entry(kind: &Kind, subresource: &str) -> Value {
    let (what, verbs): (&str, &[&str]) = match subresource {
        "scale" => ("Scale", &["get", "patch", "update"]),
        "log" => ("Pod", &["get"]),
        "binding" => ("Binding", &["create"]),
        "eviction" => ("Eviction", &["create"]),
        "token" => ("TokenRequest", &["create"]),
        "finalize" => ("Namespace", &["update"]),
        _ => (&kind.kind, &["get", "patch", "update"]),
    };
    let mut entry = json!({
        "name": format!("{}/{subresource}", kind.plural), "singularName": "", "namespaced": kind.namespaced,
        "kind": what, "verbs": verbs,
    });
    let foreign = match subresource {
        "scale" => Some(("autoscaling", "v1")),
        "eviction" => Some(("policy", "v1")),
        "token" => Some(("authentication.k8s.io", "v1")),
        _ => None,
    };
    if let Some((group, version)) = foreign {
        entry["group"] = json!(group);
        entry["version"] = json!(version);
    }
    entry
}
