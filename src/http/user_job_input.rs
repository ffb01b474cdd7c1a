//! What a POST of a user job holds: its shape. Where it leads is checked in `user_jobs`.
//!
//! The order of the checks and their texts are the reference's.

use super::{ApiError, Call, input};
use crate::config::Config;
use crate::domain::user_job::port;
use crate::domain::{Credential, ForwardedPort, Json, ServerName};
use crate::user_jobs::UserJobRequest;

const KEYS: [&str; 4] = ["service", "ports", "hostname", "target_node"];
/// No name is longer; what is kept and told has a bound.
const LONGEST_TEXT: usize = 253;
const NO_PORT: &str = "Must be an object from port to port, each a whole number from 1 to 65535.";

pub async fn request(credential: &Credential, call: &mut Call, config: &Config) -> Result<UserJobRequest, ApiError> {
    let limit = usize::try_from(config.http.max_body_bytes).unwrap_or(usize::MAX);
    let body = input::read_object(call, limit).await?;
    if let Some(missing) = KEYS.iter().find(|key| body.get(key).is_none()) {
        return Err(ApiError::Refused(format!("Missing key: {missing}")));
    }
    let mut wrong = Vec::new();
    let mut text = |key: &'static str| {
        let text = body.get(key).map_or(Err("Not a valid string."), text_of);
        text.map_err(|it| wrong.push((key, it.to_owned()))).unwrap_or_default()
    };
    let (service, hostname, target_node) = (text("service"), text("hostname"), text("target_node"));
    let ports = body.get("ports").and_then(ports).unwrap_or_else(|| {
        wrong.push(("ports", NO_PORT.to_owned()));
        Vec::new()
    });
    if !wrong.is_empty() {
        return Err(ApiError::WrongFields(wrong));
    }
    let server_name = call.header_text("uuidcode").and_then(|it| ServerName::parse(&it).ok());
    Ok(UserJobRequest { credential: credential.clone(), service, hostname, target_node, ports, server_name })
}

/// As the reference reads it: numbers count as text, and what is around it does not.
fn text_of(value: &Json) -> Result<String, &'static str> {
    let text = match value {
        Json::Null => return Err("This field may not be null."),
        Json::String(text) => text.trim_matches(' ').to_owned(),
        Json::Integer(_) | Json::Float(_) => value.python_str(),
        _ => return Err("Not a valid string."),
    };
    match text.as_str() {
        "" => Err("This field may not be blank."),
        text if text.contains('\0') => Err("Null characters are not allowed."),
        text if text.len() > LONGEST_TEXT => Err("Ensure this field has no more than 253 characters."),
        _ => Ok(text),
    }
}

fn ports(value: &Json) -> Option<Vec<ForwardedPort>> {
    let Json::Object(members) = value else { return None };
    let remote = |value: &Json| match value {
        Json::String(text) => port(text),
        Json::Integer(_) => port(&value.python_str()),
        _ => None,
    };
    let mut ports: Vec<ForwardedPort> = members
        .iter()
        .map(|(wanted, value)| Some(ForwardedPort { wanted: port(wanted)?, local: None, remote: remote(value)? }))
        .collect::<Option<_>>()?;
    ports.sort();
    ports.dedup_by_key(|it| it.wanted);
    Some(ports)
}
