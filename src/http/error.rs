//! What a request can fail with, and what each failure looks like: one match for statuses, one for bodies.

use http::{Method, StatusCode};
use serde_json::json;

use crate::auth::{AuthError, UserError};
use crate::services::{PollError, StartError, StopError, UpdateError};
use crate::store::StoreError;

/// The reference's names for the texts that `error_messages` of the configuration may replace.
pub const START_MESSAGE: &str = "services.utils.common.start_service_2";

#[derive(Debug)]
pub enum ApiError {
    Unauthenticated(AuthError),
    Forbidden,
    NotFound,
    MethodNotAllowed(Method),
    UnsupportedMediaType(String),
    BodyTooLarge {
        limit: usize,
    },
    BodyBrokeOff,
    JsonParse(String),
    /// One text: the body is not what it should be.
    BadInput(String),
    /// The first key that is missing, as a list of one text.
    MissingKey(String),
    /// What is wrong, as a list of one text.
    Refused(String),
    /// Wrong values: field and text, several in one object.
    WrongFields(Vec<(&'static str, String)>),
    /// What is there does not allow it; the text says what to do first.
    Conflict(String),
    /// A failure inside: the headline for the user, the reason for the admin.
    Failed {
        error: String,
        detailed_error: String,
    },
    TooSlow,
    Internal,
}

impl ApiError {
    pub fn status(&self) -> StatusCode {
        match self {
            ApiError::Unauthenticated(AuthError::Store(_) | AuthError::TaskLost(_)) => StatusCode::SERVICE_UNAVAILABLE,
            ApiError::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
            ApiError::Forbidden => StatusCode::FORBIDDEN,
            ApiError::NotFound => StatusCode::NOT_FOUND,
            ApiError::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            ApiError::UnsupportedMediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ApiError::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            ApiError::BodyBrokeOff
            | ApiError::JsonParse(_)
            | ApiError::BadInput(_)
            | ApiError::MissingKey(_)
            | ApiError::Refused(_)
            | ApiError::WrongFields(_) => StatusCode::BAD_REQUEST,
            ApiError::Conflict(_) => StatusCode::CONFLICT,
            ApiError::Failed { .. } | ApiError::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            ApiError::TooSlow => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub fn body(&self) -> String {
        let detail = |text: String| json!({ "detail": text });
        let body = match self {
            ApiError::Unauthenticated(AuthError::Store(_) | AuthError::TaskLost(_)) => {
                detail("The credentials cannot be checked now; try again.".to_owned())
            }
            ApiError::Unauthenticated(error) => detail(error.to_string()),
            ApiError::Forbidden => detail("You do not have permission to perform this action.".to_owned()),
            ApiError::NotFound => detail("Not found.".to_owned()),
            ApiError::MethodNotAllowed(method) => detail(format!("Method \"{method}\" not allowed.")),
            ApiError::UnsupportedMediaType(given) => detail(format!("Unsupported media type \"{given}\" in request.")),
            ApiError::BodyTooLarge { limit } => detail(format!("The body is larger than {limit} bytes.")),
            ApiError::BodyBrokeOff => detail("The body broke off.".to_owned()),
            ApiError::JsonParse(reason) => detail(format!("JSON parse error - {reason}")),
            ApiError::BadInput(reason) | ApiError::Conflict(reason) => detail(reason.clone()),
            ApiError::MissingKey(key) => json!([format!("Missing key in input data: {key}")]),
            ApiError::Refused(reason) => json!([reason]),
            // The order of the keys is the clients', here and below.
            ApiError::WrongFields(fields) => {
                let members: Vec<_> =
                    fields.iter().map(|(field, text)| format!("\"{field}\":[{}]", json!(text))).collect();
                return format!("{{{}}}", members.join(","));
            }
            ApiError::Failed { error, detailed_error } => {
                return format!("{{\"error\":{},\"detailed_error\":{}}}", json!(error), json!(detailed_error));
            }
            ApiError::TooSlow => detail("The request took too long; try again.".to_owned()),
            ApiError::Internal => detail("Something failed inside K8s Manager; its log says what.".to_owned()),
        };
        body.to_string()
    }

    /// A start that failed: for the user in the words of the configuration, for the admin in ours.
    pub fn start_failed(error: &StartError, headline: &str) -> Self {
        tracing::warn!(%error, source = error_chain(error), "start failed");
        ApiError::Failed { error: headline.to_owned(), detailed_error: without_markup(&error.to_string()) }
    }
}

/// For what hubs show as HTML between tags: the API server's messages quote what users chose. Quotation marks are harmless
/// there, and some messages are the reference's to the letter.
pub(super) fn without_markup(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn error_chain(error: &dyn std::error::Error) -> String {
    let mut chain = Vec::new();
    let mut source = error.source();
    while let Some(error) = source {
        chain.push(error.to_string());
        source = error.source();
    }
    chain.join(": ")
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        if let AuthError::Store(error) = &error {
            tracing::error!(%error, source = error_chain(error), "credentials cannot be checked");
        }
        ApiError::Unauthenticated(error)
    }
}

fn internal(error: &dyn std::error::Error) -> ApiError {
    tracing::error!(%error, source = error_chain(error), "request failed");
    ApiError::Internal
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        internal(&error)
    }
}

impl From<PollError> for ApiError {
    fn from(error: PollError) -> Self {
        match error {
            PollError::NotFound => ApiError::NotFound,
        }
    }
}

impl From<StopError> for ApiError {
    fn from(error: StopError) -> Self {
        match error {
            StopError::NotFound => ApiError::NotFound,
        }
    }
}

impl From<UpdateError> for ApiError {
    fn from(error: UpdateError) -> Self {
        match error {
            UpdateError::NotFound => ApiError::NotFound,
            other => {
                tracing::warn!(error = %other, source = error_chain(&other), "update failed");
                ApiError::Failed {
                    error: "Could not update service.".to_owned(),
                    detailed_error: without_markup(&other.to_string()),
                }
            }
        }
    }
}

impl From<UserError> for ApiError {
    fn from(error: UserError) -> Self {
        let field = match error {
            UserError::NotFound(_) | UserError::NoSuchToken { .. } => return ApiError::NotFound,
            UserError::Store(error @ StoreError::UserHasServices { .. }) => {
                return ApiError::Conflict(error.to_string());
            }
            UserError::Store(_) | UserError::Password(_) => return internal(&error),
            UserError::Name(_, reason) => return ApiError::WrongFields(vec![("name", reason.to_string())]),
            UserError::Exists(_) | UserError::LabelTaken { .. } | UserError::TokenTaken => {
                return ApiError::Conflict(error.to_string());
            }
            UserError::EmptyPassword | UserError::LongPassword => "password",
            UserError::Label => "label",
            UserError::Token(_) => "token",
        };
        ApiError::WrongFields(vec![(field, error.to_string())])
    }
}
