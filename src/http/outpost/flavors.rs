//! `/flavors`, `/userflavors`, `/credits` and `/usercredits`: what a hub, or one of its users, may start.

use http::{Method, StatusCode};

use super::error::Invalid;
use super::{Api, Call, OutpostError, Reply, admit, body};
use crate::domain::Credential;
use crate::flavors::{Answered, Authentication, AuthenticationError};
use crate::store::StoreError;

/// What a hub asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    Flavors,
    UserFlavors,
    Credits,
    UserCredits,
}

impl Question {
    /// By the first segment of a path.
    pub fn read(segment: &str) -> Option<Self> {
        match segment {
            "flavors" => Some(Self::Flavors),
            "userflavors" => Some(Self::UserFlavors),
            "credits" => Some(Self::Credits),
            "usercredits" => Some(Self::UserCredits),
            _ => None,
        }
    }

    /// Of a user is asked with a body.
    fn allow(self) -> &'static str {
        match self {
            Self::Flavors | Self::Credits => "GET, HEAD",
            Self::UserFlavors | Self::UserCredits => "POST",
        }
    }
}

pub async fn answer(question: Question, api: Api, mut call: Call) -> Reply {
    let reply = async {
        let principal = admit(&api, &call, question.allow()).await?;
        let user = match call.method {
            Method::POST => user(&api, &mut call).await?,
            _ => None,
        };
        let answered = answered(question, &api, &principal.credential, user.as_ref()).await?;
        match answered {
            Answered::Json(text) => Ok(Reply::json(StatusCode::OK, text)),
            // The log says why, since the file was read.
            Answered::Unreadable => Err(OutpostError::Internal),
        }
    };
    reply.await.unwrap_or_else(|error: OutpostError| error.reply(Some(question.allow())))
}

/// The body says who the user is; nothing of it is kept.
async fn user(api: &Api, call: &mut Call) -> Result<Option<Authentication>, OutpostError> {
    let limit = api.config.current().http.max_body_bytes;
    Ok(Authentication::read(&body::read_any(call, limit).await?)?)
}

async fn answered(
    question: Question,
    api: &Api,
    hub: &Credential,
    user: Option<&Authentication>,
) -> Result<Answered, OutpostError> {
    match question {
        Question::Flavors | Question::UserFlavors => {
            let counts = api.services.flavor_counts(hub).await?;
            Ok(api.rules.current().flavors_answer(hub, user, &counts)?)
        }
        Question::Credits | Question::UserCredits => Ok(api.rules.current().credits_answer(hub, user)?),
    }
}

impl From<AuthenticationError> for OutpostError {
    fn from(error: AuthenticationError) -> Self {
        match error {
            AuthenticationError::Undecided(_) => {
                tracing::error!(%error, "a user cannot be matched");
                OutpostError::Internal
            }
            error => OutpostError::Invalid(vec![Invalid::new("dict_type", &[], error.to_string())]),
        }
    }
}

impl From<StoreError> for OutpostError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "flavors cannot be counted");
        OutpostError::Internal
    }
}
