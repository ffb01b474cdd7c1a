//! Who may do what: authentication (401), then group (403), then method (405). The body comes after all of them.

use std::sync::Arc;

use http::Method;

use super::{Api, ApiError, Call, Reply};
use crate::auth::Principal;
use crate::domain::group::Group;

/// Who may use a part of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The members of a group, and the superuser.
    Group(Group),
    Superuser,
}

impl Access {
    pub const WEBSERVICE: Access = Access::Group(Group::Webservice);
    pub const LOGGING: Access = Access::Group(Group::Logging);

    fn lets(self, principal: &Principal) -> bool {
        match self {
            Access::Group(group) => principal.may(group),
            Access::Superuser => principal.is_superuser,
        }
    }
}

/// A part of the API: who may use it and the methods that it knows.
#[derive(Clone, Copy, Debug)]
pub struct Area {
    pub access: Access,
    pub allow: &'static str,
}

impl Area {
    fn knows(self, method: &Method) -> bool {
        self.allow.split(", ").any(|it| it == method.as_str())
    }

    /// Lets a call through, or answers it.
    pub async fn admit(self, api: &Api, call: &Call) -> Result<Arc<Principal>, ApiError> {
        let authorization = call.headers.get(http::header::AUTHORIZATION).map(|it| it.as_bytes());
        let principal = api.authenticator.authenticate(authorization, call.address).await?;
        if !self.access.lets(&principal) {
            Err(ApiError::Forbidden)
        } else if !self.knows(&call.method) {
            Err(ApiError::MethodNotAllowed(call.method.clone()))
        } else {
            Ok(principal)
        }
    }

    pub fn reply(self, result: Result<Reply, ApiError>) -> Reply {
        result.map_or_else(|error| Reply::error(&error, Some(self.allow)), |reply| reply.allowing(self.allow))
    }
}

/// Nothing is served here, but only those who might use it are told so.
pub async fn nothing(api: Api, call: Call, area: Area) -> Reply {
    let admitted = area.admit(&api, &call).await;
    area.reply(admitted.and(Err(ApiError::NotFound)))
}
