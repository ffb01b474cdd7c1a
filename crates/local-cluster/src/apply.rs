//! Server-side apply: who owns which field.

use serde_json::Value;

use crate::api::error::ApiError;
use crate::kinds::Kind;

pub fn record_update(
    _kind: &Kind,
    _before: Option<&Value>,
    _after: &mut Value,
    _manager: &str,
    _subresource: Option<&str>,
) {
}

pub fn first(_kind: &Kind, _object: &mut Value, _applied: &Value, _manager: &str) {}

pub fn keep_time_of_unchanged(_before: &Value, _after: &mut Value) {}

pub fn merge(
    _kind: &Kind,
    current: &Value,
    applied: &Value,
    _manager: &str,
    _force: bool,
    _subresource: Option<&str>,
) -> Result<Value, ApiError> {
    let mut merged = current.clone();
    crate::patch::strategic::merge(&mut merged, applied)?;
    Ok(merged)
}
