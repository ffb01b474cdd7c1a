//! Watches: a stream of changes from a revision on, as one JSON object a line.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::Api;
use super::error::ApiError;
use super::read::{Selectors, View, in_view};
use super::request::{ApiRequest, Target};
use super::response::{self, Answer};
use crate::kinds::Kind;
use crate::storage::{Change, ChangeKind, Resource};

const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// How long a watch lives when the client does not say.
const DEFAULT_TIMEOUT_SECONDS: u64 = 1800;

/// Which changes one watch tells, and how.
struct Filter {
    kind: Arc<Kind>,
    resource: Resource,
    namespace: Option<String>,
    name: Option<String>,
    selectors: Selectors,
    view: View,
}

impl Filter {
    fn sees(&self, object: &Value) -> bool {
        self.name.as_deref().is_none_or(|name| object["metadata"]["name"] == name) && self.selectors.matches(object)
    }

    /// What the client is told of a change: entering a selection is ADDED, leaving it DELETED.
    fn line(&self, change: &Change) -> Option<Bytes> {
        let within = change.key.resource == self.resource
            && self.namespace.as_deref().is_none_or(|it| it == change.key.namespace);
        if !within {
            return None;
        }
        let before = change.previous.as_ref().is_some_and(|it| self.sees(it));
        let after = change.kind != ChangeKind::Deleted && self.sees(&change.object);
        let (name, object) = match (before, after) {
            (false, false) => return None,
            (false, true) => ("ADDED", change.object.clone()),
            (true, true) => ("MODIFIED", change.object.clone()),
            (true, false) if change.kind == ChangeKind::Deleted => ("DELETED", change.object.clone()),
            (true, false) => {
                // Told as it was last seen, with the revision of its leaving.
                let mut left = change.previous.as_deref().cloned().unwrap_or_default();
                left["metadata"]["resourceVersion"] = json!(change.revision.to_string());
                ("DELETED", Arc::new(left))
            }
        };
        Some(line(name, &in_view(self.view, &self.kind, &object)))
    }

    fn bookmark(&self, revision: u64, initial_end: bool) -> Bytes {
        let mut metadata = json!({"resourceVersion": revision.to_string(), "creationTimestamp": null});
        if initial_end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = if matches!(self.view, View::Table(_)) {
            json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "columnDefinitions": null,
                "rows": [{"cells": [], "object": {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
                "metadata": metadata}}]})
        } else {
            json!({"kind": self.kind.kind, "apiVersion": self.kind.api_version(), "metadata": metadata})
        };
        line("BOOKMARK", &object)
    }
}

fn line(kind: &str, object: &Value) -> Bytes {
    #[derive(serde::Serialize)]
    struct Line<'a> {
        r#type: &'a str,
        object: &'a Value,
    }
    let mut bytes = serde_json::to_vec(&Line { r#type: kind, object }).unwrap_or_default();
    bytes.push(b'\n');
    bytes.into()
}

/// A watch that says that its revision is gone, and ends.
pub fn gone(message: &str) -> Answer {
    let error = line("ERROR", &ApiError::expired(message).status());
    response::stream("application/json", stream::iter([error]))
}

struct State {
    filter: Filter,
    ready: VecDeque<Bytes>,
    changes: Receiver<Change>,
    deadline: Instant,
    bookmarks: Option<Interval>,
    /// The newest revision the client can be told it has seen.
    revision: u64,
}

pub fn watch(api: &Api, request: &ApiRequest, target: &Target) -> Result<Answer, ApiError> {
    let query = &request.query;
    let filter = Filter {
        kind: target.kind.clone(),
        resource: target.kind.resource(),
        namespace: target.namespace.clone(),
        name: target.name.clone(),
        selectors: Selectors::of(request, &target.kind)?,
        view: View::of(request),
    };
    let asked = match query.get("resourceVersion") {
        None | Some("0") => None,
        Some(text) => Some(text.parse::<u64>().map_err(|_| {
            ApiError::bad_request(format!(
                "Invalid value: \"{text}\": strconv.ParseUint: parsing \"{text}\": invalid syntax"
            ))
        })?),
    };
    let initial = query.flag("sendInitialEvents");
    if initial && query.get("resourceVersionMatch") != Some("NotOlderThan") {
        return Err(ApiError::new(
            422,
            "Invalid",
            "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires \
             setting resourceVersionMatch to NotOlderThan",
        ));
    }
    let current = api.storage.revision();
    if let Some(asked) = asked
        && asked > current
    {
        // A revision of a former life of this cluster: the client has to list again.
        return Ok(gone(&format!("too large resource version: {asked} ({current})")));
    }
    let mut ready = VecDeque::new();
    let from_now = initial || asked.is_none() && query.get("sendInitialEvents") != Some("false");
    let start = if from_now {
        let (revision, objects) = api.storage.list(&filter.resource, filter.namespace.as_deref());
        for object in objects.iter().filter(|it| filter.sees(it)) {
            ready.push_back(line("ADDED", &in_view(filter.view, &filter.kind, object)));
        }
        if initial {
            ready.push_back(filter.bookmark(revision, true));
        }
        revision
    } else {
        asked.unwrap_or(current)
    };
    let (missed, changes) = match api.storage.changes_since(start) {
        Ok(both) => both,
        Err(error) => return Ok(gone(&format!("too old resource version: {start} ({})", error.oldest))),
    };
    ready.extend(missed.iter().filter_map(|change| filter.line(change)));
    let revision = missed.last().map_or(start, |change| change.revision);
    let timeout = query.number::<u64>("timeoutSeconds")?.filter(|it| *it > 0).unwrap_or(DEFAULT_TIMEOUT_SECONDS);
    let bookmarks = query.flag("allowWatchBookmarks").then(|| {
        let mut interval = tokio::time::interval_at(Instant::now() + BOOKMARK_EVERY, BOOKMARK_EVERY);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        interval
    });
    let deadline = Instant::now() + Duration::from_secs(timeout.min(86_400));
    let state = State { filter, ready, changes, deadline, bookmarks, revision };
    Ok(response::stream("application/json", stream::unfold(state, next)))
}

async fn next(mut state: State) -> Option<(Bytes, State)> {
    loop {
        if let Some(line) = state.ready.pop_front() {
            return Some((line, state));
        }
        let bookmark = async {
            match &mut state.bookmarks {
                Some(interval) => {
                    interval.tick().await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            change = state.changes.recv() => match change {
                Ok(change) => {
                    state.revision = state.revision.max(change.revision);
                    state.ready.extend(state.filter.line(&change));
                }
                // Too slow, or the cluster is gone: the client starts again from what it has.
                Err(RecvError::Lagged(_) | RecvError::Closed) => return None,
            },
            () = bookmark => state.ready.push_back(state.filter.bookmark(state.revision, false)),
            () = tokio::time::sleep_until(state.deadline) => return None,
        }
    }
}
