//! PUT and PATCH: what a client sends changes a stored object, or is refused with the reason.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::error::ApiError;
use super::read::{View, in_view};
use super::request::{ApiRequest, Target, WriteOptions};
use super::response::{self, Answer};
use super::{Api, create, delete};
use crate::kinds::Kind;
use crate::patch::{self, PatchKind};
use crate::storage::StorageError;
use crate::{apply, defaults, schema, validation};

/// The object in a request's body, with kind and apiVersion as the path says.
pub fn object_in(request: &ApiRequest, kind: &Kind) -> Result<Value, ApiError> {
    let Some(mut object) = request.json()? else {
        return Err(ApiError::bad_request("unable to decode an empty body"));
    };
    settle_type(&mut object, kind)?;
    Ok(object)
}

fn settle_type(object: &mut Value, kind: &Kind) -> Result<(), ApiError> {
    let Some(fields) = object.as_object_mut() else {
        let why = "couldn't get version/kind; json parse error: json: cannot unmarshal into Go value of type struct";
        return Err(ApiError::bad_request(why));
    };
    let api_version = kind.api_version();
    let given = |fields: &Map<String, Value>, name: &str| {
        fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let (given_kind, given_version) = (given(fields, "kind"), given(fields, "apiVersion"));
    if kind.custom && given_kind.is_empty() {
        return Err(ApiError::bad_request("Object 'Kind' is missing"));
    }
    if !given_version.is_empty() && given_version != api_version {
        let why = format!(
            "the API version in the data ({given_version}) does not match the expected API version ({api_version})"
        );
        return Err(ApiError::bad_request(why));
    }
    if !given_kind.is_empty() && given_kind != kind.kind {
        let (version, expected) = (&kind.version, &kind.kind);
        let why = format!("{given_kind} in version \"{version}\" cannot be handled as a {expected}");
        return Err(ApiError::bad_request(why));
    }
    fields.insert("kind".to_owned(), json!(kind.kind));
    fields.insert("apiVersion".to_owned(), json!(api_version));
    match fields.get("metadata") {
        Some(Value::Object(_)) => {}
        None | Some(Value::Null) => {
            fields.insert("metadata".to_owned(), json!({}));
        }
        Some(_) => {
            let why = format!(
                "{} in version \"{}\" cannot be handled as a {}: json: cannot unmarshal into Go struct field \
                 {}.metadata of type v1.ObjectMeta",
                kind.kind, kind.version, kind.kind, kind.kind
            );
            return Err(ApiError::bad_request(why));
        }
    }
    Ok(())
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

pub fn settle_namespace(object: &mut Value, kind: &Kind, namespace: Option<&str>) -> Result<(), ApiError> {
    let given = object["metadata"]["namespace"].as_str().filter(|it| !it.is_empty());
    match (kind.namespaced, namespace) {
        (true, Some(namespace)) => {
            if given.is_some_and(|it| it != namespace) {
                let why = format!(
                    "the namespace of the provided object does not match the namespace sent on the request \
                     ({} != {namespace})",
                    given.unwrap_or_default()
                );
                return Err(ApiError::bad_request(why));
            }
            object["metadata"]["namespace"] = json!(namespace);
        }
        _ => {
            if let Some(fields) = object["metadata"].as_object_mut() {
                fields.remove("namespace");
            }
        }
    }
    Ok(())
}

pub fn event_of_core_group(event: &mut Value) {
    event["apiVersion"] = json!("v1");
    if let Some(fields) = event.as_object_mut() {
        for (new, old) in [
            ("regarding", "involvedObject"),
            ("note", "message"),
            ("deprecatedSource", "source"),
            ("deprecatedFirstTimestamp", "firstTimestamp"),
            ("deprecatedLastTimestamp", "lastTimestamp"),
            ("deprecatedCount", "count"),
            ("reportingController", "reportingComponent"),
        ] {
            if let Some(value) = fields.remove(new) {
                fields.insert(old.to_owned(), value);
            }
        }
    }
}

pub fn update(api: &Arc<Api>, request: &ApiRequest, target: &Target) -> Result<Answer, ApiError> {
    let options = WriteOptions::of(request)?;
    let kind = &target.kind;
    let name = target.name.as_deref().unwrap_or_default();
    let mut object = object_in(request, kind)?;
    let given = object["metadata"]["name"].as_str().unwrap_or_default();
    if given.is_empty() {
        return Err(ApiError::bad_request("name must be provided"));
    }
    if given != name {
        let why = format!("the name of the object ({given}) does not match the name on the URL ({name})");
        return Err(ApiError::bad_request(why));
    }
    schema::check(kind, &mut object, options.strict)?;
    settle_namespace(&mut object, kind, target.namespace.as_deref())?;
    if kind.group == "events.k8s.io" {
        event_of_core_group(&mut object);
    }
    let stored = edit(api, target, &options, |current, manager| {
        let mut next = prepare(kind, current, object, target.subresource.as_deref())?;
        apply::record_update(kind, Some(current), &mut next, manager, target.subresource.as_deref());
        Ok(next)
    })?;
    Ok(response::json(200, &*in_view(View::of(request), kind, &stored)))
}

pub fn patch(api: &Arc<Api>, request: &ApiRequest, target: &Target) -> Result<Answer, ApiError> {
    let options = WriteOptions::of(request)?;
    let kind = target.kind.clone();
    let patch_kind = PatchKind::of(request.content_type()).ok_or_else(|| {
        let accepted = "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml, \
                        application/strategic-merge-patch+json";
        ApiError::unsupported_media_type(request.content_type(), accepted)
    })?;
    if patch_kind == PatchKind::Strategic && kind.custom {
        let accepted = "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
        return Err(ApiError::unsupported_media_type(request.content_type(), accepted));
    }
    let body = patch_body(request, patch_kind)?;
    if patch_kind == PatchKind::Apply {
        return apply_patch(api, request, target, &options, body);
    }
    let stored = edit(api, target, &options, |current, manager| {
        let mut patched = current.clone();
        patch::apply(patch_kind, &mut patched, &body)?;
        settle_type(&mut patched, &kind)?;
        if patched["metadata"]["name"] != current["metadata"]["name"] {
            let why = "metadata.name: Invalid value: field is immutable";
            let cause =
                super::error::Cause::invalid("metadata.name", &patched["metadata"]["name"], "field is immutable");
            tracing::debug!(why);
            return Err(ApiError::invalid(&kind, target.name.as_deref().unwrap_or_default(), &[cause]));
        }
        schema::check(&kind, &mut patched, options.strict)?;
        let mut next = prepare(&kind, current, patched, target.subresource.as_deref())?;
        apply::record_update(&kind, Some(current), &mut next, manager, target.subresource.as_deref());
        Ok(next)
    })?;
    Ok(response::json(200, &*in_view(View::of(request), &kind, &stored)))
}

fn patch_body(request: &ApiRequest, kind: PatchKind) -> Result<Value, ApiError> {
    if kind == PatchKind::Apply {
        // Apply bodies are YAML, of which JSON is a part; JSON is read with the quicker parser.
        if let Ok(value) = serde_json::from_slice(&request.body) {
            return Ok(value);
        }
        let text = std::str::from_utf8(&request.body).map_err(|error| ApiError::bad_request(error.to_string()))?;
        return serde_saphyr::from_str(text)
            .map_err(|error| ApiError::bad_request(format!("error decoding YAML: {error}")));
    }
    serde_json::from_slice(&request.body)
        .map_err(|error| ApiError::bad_request(format!("error decoding patch: {error}")))
}

/// Server-side apply: creates what is missing, else merges what the manager owns.
fn apply_patch(
    api: &Arc<Api>,
    request: &ApiRequest,
    target: &Target,
    options: &WriteOptions,
    mut body: Value,
) -> Result<Answer, ApiError> {
    let kind = target.kind.clone();
    let name = target.name.as_deref().unwrap_or_default();
    let Some(manager) = options.field_manager.clone() else {
        let cause = super::error::Cause::required("fieldManager", "is required for apply patch");
        let mut error = ApiError::invalid(&kind, "", &[cause]);
        error.message =
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch"
                .to_owned();
        return Err(error);
    };
    if body["apiVersion"].as_str().is_none_or(str::is_empty) || body["kind"].as_str().is_none_or(str::is_empty) {
        return Err(ApiError::bad_request("error when setting kind and version: Object 'Kind' is missing"));
    }
    settle_type(&mut body, &kind)?;
    if body["metadata"]["managedFields"].as_array().is_some_and(|it| !it.is_empty()) {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    if body["metadata"]["name"].as_str().is_some_and(|it| it != name) {
        let given = text(&body["metadata"]["name"]);
        let why = format!("the name of the object ({given}) does not match the name on the URL ({name})");
        return Err(ApiError::bad_request(why));
    }
    body["metadata"]["name"] = json!(name);
    schema::check(&kind, &mut body, options.strict)?;
    settle_namespace(&mut body, &kind, target.namespace.as_deref())?;
    let subresource = target.subresource.as_deref();
    let key = kind.key(target.namespace.as_deref(), name);
    if api.storage.get(&key).is_none() && subresource.is_none() {
        if body["metadata"]["uid"].as_str().is_some_and(|it| !it.is_empty()) {
            return Err(ApiError::conflict(&kind, name, "uid mismatch: the object does not exist"));
        }
        let mut object = body.clone();
        apply::first(&kind, &mut object, &body, &manager);
        match create::create_object(api, &kind, target.namespace.as_deref(), object, options) {
            // Another was quicker: then it is a merge.
            Err(error) if error.reason == "AlreadyExists" && !options.dry_run => {}
            Err(error) => return Err(error),
            Ok(created) => return Ok(response::json(201, &*in_view(View::of(request), &kind, &created))),
        }
    }
    let stored = edit(api, target, options, |current, _| {
        let merged = apply::merge(&kind, current, &body, &manager, options.force, subresource)?;
        let tracked = merged["metadata"]["managedFields"].clone();
        let mut next = prepare(&kind, current, merged, subresource)?;
        next["metadata"]["managedFields"] = tracked;
        apply::keep_time_of_unchanged(current, &mut next);
        Ok(next)
    })?;
    Ok(response::json(200, &*in_view(View::of(request), &kind, &stored)))
}

/// Reads, changes and stores in one step; a dry run stores nothing. An object whose last finalizer went is removed.
pub fn edit(
    api: &Arc<Api>,
    target: &Target,
    options: &WriteOptions,
    change: impl FnOnce(&Value, &str) -> Result<Value, ApiError>,
) -> Result<Arc<Value>, ApiError> {
    let kind = &target.kind;
    let name = target.name.as_deref().unwrap_or_default();
    let key = kind.key(target.namespace.as_deref(), name);
    if options.dry_run {
        let current = api.storage.get(&key).ok_or_else(|| ApiError::not_found(kind, name))?;
        return change(&current, options.manager()).map(Arc::new);
    }
    let stored = api
        .storage
        .update(&key, |current| {
            *current = change(current, options.manager())?;
            Ok(())
        })
        .map_err(|error| match error {
            StorageError::Refused(refused) => refused,
            StorageError::NotFound | StorageError::Exists => ApiError::not_found(kind, name),
        })?;
    if kind.plural == "customresourcedefinitions" {
        api.registry.set_custom(&stored);
    }
    delete::finish_if_done(&api.storage, &key, &stored);
    Ok(stored)
}

/// What an update makes of an object: the client's fields, the system's metadata, and of `spec` and `status` only
/// that which this path may change.
fn prepare(kind: &Kind, current: &Value, mut next: Value, subresource: Option<&str>) -> Result<Value, ApiError> {
    let name = text(&current["metadata"]["name"]);
    let revision = next["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    if !revision.is_empty() && current["metadata"]["resourceVersion"] != revision {
        return Err(ApiError::modified(kind, &name));
    }
    let uid = next["metadata"]["uid"].as_str().unwrap_or_default();
    if !uid.is_empty() && current["metadata"]["uid"] != uid {
        let theirs = text(&current["metadata"]["uid"]);
        let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {theirs}");
        return Err(ApiError::conflict(kind, &name, &why));
    }
    if kind.has_subresource("status") {
        if subresource == Some("status") {
            let mut kept = current.clone();
            kept["status"] = next["status"].take();
            if next["metadata"]["managedFields"].is_array() {
                kept["metadata"]["managedFields"] = next["metadata"]["managedFields"].take();
            }
            if kept["status"].is_null()
                && let Some(fields) = kept.as_object_mut()
            {
                fields.remove("status");
            }
            return Ok(kept);
        }
        match current.get("status") {
            Some(status) => next["status"] = status.clone(),
            None => {
                if let Some(fields) = next.as_object_mut() {
                    fields.remove("status");
                }
            }
        }
    }
    keep_system_metadata(current, &mut next);
    defaults::on_update(kind, current, &mut next);
    let causes = validation::check(kind, &next, Some(current));
    if !causes.is_empty() {
        return Err(ApiError::invalid(kind, &name, &causes));
    }
    if kind.generation {
        let strip = |object: &Value| {
            let mut rest = object.as_object().cloned().unwrap_or_default();
            for field in ["metadata", "status"] {
                rest.remove(field);
            }
            rest
        };
        let before = current["metadata"]["generation"].as_u64().unwrap_or(1);
        let changed = strip(current) != strip(&next);
        next["metadata"]["generation"] = json!(if changed { before + 1 } else { before });
    }
    Ok(next)
}

fn keep_system_metadata(current: &Value, next: &mut Value) {
    let Some(fields) = next["metadata"].as_object_mut() else { return };
    for system in [
        "uid",
        "creationTimestamp",
        "resourceVersion",
        "namespace",
        "name",
        "generation",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generateName",
        "managedFields",
        "selfLink",
    ] {
        match current["metadata"].get(system) {
            Some(value) => fields.insert(system.to_owned(), value.clone()),
            None => fields.remove(system),
        };
    }
    // A deleted object takes no new finalizers.
    if current["metadata"]["deletionTimestamp"].is_string()
        && let (Some(new), Some(old)) =
            (fields.get_mut("finalizers").and_then(Value::as_array_mut), current["metadata"]["finalizers"].as_array())
    {
        new.retain(|it| old.contains(it));
    }
    for list in ["finalizers", "ownerReferences", "labels", "annotations"] {
        let empty = match fields.get(list) {
            Some(Value::Array(all)) => all.is_empty(),
            Some(Value::Object(all)) => all.is_empty(),
            Some(Value::Null) => true,
            _ => false,
        };
        if empty {
            fields.remove(list);
        }
    }
}
