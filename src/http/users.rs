//! `/api/users/` and what is beneath: the superuser adds, changes and deletes users and their tokens.
//!
//! The rules are those of the command line and live in `auth/`. No answer holds a password or a hash; a token is in the
//! answer to the POST that made it and never again.

use http::{Method, StatusCode};
use percent_encoding::percent_decode_str;
use schemars::JsonSchema;
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::json;

use super::{Api, ApiError, Call, Reply, USER, USER_TOKEN, USER_TOKENS, USERS, user_input};
use crate::auth::Principal;
use crate::store::{Token, User};

/// A user: a hub or an operator.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "User", deny_unknown_fields)]
pub struct UserView {
    /// The login, which is also the credential that service descriptions and homes are kept under.
    name: String,
    /// A superuser needs no groups and manages users.
    is_superuser: bool,
    /// Who is not active cannot log in; everything of it stays in place.
    is_active: bool,
    /// Without a password only tokens let the user in.
    has_password: bool,
    /// `access_to_webservice` (services and user jobs), `access_to_logging` (log handlers).
    groups: Vec<&'static str>,
    /// The tokens, oldest first.
    tokens: Vec<TokenView>,
}

/// A token as it is listed: what it is called, never what it is.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Token", deny_unknown_fields)]
pub struct TokenView {
    /// Tells the tokens of a user apart.
    label: String,
    /// UTC.
    #[schemars(extend("format" = "date-time"))]
    created_at: String,
}

/// A token that was just added.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "NewToken", deny_unknown_fields)]
pub struct NewTokenView {
    label: String,
    /// The token, shown this once; send it as `Authorization: token <token>`. Left out where it was imported.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

pub async fn collection(api: Api, mut call: Call) -> Reply {
    let reply = async {
        let caller = USERS.admit(&api, &call).await?;
        match call.method {
            Method::POST => add(&api, &caller, &mut call).await,
            Method::OPTIONS => named("Users List"),
            _ => list(&api).await,
        }
    };
    USERS.reply(reply.await)
}

pub async fn item(name: String, api: Api, mut call: Call) -> Reply {
    let reply = async {
        let caller = USER.admit(&api, &call).await?;
        let name = segment(&name);
        match call.method {
            Method::OPTIONS => named("Users Instance"),
            Method::DELETE => delete(&api, &caller, &name?).await,
            Method::PATCH => change(&api, &caller, name, &mut call).await,
            _ => reply_with(StatusCode::OK, &find(&api, &name?).await?),
        }
    };
    USER.reply(reply.await)
}

pub async fn tokens(name: String, api: Api, mut call: Call) -> Reply {
    let reply = async {
        let caller = USER_TOKENS.admit(&api, &call).await?;
        let name = segment(&name);
        match call.method {
            Method::OPTIONS => named("Tokens List"),
            Method::POST => add_token(&api, &caller, name, &mut call).await,
            _ => reply_with(StatusCode::OK, &find(&api, &name?).await?.tokens),
        }
    };
    USER_TOKENS.reply(reply.await)
}

pub async fn token(name: String, label: String, api: Api, call: Call) -> Reply {
    let reply = async {
        let caller = USER_TOKEN.admit(&api, &call).await?;
        if call.method == Method::OPTIONS {
            return named("Tokens Instance");
        }
        let (name, label) = (segment(&name)?, segment(&label)?);
        if call.method == Method::DELETE {
            api.users.revoke_token(&name, &label).await?;
            tracing::info!(user = name, label, by = %caller.credential, "a token was revoked");
            return Ok(Reply::no_content());
        }
        let token = find(&api, &name).await?.tokens.into_iter().find(|it| it.label == label);
        reply_with(StatusCode::OK, &token.ok_or(ApiError::NotFound)?)
    };
    USER_TOKEN.reply(reply.await)
}

async fn list(api: &Api) -> Result<Reply, ApiError> {
    let views: Vec<_> = api.users.list().await?.into_iter().map(UserView::from).collect();
    reply_with(StatusCode::OK, &views)
}

async fn find(api: &Api, name: &str) -> Result<UserView, ApiError> {
    Ok(UserView::from(api.users.find(name).await?))
}

async fn add(api: &Api, caller: &Principal, call: &mut Call) -> Result<Reply, ApiError> {
    let account = user_input::new_account(api, call).await?;
    let name = account.name.clone();
    api.users.add(account).await?;
    tracing::info!(user = %name, by = %caller.credential, "a user was added");
    reply_with(StatusCode::CREATED, &find(api, name.as_str()).await?)
}

async fn change(
    api: &Api,
    caller: &Principal,
    name: Result<String, ApiError>,
    call: &mut Call,
) -> Result<Reply, ApiError> {
    let change = user_input::change(api, call).await?;
    let name = name?;
    if change.is_active == Some(false) && caller.credential.as_str() == name {
        return Err(ApiError::Conflict("You cannot deactivate yourself; another superuser can.".to_owned()));
    }
    let keys = change.keys();
    api.users.change(&name, change).await?;
    tracing::info!(user = name, by = %caller.credential, ?keys, "a user was changed");
    reply_with(StatusCode::OK, &find(api, &name).await?)
}

async fn delete(api: &Api, caller: &Principal, name: &str) -> Result<Reply, ApiError> {
    if caller.credential.as_str() == name {
        return Err(ApiError::Conflict("You cannot delete yourself; another superuser can.".to_owned()));
    }
    api.users.delete(name).await?;
    tracing::info!(user = name, by = %caller.credential, "a user was deleted");
    Ok(Reply::no_content())
}

async fn add_token(
    api: &Api,
    caller: &Principal,
    name: Result<String, ApiError>,
    call: &mut Call,
) -> Result<Reply, ApiError> {
    let wanted = user_input::new_token(api, call).await?;
    let name = name?;
    let made = api.users.add_token(&name, &wanted.label, wanted.imported.as_ref()).await?;
    tracing::info!(user = name, label = wanted.label, by = %caller.credential, "a token was added");
    let token = wanted.imported.is_none().then(|| made.expose_secret().to_owned());
    reply_with(StatusCode::CREATED, &NewTokenView { label: wanted.label, token })
}

fn named(name: &str) -> Result<Reply, ApiError> {
    Ok(Reply::json(StatusCode::OK, json!({ "name": name }).to_string()))
}

fn reply_with(status: StatusCode, view: &impl Serialize) -> Result<Reply, ApiError> {
    let body = serde_json::to_string(view).map_err(|error| {
        tracing::error!(%error, "failed to write an answer");
        ApiError::Internal
    })?;
    Ok(Reply::json(status, body))
}

/// A segment of a path, percent-decoded. What is no text names nothing.
fn segment(raw: &str) -> Result<String, ApiError> {
    let text = percent_decode_str(raw).decode_utf8().map_err(|_| ApiError::NotFound)?;
    if text.contains('\0') { Err(ApiError::NotFound) } else { Ok(text.into_owned()) }
}

impl From<(User, Vec<Token>)> for UserView {
    fn from((user, tokens): (User, Vec<Token>)) -> Self {
        UserView {
            name: user.name.to_string(),
            is_superuser: user.is_superuser,
            is_active: user.is_active,
            has_password: user.password_hash.is_some(),
            groups: user.groups.iter().map(|it| it.as_str()).collect(),
            tokens: tokens.into_iter().map(TokenView::from).collect(),
        }
    }
}

impl From<Token> for TokenView {
    fn from(token: Token) -> Self {
        let created_at = token.created_at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
        TokenView { label: token.label, created_at }
    }
}
