//! Reviews: questions about who may do what, answered without storing anything.

use std::sync::Arc;

use serde_json::json;

use super::Api;
use super::error::ApiError;
use super::request::{ApiRequest, Target};
use super::response::{self, Answer};
use super::write;

pub fn create(_api: &Arc<Api>, request: &ApiRequest, target: &Target) -> Result<Answer, ApiError> {
    let mut object = write::object_in(request, &target.kind)?;
    object["status"] = json!({"allowed": true});
    Ok(response::json(201, &object))
}
