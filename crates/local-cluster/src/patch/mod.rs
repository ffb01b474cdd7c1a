//! The patch kinds of the API, over plain JSON.

pub mod strategic;

use serde_json::Value;

use crate::api::error::ApiError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    Json,
    Merge,
    Strategic,
    Apply,
}

impl PatchKind {
    pub fn of(content_type: &str) -> Option<Self> {
        Some(match content_type {
            "application/json-patch+json" => Self::Json,
            "application/merge-patch+json" => Self::Merge,
            "application/strategic-merge-patch+json" => Self::Strategic,
            "application/apply-patch+yaml" => Self::Apply,
            _ => return None,
        })
    }
}

/// Applies all but server-side apply, which needs to know who owns what.
pub fn apply(kind: PatchKind, object: &mut Value, patch: &Value) -> Result<(), ApiError> {
    match kind {
        PatchKind::Json => {
            let wrong = |error: String| {
                ApiError::new(
                    422,
                    "Invalid",
                    format!("the server rejected our request due to an error in our request: {error}"),
                )
            };
            let operations: json_patch::Patch =
                serde_json::from_value(patch.clone()).map_err(|error| ApiError::bad_request(error.to_string()))?;
            json_patch::patch(object, &operations).map_err(|error| wrong(error.to_string()))
        }
        PatchKind::Merge => {
            if !patch.is_object() {
                return Err(ApiError::bad_request(
                    "json: cannot unmarshal into Go value of type map[string]interface {}",
                ));
            }
            json_patch::merge(object, patch);
            Ok(())
        }
        PatchKind::Strategic => strategic::merge(object, patch),
        PatchKind::Apply => Ok(()),
    }
}
