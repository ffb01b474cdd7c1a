//! What a request of this door can fail with, and the shapes that its clients read. Nothing of a body is ever echoed.

use http::StatusCode;
use http::header::{HeaderValue, WWW_AUTHENTICATE};
use serde_json::{Value, json};

use super::Reply;
use crate::auth::AuthError;
use crate::http::ApiError;
use crate::http::error::without_markup;

/// What the protocol calls a start that failed; OutpostSpawner shows its arguments to the user.
const START_FAILED: u16 = 419;

#[derive(Debug)]
pub enum OutpostError {
    NotAuthenticated,
    WrongLogin,
    /// The login cannot be checked now.
    Unavailable,
    Forbidden,
    /// There is no such path.
    NotFound,
    NoSuchService,
    MethodNotAllowed,
    BodyTooLarge {
        limit: usize,
    },
    BodyBrokeOff,
    /// The body is not what it should be.
    Invalid(Vec<Invalid>),
    /// It cannot be done; the text is for the user.
    Failed {
        class: &'static str,
        text: String,
    },
    Internal,
}

/// One thing that is wrong with a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The word of the protocol, such as `missing` and `string_type`.
    pub kind: &'static str,
    /// Keys beneath the body.
    pub place: Vec<&'static str>,
    pub text: String,
}

impl Invalid {
    pub fn new(kind: &'static str, place: &[&'static str], text: impl Into<String>) -> Self {
        Self { kind, place: place.to_vec(), text: text.into() }
    }

    fn to_value(&self) -> Value {
        let place: Vec<_> = std::iter::once("body").chain(self.place.iter().copied()).collect();
        json!({"type": self.kind, "loc": place, "msg": self.text})
    }
}

impl OutpostError {
    /// A refusal with a text for the user.
    pub fn refused(text: &str) -> Self {
        Self::failed("Exception", text)
    }

    /// `class` is Python's word for what went wrong. Hubs show the text as HTML.
    pub fn failed(class: &'static str, text: &str) -> Self {
        OutpostError::Failed { class, text: without_markup(text) }
    }

    fn status(&self) -> StatusCode {
        match self {
            OutpostError::NotAuthenticated | OutpostError::WrongLogin => StatusCode::UNAUTHORIZED,
            OutpostError::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            OutpostError::Forbidden => StatusCode::FORBIDDEN,
            OutpostError::NotFound | OutpostError::NoSuchService => StatusCode::NOT_FOUND,
            OutpostError::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            OutpostError::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            OutpostError::BodyBrokeOff => StatusCode::BAD_REQUEST,
            OutpostError::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            OutpostError::Failed { .. } => StatusCode::from_u16(START_FAILED).unwrap_or(StatusCode::BAD_REQUEST),
            OutpostError::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn body(&self) -> String {
        let detail = |text: &str| json!({ "detail": text }).to_string();
        match self {
            OutpostError::NotAuthenticated => detail("Not authenticated"),
            OutpostError::WrongLogin => detail("Incorrect username or password"),
            OutpostError::Unavailable => detail("The credentials cannot be checked now; try again."),
            OutpostError::Forbidden => detail("This user may not start services: it needs access_to_webservice."),
            OutpostError::NotFound => detail("Not Found"),
            OutpostError::NoSuchService => detail("Item not found"),
            OutpostError::MethodNotAllowed => detail("Method Not Allowed"),
            OutpostError::BodyTooLarge { limit } => detail(&format!("The body is larger than {limit} bytes.")),
            OutpostError::BodyBrokeOff => detail("The body broke off."),
            OutpostError::Invalid(all) => {
                json!({"detail": all.iter().map(Invalid::to_value).collect::<Vec<_>>()}).to_string()
            }
            // The order of the keys is the reference's.
            OutpostError::Failed { class, text } => format!(
                "{{\"module\":\"\",\"class\":{},\"traceback\":\"\",\"args\":[{}],\"kwargs\":{{}}}}",
                json!(class),
                json!(text)
            ),
            OutpostError::Internal => detail("Something failed inside K8s Manager; its log says what."),
        }
    }

    pub fn reply(&self, allow: Option<&'static str>) -> Reply {
        let reply = Reply::json(self.status(), self.body());
        match (self, allow) {
            (OutpostError::NotAuthenticated | OutpostError::WrongLogin, _) => {
                reply.with(WWW_AUTHENTICATE, HeaderValue::from_static("Basic"))
            }
            (OutpostError::MethodNotAllowed, Some(allow)) => reply.allowing(allow),
            _ => reply,
        }
    }
}

impl From<AuthError> for OutpostError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Password | AuthError::Token => OutpostError::WrongLogin,
            AuthError::Store(_) | AuthError::TaskLost(_) => {
                tracing::error!(%error, "credentials cannot be checked");
                OutpostError::Unavailable
            }
            AuthError::NotProvided
            | AuthError::BasicColon
            | AuthError::BasicEmpty
            | AuthError::BasicSpaces
            | AuthError::BasicEncoding
            | AuthError::TokenEmpty
            | AuthError::TokenSpaces
            | AuthError::TokenCharacters => OutpostError::NotAuthenticated,
        }
    }
}

impl From<ApiError> for OutpostError {
    /// What reading a body can fail with.
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::BodyTooLarge { limit } => OutpostError::BodyTooLarge { limit },
            ApiError::BodyBrokeOff => OutpostError::BodyBrokeOff,
            _ => OutpostError::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_shapes_of_the_protocol() {
        let all = OutpostError::Invalid(vec![
            Invalid::new("missing", &["name"], "Field required"),
            Invalid::new("string_type", &["start_id"], "Input should be a valid string"),
        ]);
        assert_eq!(
            all.body(),
            r#"{"detail":[{"loc":["body","name"],"msg":"Field required","type":"missing"},{"loc":["body","start_id"],"msg":"Input should be a valid string","type":"string_type"}]}"#
        );
        let failed = OutpostError::refused("no \"x\"");
        assert_eq!(failed.status().as_u16(), 419);
        assert_eq!(
            failed.body(),
            r#"{"module":"","class":"Exception","traceback":"","args":["no \"x\""],"kwargs":{}}"#
        );
    }
}
