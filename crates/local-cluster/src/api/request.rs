//! A request, taken apart: what it is about, and its parameters.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::Value;

use super::error::ApiError;
use crate::kinds::{Kind, Registry};
use crate::schema::protobuf;

/// A request with its body read.
#[derive(Debug)]
pub struct ApiRequest {
    pub method: Method,
    pub path: String,
    pub query: Query,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl ApiRequest {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default()
    }

    /// The media type of the body, without parameters.
    pub fn content_type(&self) -> &str {
        self.header("content-type").split(';').next().unwrap_or_default().trim()
    }

    /// The body as JSON, or as YAML where the content type says so; `None` when it is empty.
    pub fn json(&self) -> Result<Option<Value>, ApiError> {
        if self.body.is_empty() {
            return Ok(None);
        }
        let content_type = self.content_type();
        if content_type.contains("yaml") {
            let text = std::str::from_utf8(&self.body).map_err(|error| ApiError::bad_request(error.to_string()))?;
            let value = serde_saphyr::from_str(text)
                .map_err(|error| ApiError::bad_request(format!("error decoding YAML: {error}")))?;
            return Ok(Some(value));
        }
        if content_type.contains("protobuf") {
            return protobuf::decode(&self.body).map(Some).map_err(|error| ApiError::bad_request(error.to_string()));
        }
        if content_type.contains("cbor") {
            let accepted = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
            return Err(ApiError::unsupported_media_type(content_type, accepted));
        }
        serde_json::from_slice(&self.body)
            .map(Some)
            .map_err(|error| ApiError::bad_request(format!("couldn't get version/kind; json parse error: {error}")))
    }
}

/// The query parameters, decoded, in their order.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|it| !it.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name, true), decode(value, true))
        });
        Self(pairs.collect())
    }

    /// The first value; an empty one counts as absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(it, _)| it == name).map(|it| it.1.as_str()).filter(|it| !it.is_empty())
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(it, _)| it == name).map(|it| it.1.as_str())
    }

    pub fn flag(&self, name: &str) -> bool {
        // `?follow` counts as true, as in Kubernetes' conversion of query parameters.
        self.0.iter().any(|(it, value)| it == name && matches!(value.as_str(), "true" | "1" | ""))
    }

    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let wrong = || ApiError::bad_request(format!("strconv.ParseInt: parsing \"{text}\": invalid syntax"));
        text.parse().map(Some).map_err(|_| wrong())
    }
}

/// Decodes `%41`; what is not UTF-8 afterwards becomes replacement characters, which no name may hold.
pub fn decode(text: &str, plus_is_space: bool) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let high_low = || {
            let mut ahead = rest.clone();
            let high = char::from(ahead.next()?).to_digit(16)?;
            let low = char::from(ahead.next()?).to_digit(16)?;
            u8::try_from(high * 16 + low).ok()
        };
        match byte {
            b'%' => match high_low() {
                Some(decoded) => {
                    bytes.push(decoded);
                    rest.nth(1);
                }
                None => bytes.push(byte),
            },
            b'+' if plus_is_space => bytes.push(b' '),
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What a resource path names.
#[derive(Clone, Debug)]
pub struct Target {
    pub kind: Arc<Kind>,
    pub namespace: Option<String>,
    pub name: Option<String>,
    pub subresource: Option<String>,
}

impl Target {
    /// Reads `/api/v1/...` and `/apis/<group>/<version>/...`; `segments` are decoded.
    pub fn parse(registry: &Registry, segments: &[String]) -> Result<Self, ApiError> {
        let (group, version, rest) = match segments {
            [api, version, rest @ ..] if api == "api" => ("", version.as_str(), rest),
            [apis, group, version, rest @ ..] if apis == "apis" => (group.as_str(), version.as_str(), rest),
            _ => return Err(ApiError::no_such_path()),
        };
        let find = |plural: &str| registry.find(group, version, plural).ok_or_else(ApiError::no_such_path);
        // `namespaces/<name>` and its subresources are the namespace itself, longer paths are inside it.
        let (namespace, rest) = match rest {
            [first, namespace, inside @ ..]
                if first == "namespaces"
                    && !inside.is_empty()
                    && !(group.is_empty()
                        && inside.len() == 1
                        && matches!(inside[0].as_str(), "status" | "finalize")) =>
            {
                (Some(namespace.clone()), inside)
            }
            _ => (None, rest),
        };
        let [plural, rest @ ..] = rest else { return Err(ApiError::no_such_path()) };
        let kind = find(plural)?;
        if namespace.is_some() && !kind.namespaced {
            return Err(ApiError::no_such_path());
        }
        let name = rest.first().cloned();
        if name.is_some() && kind.namespaced && namespace.is_none() {
            return Err(ApiError::no_such_path());
        }
        let subresource = rest.get(1).cloned();
        if subresource.as_ref().is_some_and(|it| !kind.has_subresource(it)) || rest.len() > 2 {
            return Err(ApiError::no_such_path());
        }
        Ok(Self { kind, namespace, name, subresource })
    }
}

/// What every write may say.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    pub dry_run: bool,
    /// As given; `None` leaves the write unrecorded in `managedFields` unless the object is tracked already.
    pub field_manager: Option<String>,
    pub user_agent: String,
    pub force: bool,
    /// `Strict` refuses unknown fields; everything else lets them pass.
    pub strict: bool,
}

impl WriteOptions {
    pub fn of(request: &ApiRequest) -> Result<Self, ApiError> {
        let mut dry_run = false;
        for value in request.query.all("dryRun") {
            if value != "All" {
                let why = format!("Invalid value: \"{value}\": dryRun must be empty or All");
                return Err(ApiError::bad_request(why));
            }
            dry_run = true;
        }
        let agent = request.header("user-agent");
        Ok(Self {
            dry_run,
            field_manager: request.query.get("fieldManager").map(str::to_owned),
            user_agent: agent.split('/').next().unwrap_or_default().to_owned(),
            force: request.query.flag("force"),
            strict: request.query.get("fieldValidation") == Some("Strict"),
        })
    }

    /// Who is recorded as the manager of what a plain write changes.
    pub fn manager(&self) -> &str {
        match &self.field_manager {
            Some(manager) => manager,
            None if self.user_agent.is_empty() => "unknown",
            None => &self.user_agent,
        }
    }
}
