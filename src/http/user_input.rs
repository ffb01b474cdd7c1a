//! What requests about users hold, checked before anything is done with it. Keys that are not known are refused: a
//! misspelt `groups` must not make a user who may do nothing, or everything.

use std::collections::BTreeSet;

use secrecy::SecretString;

use super::{Api, ApiError, Call, input};
use crate::auth::{AccountChange, DEFAULT_LABEL, NewAccount};
use crate::domain::Json;
use crate::domain::group::Group;

type Wrong = Vec<(&'static str, String)>;

/// A token that is asked for.
pub struct WantedToken {
    pub label: String,
    /// The token itself, where the caller has one already.
    pub imported: Option<SecretString>,
}

pub async fn new_account(api: &Api, call: &mut Call) -> Result<NewAccount, ApiError> {
    let body = body(api, call, &["name", "password", "groups", "is_superuser"]).await?;
    let name = body.get("name").ok_or_else(|| ApiError::MissingKey("name".to_owned()))?;
    let mut wrong = Wrong::new();
    let name = noted("name", text(name), &mut wrong);
    let password = optional("password", &body, secret, &mut wrong);
    let groups = optional("groups", &body, groups, &mut wrong).unwrap_or_default();
    let is_superuser = optional("is_superuser", &body, boolean, &mut wrong).unwrap_or_default();
    let name = match name {
        Some(name) if wrong.is_empty() => api.users.free_name(&name).await?,
        _ => return Err(ApiError::WrongFields(wrong)),
    };
    Ok(NewAccount { name, password, is_superuser, groups })
}

pub async fn change(api: &Api, call: &mut Call) -> Result<AccountChange, ApiError> {
    let body = body(api, call, &["password", "groups", "is_active"]).await?;
    let mut wrong = Wrong::new();
    let change = AccountChange {
        password: optional("password", &body, secret, &mut wrong),
        is_active: optional("is_active", &body, boolean, &mut wrong),
        groups: optional("groups", &body, groups, &mut wrong),
    };
    if wrong.is_empty() { Ok(change) } else { Err(ApiError::WrongFields(wrong)) }
}

pub async fn new_token(api: &Api, call: &mut Call) -> Result<WantedToken, ApiError> {
    let body = body(api, call, &["label", "token"]).await?;
    let mut wrong = Wrong::new();
    let label = optional("label", &body, text, &mut wrong);
    let imported = optional("token", &body, secret, &mut wrong);
    if !wrong.is_empty() {
        return Err(ApiError::WrongFields(wrong));
    }
    Ok(WantedToken { label: label.unwrap_or_else(|| DEFAULT_LABEL.to_owned()), imported })
}

async fn body(api: &Api, call: &mut Call, known: &[&str]) -> Result<Json, ApiError> {
    let limit = usize::try_from(api.config.current().http.max_body_bytes).unwrap_or(usize::MAX);
    let body = input::read_object(call, limit).await?;
    let Json::Object(members) = &body else { return Err(ApiError::Internal) };
    match members.iter().find(|(key, _)| !known.contains(&key.as_str())) {
        None => Ok(body),
        Some((key, _)) => {
            let known = known.join(", ");
            Err(ApiError::Refused(format!("Unknown key in input data: {key}. Known keys: {known}")))
        }
    }
}

/// A member that may be missing; `null` is a value, and a wrong one.
fn optional<T>(
    key: &'static str,
    body: &Json,
    read: impl Fn(&Json) -> Result<T, String>,
    wrong: &mut Wrong,
) -> Option<T> {
    body.get(key).and_then(|value| noted(key, read(value), wrong))
}

fn noted<T>(key: &'static str, value: Result<T, String>, wrong: &mut Wrong) -> Option<T> {
    value.map_err(|text| wrong.push((key, text))).ok()
}

fn text(value: &Json) -> Result<String, String> {
    match value {
        Json::Null => Err("This field may not be null.".to_owned()),
        Json::String(text) => Ok(text.clone()),
        _ => Err("Not a valid string.".to_owned()),
    }
}

fn secret(value: &Json) -> Result<SecretString, String> {
    text(value).map(SecretString::from)
}

fn boolean(value: &Json) -> Result<bool, String> {
    match value {
        Json::Null => Err("This field may not be null.".to_owned()),
        Json::Bool(value) => Ok(*value),
        _ => Err("Must be a valid boolean.".to_owned()),
    }
}

fn groups(value: &Json) -> Result<BTreeSet<Group>, String> {
    let Json::List(names) = value else { return Err("Must be a list of groups.".to_owned()) };
    let group = |name: &Json| text(name)?.parse::<Group>().map_err(|error| error.to_string());
    names.iter().map(group).collect()
}
