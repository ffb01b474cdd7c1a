//! What a POST of a service holds, checked before anything is done with it.
//!
//! The order of the checks and their texts are the reference's: hubs and their tests know them.

use http::header::CONTENT_TYPE;
use uuid::Uuid;

use super::{ApiError, Call};
use crate::config::Config;
use crate::description::Chosen;
use crate::description::environment::{certs_data, secret_data};
use crate::domain::{Claim, Credential, Json, NameError, ObjectId, Refusal, ServerName, ServiceName, StartId};
use crate::flavors::{Rules, Wanted};
use crate::services::StartRequest;

const NAME_HEADER: &str = "uuidcode";
/// A body up to this is read where it is: that takes less than to hand it over.
const SMALL_BODY: usize = 64 * 1024;
/// They are stored, and echoed by every poll.
const LONGEST_USER_OPTIONS: usize = 256 * 1024;

pub async fn start_request(
    credential: &Credential,
    call: &mut Call,
    config: &Config,
    rules: &Rules,
    choose: impl FnOnce(&Credential, &ServiceName) -> Chosen,
) -> Result<StartRequest, ApiError> {
    let body = read_object(call, usize::try_from(config.http.max_body_bytes).unwrap_or(usize::MAX)).await?;
    require(&body, &["env", "env.JUPYTERHUB_STATUS_URL", "env.JUPYTERHUB_API_TOKEN", "env.JUPYTERHUB_USER_ID"])?;
    require(&body, &["user_options", "user_options.service", "start_id"])?;
    let member = |key: &str| body.get(key).cloned().unwrap_or(Json::Null);
    let (env, user_options) = (member("env"), member("user_options"));

    let mut wrong = Vec::new();
    let name = server_name(call);
    let start_id = start_id(&member("start_id"));
    let user_id = env.get("JUPYTERHUB_USER_ID").and_then(Json::lenient_integer);
    let user_id = user_id.ok_or_else(|| "A valid integer is required.".to_owned());
    let service = service(user_options.get("service").unwrap_or(&Json::Null));
    note("servername", &name, &mut wrong);
    note("start_id", &start_id, &mut wrong);
    note("user_options", &service, &mut wrong);
    if service.is_ok() && (user_options.has_infinity() || env.has_infinity()) {
        wrong.push(("user_options", "Value must be valid JSON.".to_owned()));
    }
    note("jhub_user_id", &user_id, &mut wrong);
    if user_options.to_text().len() > LONGEST_USER_OPTIONS {
        wrong.push(("user_options", format!("Ensure this field has no more than {LONGEST_USER_OPTIONS} bytes.")));
    }
    let certs = certs_data(body.get("certs")).map_err(|error| error.to_string());
    note("certs", &certs, &mut wrong);
    let (Ok(server_name), Ok(start_id), Ok(jhub_user_id), Ok(service), Ok(certs), []) =
        (name, start_id, user_id, service, certs, wrong.as_slice())
    else {
        return Err(ApiError::WrongFields(wrong));
    };
    let flavor = claim(rules, config, credential, &server_name, user_options.get("flavor"))?;
    let object_id = ObjectId::new(&server_name, &start_id);
    let chosen = choose(credential, &service);
    let env = secret_data(&chosen.config, &env, &headers(call), server_name.as_str(), &object_id)
        .map_err(|error| ApiError::WrongFields(vec![("env", error.to_string())]))?;
    if !matches!(body.get("auth_state"), None | Some(Json::Object(_) | Json::Null)) {
        return Err(ApiError::WrongFields(vec![("auth_state", "Must be an object.".to_owned())]));
    }
    let credential = credential.clone();
    Ok(StartRequest {
        credential,
        server_name,
        start_id,
        object_id,
        service,
        jhub_user_id,
        user_options,
        env,
        certs,
        flavor,
        outpost: None,
        chosen,
        is_awaited: false,
    })
}

/// Reads a JSON object. No body counts as an empty one, whatever its type is said to be.
pub(super) async fn read_object(call: &mut Call, limit: usize) -> Result<Json, ApiError> {
    let body = call.read_body(limit).await?;
    if body.is_empty() {
        return Ok(Json::empty_object());
    }
    let given = call.header_text(CONTENT_TYPE.as_str()).unwrap_or_default();
    let media_type = given.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        return Err(ApiError::UnsupportedMediaType(given));
    }
    // Large bodies take a while to read; other requests go on meanwhile.
    let parsed = match body.len() {
        ..=SMALL_BODY => Json::parse(&body),
        _ => tokio::task::spawn_blocking(move || Json::parse(&body)).await.map_err(|_| ApiError::Internal)?,
    };
    match parsed {
        Ok(object @ Json::Object(_)) => Ok(object),
        Ok(_) => Err(ApiError::BadInput("The body must be a JSON object.".to_owned())),
        Err(error) => Err(ApiError::JsonParse(error.to_string())),
    }
}

/// Checks that the keys are there; `a.b` is the key `b` of the object `a`.
fn require(body: &Json, keys: &[&str]) -> Result<(), ApiError> {
    for key in keys {
        let (parent, name) = match key.split_once('.') {
            Some((parent, name)) => (body.get(parent).unwrap_or(&Json::Null), name),
            None => (body, *key),
        };
        if parent.get(name).is_none() {
            return Err(match parent {
                Json::Object(_) => ApiError::MissingKey((*key).to_owned()),
                _ => {
                    let parent = key.split('.').next().unwrap_or_default();
                    ApiError::BadInput(format!("{parent} must be a JSON object."))
                }
            });
        }
    }
    Ok(())
}

fn note<T>(field: &'static str, value: &Result<T, String>, wrong: &mut Vec<(&'static str, String)>) {
    if let Err(text) = value {
        wrong.push((field, text.clone()));
    }
}

fn server_name(call: &Call) -> Result<ServerName, String> {
    if call.headers.get_all(NAME_HEADER).iter().count() > 1 {
        return Err("The header uuidcode may be given once only.".to_owned());
    }
    let text = call.header_text(NAME_HEADER).unwrap_or_else(|| {
        let made = Uuid::new_v4().simple().to_string();
        tracing::Span::current().record("uuidcode", &made);
        made
    });
    ServerName::parse(&text).map_err(|error| error.to_string())
}

fn start_id(value: &Json) -> Result<StartId, String> {
    let text = match value {
        Json::Null => return Err("This field may not be null.".to_owned()),
        Json::String(_) | Json::Integer(_) | Json::Float(_) => value.python_str(),
        _ => return Err("Not a valid string.".to_owned()),
    };
    StartId::parse(&text).map_err(|error| error.to_string())
}

fn service(value: &Json) -> Result<ServiceName, String> {
    let text = value.as_str().ok_or_else(|| "service: Not a valid string.".to_owned())?;
    ServiceName::parse(text).map_err(|error: NameError| format!("service: {error}"))
}

/// Hubs of this protocol say nothing of who a user is.
fn claim(
    rules: &Rules,
    config: &Config,
    hub: &Credential,
    server_name: &ServerName,
    flavor: Option<&Json>,
) -> Result<Result<Option<Claim>, Refusal>, ApiError> {
    if config.hubs.get(hub.as_str()).is_some_and(|it| !it.flavors) {
        return Ok(Ok(None));
    }
    let flavor = match flavor {
        None | Some(Json::Null) => None,
        Some(Json::String(text)) => Some(text.as_str()),
        // Where there are no flavors the option is whatever the description makes of it.
        Some(_) if !rules.has_flavors() => None,
        Some(_) => {
            let text = "flavor: Not a valid string.".to_owned();
            return Err(ApiError::WrongFields(vec![("user_options", text)]));
        }
    };
    let wanted = Wanted {
        hub,
        server_name: server_name.as_str(),
        flavor,
        user: None,
        sends_authentication: false,
        global_max_per_user: config.global_max_per_user,
    };
    rules.claim(&wanted).map_err(|error| {
        tracing::error!(%error, "the flavors of a hub cannot be told");
        ApiError::Internal
    })
}

/// All headers as text: some of them become part of the environment.
fn headers(call: &Call) -> Vec<(String, String)> {
    let names = call.headers.keys().map(|name| name.as_str());
    names.filter_map(|name| Some((name.to_owned(), call.header_text(name)?))).collect()
}
