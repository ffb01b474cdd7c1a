//! GET of one object and of a list, in the representations that `Accept` may ask for.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::BodyExt;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::error::ApiError;
use super::request::{ApiRequest, Target};
use super::response::{self, Answer};
use super::table::Include;
use super::{Api, table};
use crate::kinds::Kind;
use crate::selectors::{FieldSelector, LabelSelector};
use crate::storage::Key;

/// What the client wants to see of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    Whole,
    Metadata,
    Table(Include),
}

impl View {
    pub fn of(request: &ApiRequest) -> Self {
        // The first alternative we can give wins, as a client lists them by preference.
        for alternative in request.header("accept").split(',') {
            let parameter = |name: &str| {
                alternative.split(';').skip(1).find_map(|it| it.trim().strip_prefix(name)?.strip_prefix('='))
            };
            if alternative.contains("protobuf") {
                continue;
            }
            match parameter("as") {
                Some("Table") => {
                    return Self::Table(match request.query.get("includeObject") {
                        Some("None") => Include::Nothing,
                        Some("Object") => Include::Object,
                        _ => Include::Metadata,
                    });
                }
                Some("PartialObjectMetadata" | "PartialObjectMetadataList") => return Self::Metadata,
                _ => return Self::Whole,
            }
        }
        Self::Whole
    }
}

/// An object as this version of its API shows it.
pub fn present(kind: &Kind, object: &Arc<Value>) -> Arc<Value> {
    if kind.group == "events.k8s.io" {
        return Arc::new(event_of_new_group(object));
    }
    if kind.custom && object["apiVersion"] != kind.api_version() {
        let mut converted = (**object).clone();
        converted["apiVersion"] = json!(kind.api_version());
        return Arc::new(converted);
    }
    object.clone()
}

/// The same Event in the field names of events.k8s.io/v1.
fn event_of_new_group(event: &Value) -> Value {
    let mut converted = event.clone();
    converted["apiVersion"] = json!("events.k8s.io/v1");
    if let Some(fields) = converted.as_object_mut() {
        for (old, new) in [
            ("involvedObject", "regarding"),
            ("message", "note"),
            ("source", "deprecatedSource"),
            ("firstTimestamp", "deprecatedFirstTimestamp"),
            ("lastTimestamp", "deprecatedLastTimestamp"),
            ("count", "deprecatedCount"),
            ("reportingComponent", "reportingController"),
        ] {
            if let Some(value) = fields.remove(old) {
                fields.insert(new.to_owned(), value);
            }
        }
    }
    converted
}

pub fn metadata_only(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

/// An object in the view asked for.
pub fn in_view(view: View, kind: &Kind, object: &Arc<Value>) -> Arc<Value> {
    let object = present(kind, object);
    match view {
        View::Whole => object,
        View::Metadata => Arc::new(metadata_only(&object)),
        View::Table(include) => Arc::new(table::table(kind, &[object], &json!({}), include)),
    }
}

pub fn get(api: &Api, request: &ApiRequest, target: &Target) -> Result<Answer, ApiError> {
    let name = target.name.as_deref().unwrap_or_default();
    let object = find(api, target)?;
    if let Some(wanted) = request.query.get("resourceVersion")
        && let Ok(wanted) = wanted.parse::<u64>()
        && wanted > api.storage.revision()
    {
        return Err(too_large(wanted, api.storage.revision()));
    }
    tracing::trace!(name, "get");
    Ok(response::json(200, &*in_view(View::of(request), &target.kind, &object)))
}

/// The object a path names.
pub fn find(api: &Api, target: &Target) -> Result<Arc<Value>, ApiError> {
    let name = target.name.as_deref().unwrap_or_default();
    api.storage
        .get(&target.kind.key(target.namespace.as_deref(), name))
        .ok_or_else(|| ApiError::not_found(&target.kind, name))
}

fn too_large(wanted: u64, current: u64) -> ApiError {
    let message = format!("Timeout: Too large resource version: {wanted}, current: {current}");
    let mut error = ApiError::new(504, "Timeout", message);
    error.details = Some(json!({
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }));
    error
}

/// Both selectors of a list, watch or deletecollection.
#[derive(Clone, Debug, Default)]
pub struct Selectors {
    pub labels: LabelSelector,
    pub fields: FieldSelector,
}

impl Selectors {
    pub fn of(request: &ApiRequest, kind: &Kind) -> Result<Self, ApiError> {
        let wrong = |error: crate::selectors::SelectorError| ApiError::bad_request(error.to_string());
        let labels = LabelSelector::parse(request.query.get("labelSelector").unwrap_or_default()).map_err(wrong)?;
        let fields = FieldSelector::parse(request.query.get("fieldSelector").unwrap_or_default(), &kind.plural)
            .map_err(wrong)?;
        Ok(Self { labels, fields })
    }

    pub fn matches(&self, object: &Value) -> bool {
        self.labels.matches(object) && self.fields.matches(object)
    }
}

#[derive(serde::Deserialize, Serialize)]
struct ContinueToken {
    revision: u64,
    namespace: String,
    name: String,
}

struct Page {
    revision: u64,
    objects: Vec<Arc<Value>>,
    next: Option<String>,
    remaining: Option<usize>,
}

fn page(api: &Api, request: &ApiRequest, target: &Target) -> Result<Page, ApiError> {
    let selectors = Selectors::of(request, &target.kind)?;
    let namespace = target.namespace.as_deref();
    let resource = target.kind.resource();
    let limit = request.query.number::<usize>("limit")?.unwrap_or(0);
    let asked = request.query.get("resourceVersion").and_then(|it| it.parse::<u64>().ok()).unwrap_or(0);
    let current = api.storage.revision();
    if asked > current {
        return Err(too_large(asked, current));
    }
    let expired = || {
        let message = "The provided continue parameter is too old to display a consistent list result. You can start \
                       a new list without the continue parameter, or use the continue token in this response to \
                       retrieve the remainder of the results.";
        ApiError::expired(message)
    };
    let token = match request.query.get("continue") {
        Some(token) => Some(read_token(token)?),
        None => None,
    };
    let exact = request.query.get("resourceVersionMatch") == Some("Exact");
    let (revision, all): (u64, Vec<Arc<Value>>) = if let Some(token) = &token {
        let after = Key::new(resource.clone(), &token.namespace, &token.name);
        let objects = api.storage.list_at(&resource, namespace, token.revision).map_err(|_| expired())?;
        (token.revision, objects.into_iter().filter(|(key, _)| *key > after).map(|(_, object)| object).collect())
    } else if exact && asked > 0 {
        let gone = |_| ApiError::expired(format!("The resourceVersion for the provided list is too old: {asked}"));
        let objects = api.storage.list_at(&resource, namespace, asked).map_err(gone)?;
        (asked, objects.into_iter().map(|(_, object)| object).collect())
    } else if let (Some(namespace), Some(name)) = (namespace, selectors.fields.name()) {
        let revision = api.storage.revision();
        (revision, api.storage.get(&target.kind.key(Some(namespace), name)).into_iter().collect())
    } else {
        api.storage.list(&resource, namespace)
    };
    let mut objects: Vec<Arc<Value>> = all.into_iter().filter(|it| selectors.matches(it)).collect();
    let (mut next, mut remaining) = (None, None);
    if limit > 0 && objects.len() > limit {
        if selectors.labels.is_empty() && selectors.fields.is_empty() {
            remaining = Some(objects.len() - limit);
        }
        objects.truncate(limit);
        next = objects.last().map(|last| {
            let metadata = &last["metadata"];
            let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
            let token =
                ContinueToken { revision, namespace: text(&metadata["namespace"]), name: text(&metadata["name"]) };
            URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).unwrap_or_default())
        });
    }
    Ok(Page { revision, objects, next, remaining })
}

fn read_token(token: &str) -> Result<ContinueToken, ApiError> {
    let wrong = || ApiError::bad_request("continue key is not valid: continue token is not valid");
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| wrong())?;
    serde_json::from_slice(&bytes).map_err(|_| wrong())
}

/// An item of a typed list carries neither kind nor apiVersion.
struct Item<'a> {
    object: &'a Value,
    typed: bool,
}

impl Serialize for Item<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.object.as_object() {
            Some(fields) if !self.typed => {
                let mut map = serializer.serialize_map(None)?;
                for (name, value) in fields.iter().filter(|(name, _)| *name != "kind" && *name != "apiVersion") {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
            _ => self.object.serialize(serializer),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<'a> {
    kind: String,
    api_version: String,
    metadata: &'a Value,
    items: Vec<Item<'a>>,
}

pub fn list(api: &Api, request: &ApiRequest, target: &Target) -> Result<Answer, ApiError> {
    let page = page(api, request, target)?;
    let kind = &target.kind;
    let mut metadata = json!({"resourceVersion": page.revision.to_string()});
    if let Some(next) = page.next {
        metadata["continue"] = json!(next);
    }
    if let Some(remaining) = page.remaining {
        metadata["remainingItemCount"] = json!(remaining);
    }
    let objects: Vec<Arc<Value>> = page.objects.iter().map(|it| present(kind, it)).collect();
    Ok(match View::of(request) {
        View::Table(include) => response::json(200, &table::table(kind, &objects, &metadata, include)),
        View::Metadata => {
            let items: Vec<Value> = objects.iter().map(|it| metadata_only(it)).collect();
            let list = json!({
                "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
                "metadata": metadata, "items": items,
            });
            response::json(200, &list)
        }
        View::Whole => {
            let items = objects.iter().map(|it| Item { object: it, typed: kind.custom }).collect();
            let list = List {
                kind: format!("{}List", kind.kind),
                api_version: kind.api_version(),
                metadata: &metadata,
                items,
            };
            response::json(200, &list)
        }
    })
}

/// A list without items, for the fault of that name.
pub fn empty_list(api: &Api, target: &Target) -> Answer {
    let list = List {
        kind: format!("{}List", target.kind.kind),
        api_version: target.kind.api_version(),
        metadata: &json!({"resourceVersion": api.storage.revision().to_string()}),
        items: Vec::new(),
    };
    response::json(200, &list)
}

/// A list with its first items only, for the fault of that name.
pub async fn short(items: usize, whole: Answer) -> Answer {
    let bytes = match whole.into_body().collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) => return response::refusal(&ApiError::internal(error.to_string())),
    };
    match serde_json::from_slice::<Value>(&bytes) {
        Ok(mut list) => {
            if let Some(all) = list["items"].as_array_mut() {
                all.truncate(items);
            }
            response::json(200, &list)
        }
        Err(error) => response::refusal(&ApiError::internal(error.to_string())),
    }
}

/// Repeats the first answer a rule saw, for the fault of a stale list.
pub async fn stale(api: &Api, rule: u64, fresh: Answer) -> Answer {
    let (parts, body) = fresh.into_parts();
    let bytes = match body.collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) => return response::refusal(&ApiError::internal(error.to_string())),
    };
    Answer::from_parts(parts, response::full(api.faults.stale(rule, bytes)))
}
