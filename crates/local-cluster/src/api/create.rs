//! POST: what a client sends becomes a stored object, or a refusal that says why.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Api;
use super::error::{ApiError, Cause};
use super::read::{View, in_view};
use super::request::{ApiRequest, Target, WriteOptions};
use super::response::{self, Answer};
use super::write::{event_of_core_group, object_in, settle_namespace, text};
use crate::kinds::Kind;
use crate::storage::{StorageError, now};
use crate::{apply, defaults, names, schema, validation};

pub fn create(api: &Arc<Api>, request: &ApiRequest, target: &Target) -> Result<Answer, ApiError> {
    let options = WriteOptions::of(request)?;
    if target.kind.namespaced && target.namespace.is_none() {
        return Err(ApiError::method_not_allowed());
    }
    let mut object = object_in(request, &target.kind)?;
    if let Some(fields) = object["metadata"].as_object_mut() {
        fields.remove("managedFields");
    }
    let created = create_object(api, &target.kind, target.namespace.as_deref(), object, &options)?;
    Ok(response::json(201, &*in_view(View::of(request), &target.kind, &created)))
}

/// Creates an object as a client's POST does: checked, with defaults, 409 when the name is taken.
pub fn create_object(
    api: &Arc<Api>,
    kind: &Kind,
    namespace: Option<&str>,
    mut object: Value,
    options: &WriteOptions,
) -> Result<Arc<Value>, ApiError> {
    schema::check(kind, &mut object, options.strict)?;
    if object["metadata"]["resourceVersion"].as_str().is_some_and(|it| !it.is_empty()) {
        let why = "resourceVersion should not be set on objects to be created";
        return Err(ApiError::bad_request(why));
    }
    settle_namespace(&mut object, kind, namespace)?;
    require_namespace(api, kind, namespace, &object)?;
    let generated = generate_name(&mut object);
    let metadata = &mut object["metadata"];
    if let Some(fields) = metadata.as_object_mut() {
        for system in ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
            fields.remove(system);
        }
        if kind.generation {
            fields.insert("generation".to_owned(), json!(1));
        } else {
            fields.remove("generation");
        }
        fields.retain(|_, value| !value.is_null());
    }
    if kind.has_subresource("status")
        && let Some(fields) = object.as_object_mut()
    {
        fields.remove("status");
    }
    if kind.group == "events.k8s.io" {
        event_of_core_group(&mut object);
    }
    defaults::on_create(kind, &mut object, api.service_account_admission);
    let name = text(&object["metadata"]["name"]);
    let causes = validation::check(kind, &object, None);
    if !causes.is_empty() {
        return Err(ApiError::invalid(kind, &name, &causes));
    }
    if options.field_manager.is_some() && !object["metadata"]["managedFields"].is_array() {
        apply::record_update(kind, None, &mut object, options.manager(), None);
    }
    if options.dry_run {
        if api.storage.get(&kind.key(namespace, &name)).is_some() {
            return Err(ApiError::exists(kind, &name));
        }
        object["metadata"]["uid"] = json!(uuid::Uuid::new_v4().to_string());
        object["metadata"]["creationTimestamp"] = json!(now());
        return Ok(Arc::new(object));
    }
    if kind.plural == "services" && kind.group.is_empty() {
        give_address(api, kind, &mut object)?;
    }
    for attempt in 0..8 {
        if attempt > 0 {
            let prefix = text(&object["metadata"]["generateName"]);
            object["metadata"]["name"] = json!(names::generate(&prefix));
        }
        let name = text(&object["metadata"]["name"]);
        match api.storage.create(kind.key(namespace, &name), object.clone()) {
            Ok(created) => {
                if kind.plural == "customresourcedefinitions" {
                    api.registry.set_custom(&created);
                }
                return Ok(created);
            }
            Err(StorageError::Exists) if generated => {}
            Err(_) => break,
        }
    }
    if let Some(address) = object["spec"]["clusterIP"].as_str().and_then(|it| it.parse().ok())
        && kind.plural == "services"
    {
        api.addresses.free(address);
    }
    Err(ApiError::exists(kind, &name))
}

fn require_namespace(api: &Api, kind: &Kind, namespace: Option<&str>, object: &Value) -> Result<(), ApiError> {
    let Some(namespace) = namespace.filter(|_| kind.namespaced) else { return Ok(()) };
    let Some(namespaces) = api.registry.find("", "v1", "namespaces") else { return Ok(()) };
    let Some(found) = api.storage.get(&namespaces.key(None, namespace)) else {
        return Err(ApiError::not_found(&namespaces, namespace));
    };
    if found["metadata"]["deletionTimestamp"].is_string() {
        let name = text(&object["metadata"]["name"]);
        let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
        let mut error = ApiError::forbidden(kind, &name, &why);
        if let Some(details) = &mut error.details {
            details["causes"] = json!([{"reason": "NamespaceTerminating",
                "message": format!("namespace {namespace} is being terminated"), "field": "metadata.namespace"}]);
        }
        return Err(error);
    }
    Ok(())
}

/// Makes a name where only `generateName` is given; answers whether it did.
fn generate_name(object: &mut Value) -> bool {
    let metadata = &mut object["metadata"];
    let named = metadata["name"].as_str().is_some_and(|it| !it.is_empty());
    let prefix = text(&metadata["generateName"]);
    if named || prefix.is_empty() {
        return false;
    }
    metadata["name"] = json!(names::generate(&prefix));
    true
}

fn give_address(api: &Api, kind: &Kind, service: &mut Value) -> Result<(), ApiError> {
    if service["spec"]["type"] == "ExternalName" {
        return Ok(());
    }
    let name = text(&service["metadata"]["name"]);
    let asked = text(&service["spec"]["clusterIP"]);
    let address = match asked.as_str() {
        "None" => "None".to_owned(),
        "" => match api.addresses.allocate() {
            Some(address) => address.to_string(),
            None => return Err(ApiError::internal("failed to allocate a serviceIP: range is full")),
        },
        _ => {
            let wrong = |what: &str| {
                let cause = Cause::invalid("spec.clusterIPs", &json!([asked]), what);
                ApiError::invalid(kind, &name, &[cause])
            };
            let Ok(address) = asked.parse() else {
                return Err(wrong("must be a valid IP address"));
            };
            if !api.addresses.take(address) {
                return Err(wrong(
                    "failed to allocate IP: the provided IP is already allocated or not in the range 10.96.0.0/16",
                ));
            }
            asked
        }
    };
    service["spec"]["clusterIP"] = json!(address);
    service["spec"]["clusterIPs"] = json!([address]);
    Ok(())
}
