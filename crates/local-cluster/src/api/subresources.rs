//! `/scale`, `/binding`, `/eviction`, `/token`, `/finalize`: small objects that stand for a part of another.

use std::sync::Arc;

use serde_json::{Value, json};

use super::error::ApiError;
use super::request::{ApiRequest, Target, WriteOptions};
use super::response::{self, Answer};
use super::{Api, read, write};
use crate::deletion::{self, DeleteOptions, Outcome};
use crate::patch::{self, PatchKind};

pub fn answer(api: &Arc<Api>, request: &ApiRequest, target: &Target, verb: &str) -> Result<Answer, ApiError> {
    match (target.subresource.as_deref(), verb) {
        (Some("scale"), "get") => Ok(response::json(200, &scale_of(&*read::find(api, target)?))),
        (Some("scale"), "update" | "patch") => scale(api, request, target, verb),
        (Some("binding"), "create") => bind(api, request, target),
        (Some("eviction"), "create") => evict(api, request, target),
        (Some("token"), "create") => token(api, request, target),
        (Some("finalize"), "update") => finalize(api, request, target),
        _ => Err(ApiError::method_not_allowed()),
    }
}

fn selector_text(selector: &Value) -> String {
    let labels = selector.get("matchLabels").unwrap_or(selector);
    let pairs: Vec<String> = labels
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)))
        .collect();
    pairs.join(",")
}

fn scale_of(object: &Value) -> Value {
    let metadata = &object["metadata"];
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"], "creationTimestamp": metadata["creationTimestamp"],
        },
        "spec": {"replicas": object["spec"]["replicas"].as_i64().unwrap_or(0)},
        "status": {
            "replicas": object["status"]["replicas"].as_i64().unwrap_or(0),
            "selector": selector_text(&object["spec"]["selector"]),
        },
    })
}

fn scale(api: &Arc<Api>, request: &ApiRequest, target: &Target, verb: &str) -> Result<Answer, ApiError> {
    let options = WriteOptions::of(request)?;
    let body = request.json()?.unwrap_or_default();
    let kind = target.kind.clone();
    let name = target.name.clone().unwrap_or_default();
    let stored = write::edit(api, target, &options, |current, _| {
        let mut scale = scale_of(current);
        if verb == "patch" {
            let patch_kind = match PatchKind::of(request.content_type()) {
                Some(PatchKind::Apply) | None => PatchKind::Merge,
                Some(other) => other,
            };
            patch::apply(patch_kind, &mut scale, &body)?;
        } else {
            let revision = body["metadata"]["resourceVersion"].as_str().unwrap_or_default();
            if !revision.is_empty() && current["metadata"]["resourceVersion"] != revision {
                return Err(ApiError::modified(&kind, &name));
            }
            scale["spec"] = body["spec"].clone();
        }
        let Some(replicas) = scale["spec"].get("replicas").map_or(Some(0), Value::as_i64) else {
            return Err(ApiError::bad_request(
                "json: cannot unmarshal into Go struct field ScaleSpec.spec.replicas of type int32",
            ));
        };
        if replicas < 0 {
            let cause =
                super::error::Cause::invalid("spec.replicas", &json!(replicas), "must be greater than or equal to 0");
            let mut error = ApiError::invalid(&kind, &name, &[cause]);
            error.message = error.message.replacen(&kind.qualified_kind(), "Scale.autoscaling", 1);
            return Err(error);
        }
        let mut next = current.clone();
        if next["spec"]["replicas"] != json!(replicas) {
            next["spec"]["replicas"] = json!(replicas);
            let generation = next["metadata"]["generation"].as_u64().unwrap_or(1);
            next["metadata"]["generation"] = json!(generation + 1);
        }
        Ok(next)
    })?;
    Ok(response::json(200, &scale_of(&stored)))
}

fn bind(api: &Arc<Api>, request: &ApiRequest, target: &Target) -> Result<Answer, ApiError> {
    let options = WriteOptions::of(request)?;
    let body = request.json()?.unwrap_or_default();
    let node = body["target"]["name"].as_str().unwrap_or_default().to_owned();
    let kind = target.kind.clone();
    let name = target.name.clone().unwrap_or_default();
    write::edit(api, target, &options, |current, _| {
        if let Some(bound) = current["spec"]["nodeName"].as_str().filter(|it| !it.is_empty()) {
            return Err(ApiError::conflict(
                &kind,
                &name,
                &format!("pod {name} is already assigned to node \"{bound}\""),
            ));
        }
        let mut next = current.clone();
        next["spec"]["nodeName"] = json!(node);
        crate::events::set_condition(&mut next["status"], "PodScheduled", true, None, None);
        Ok(next)
    })?;
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Ok(response::json(201, &status))
}

fn evict(api: &Arc<Api>, request: &ApiRequest, target: &Target) -> Result<Answer, ApiError> {
    let body = request.json()?.unwrap_or_default();
    let name = target.name.as_deref().unwrap_or_default();
    let options = DeleteOptions {
        grace_seconds: body["deleteOptions"]["gracePeriodSeconds"].as_u64(),
        ..DeleteOptions::default()
    };
    if WriteOptions::of(request)?.dry_run {
        read::find(api, target)?;
    } else if matches!(
        deletion::delete(&api.storage, &target.kind.key(target.namespace.as_deref(), name), &options),
        Outcome::NotFound
    ) {
        return Err(ApiError::not_found(&target.kind, name));
    }
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Ok(response::json(201, &status))
}

fn token(api: &Arc<Api>, request: &ApiRequest, target: &Target) -> Result<Answer, ApiError> {
    let account = read::find(api, target)?;
    let body = request.json()?.unwrap_or_default();
    let seconds = body["spec"]["expirationSeconds"].as_i64().unwrap_or(3600).clamp(600, 365 * 24 * 3600);
    let audience = body["spec"]["audiences"][0].as_str();
    let (token, expires) = api.auth.issue(&account, None, audience, seconds);
    let expires = jiff::Timestamp::from_second(expires).unwrap_or_default();
    let answer = json!({
        "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"name": account["metadata"]["name"], "namespace": account["metadata"]["namespace"]},
        "spec": {"audiences": [audience.unwrap_or("https://kubernetes.default.svc")], "expirationSeconds": seconds},
        "status": {"token": token, "expirationTimestamp": expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()},
    });
    Ok(response::json(201, &answer))
}

fn finalize(api: &Arc<Api>, request: &ApiRequest, target: &Target) -> Result<Answer, ApiError> {
    let body = request.json()?.unwrap_or_default();
    let stored = write::edit(api, target, &WriteOptions::default(), |current, _| {
        let mut next = current.clone();
        next["spec"]["finalizers"] = body["spec"]["finalizers"].clone();
        Ok(next)
    })?;
    Ok(response::json(200, &*stored))
}
