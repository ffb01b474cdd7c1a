//! DELETE of one object and of a collection.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Api;
use super::error::ApiError;
use super::read::{Selectors, View, in_view};
use super::request::{ApiRequest, Target, WriteOptions};
use super::response::{self, Answer};
use crate::deletion::{self, DeleteOptions, Outcome, Propagation};
use crate::kinds::Kind;
use crate::storage::{Key, Resource};

pub use crate::deletion::finish_if_done;

fn options(request: &ApiRequest) -> Result<DeleteOptions, ApiError> {
    let body = request.json()?.unwrap_or_default();
    let query = &request.query;
    let propagation = match body["propagationPolicy"].as_str().or_else(|| query.get("propagationPolicy")) {
        Some("Foreground") => Propagation::Foreground,
        Some("Orphan") => Propagation::Orphan,
        Some("Background") => Propagation::Background,
        None => match body["orphanDependents"].as_bool() {
            Some(true) => Propagation::Orphan,
            _ => Propagation::Background,
        },
        Some(other) => {
            let why = format!(
                "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: \"{other}\": \
                 supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\""
            );
            return Err(ApiError::new(422, "Invalid", why));
        }
    };
    let grace_seconds = match body["gracePeriodSeconds"].as_u64() {
        Some(seconds) => Some(seconds),
        None => query.number("gracePeriodSeconds")?,
    };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Ok(DeleteOptions {
        propagation,
        grace_seconds,
        uid: text(&body["preconditions"]["uid"]),
        resource_version: text(&body["preconditions"]["resourceVersion"]),
    })
}

fn dry_run(request: &ApiRequest) -> Result<bool, ApiError> {
    let in_body = request.json()?.is_some_and(|body| body["dryRun"].as_array().is_some_and(|it| !it.is_empty()));
    Ok(in_body || WriteOptions::of(request)?.dry_run)
}

pub fn delete_one(api: &Arc<Api>, request: &ApiRequest, target: &Target) -> Result<Answer, ApiError> {
    let kind = &target.kind;
    let name = target.name.as_deref().unwrap_or_default();
    let options = options(request)?;
    let object = super::read::find(api, target)?;
    if dry_run(request)? {
        return Ok(answer(kind, request, &object, true));
    }
    let key = kind.key(target.namespace.as_deref(), name);
    match deletion::delete(&api.storage, &key, &options) {
        Outcome::NotFound => Err(ApiError::not_found(kind, name)),
        Outcome::Precondition(why) => Err(ApiError::conflict(kind, name, &why)),
        Outcome::Removed(object) => {
            deletion_effects(api, kind, &object);
            Ok(answer(kind, request, &object, true))
        }
        Outcome::Marked(object) => Ok(answer(kind, request, &object, false)),
    }
}

fn deletion_effects(api: &Api, kind: &Kind, object: &Value) {
    if kind.plural == "customresourcedefinitions" {
        api.registry.remove_custom(object);
        // What it defined goes with it.
        let text = |field: &str| object["spec"].pointer(field).and_then(Value::as_str).unwrap_or_default();
        let resource = Resource::new(text("/group"), text("/names/plural"));
        for custom in api.storage.list(&resource, None).1 {
            let text = |field: &str| custom["metadata"][field].as_str().unwrap_or_default();
            api.storage.remove(&Key::new(resource.clone(), text("namespace"), text("name")));
        }
    }
}

fn answer(kind: &Kind, request: &ApiRequest, object: &Arc<Value>, removed: bool) -> Answer {
    // These the real server answers with the object itself, even when it is gone.
    let whole = matches!(
        kind.plural.as_str(),
        "pods" | "services" | "persistentvolumeclaims" | "persistentvolumes" | "serviceaccounts" | "resourcequotas"
    );
    if removed && !whole {
        let mut details =
            json!({"name": object["metadata"]["name"], "kind": kind.plural, "uid": object["metadata"]["uid"]});
        if !kind.group.is_empty() {
            details["group"] = json!(kind.group);
        }
        return response::json(200, &response::success(&details));
    }
    response::json(200, &*in_view(View::of(request), kind, object))
}

pub fn delete_collection(api: &Arc<Api>, request: &ApiRequest, target: &Target) -> Result<Answer, ApiError> {
    let kind = &target.kind;
    if kind.namespaced && target.namespace.is_none() || kind.plural == "namespaces" || kind.plural == "services" {
        return Err(ApiError::method_not_allowed());
    }
    let options = options(request)?;
    let selectors = Selectors::of(request, kind)?;
    let (revision, objects) = api.storage.list(&kind.resource(), target.namespace.as_deref());
    let dry_run = dry_run(request)?;
    let mut items = Vec::new();
    for object in objects.iter().filter(|it| selectors.matches(it)) {
        let key = kind.key(target.namespace.as_deref(), object["metadata"]["name"].as_str().unwrap_or_default());
        let one = DeleteOptions { uid: object["metadata"]["uid"].as_str().map(str::to_owned), ..options.clone() };
        if !dry_run && let Outcome::Removed(object) = deletion::delete(&api.storage, &key, &one) {
            deletion_effects(api, kind, &object);
        }
        items.push(object.clone());
    }
    let list = json!({
        "kind": format!("{}List", kind.kind), "apiVersion": kind.api_version(),
        "metadata": {"resourceVersion": revision.to_string()},
        "items": items.iter().map(|it| (**it).clone()).collect::<Vec<_>>(),
    });
    Ok(response::json(200, &list))
}
