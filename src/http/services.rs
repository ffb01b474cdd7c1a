//! `/api/services/` and `/api/services/<name>/`.

use std::sync::OnceLock;

use http::{Method, StatusCode};
use percent_encoding::percent_decode_str;

use super::error::START_MESSAGE;
use super::{Api, ApiError, Call, Reply, SERVICE, SERVICES, input, view};
use crate::domain::{Credential, ServerName, ServiceName, service_json};
use crate::services::{PollError, StopError};

pub async fn collection(api: Api, mut call: Call) -> Reply {
    let reply = async {
        let principal = SERVICES.admit(&api, &call).await?;
        match call.method {
            // Boxed, as what changes something below: a poll's future stays small.
            Method::POST => Box::pin(start(&api, &principal.credential, &mut call)).await,
            Method::OPTIONS => Ok(Reply::json(StatusCode::OK, "{\"name\":\"Services List\"}".to_owned())),
            _ => list(&api, &principal.credential).await,
        }
    };
    SERVICES.reply(reply.await)
}

pub async fn item(name: String, api: Api, call: Call) -> Reply {
    let reply = async {
        let principal = SERVICE.admit(&api, &call).await?;
        if call.method == Method::OPTIONS {
            return Ok(Reply::json(StatusCode::OK, "{\"name\":\"Services Instance\"}".to_owned()));
        }
        let name = server_name(&name)?;
        match call.method {
            Method::DELETE => Box::pin(stop(&api, &principal.credential, &name)).await,
            Method::PUT | Method::PATCH => Box::pin(update(&api, &principal.credential, &name)).await,
            _ => poll(&api, &principal.credential, &name).await,
        }
    };
    SERVICE.reply(reply.await)
}

async fn start(api: &Api, credential: &Credential, call: &mut Call) -> Result<Reply, ApiError> {
    let config = api.config.current();
    let choose = |credential: &Credential, service: &ServiceName| api.services.choose(credential, service);
    let request = input::start_request(credential, call, &config, &api.rules.current(), choose).await?;
    let record = api.services.start(request).await.map_err(|error| {
        ApiError::start_failed(&error, config.error_message(START_MESSAGE, "Could not start service"))
    })?;
    Ok(Reply::json(StatusCode::CREATED, service_json::service(&record)))
}

async fn list(api: &Api, credential: &Credential) -> Result<Reply, ApiError> {
    let services = api.services.list(credential).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "a list is given as it was last known");
        api.services.list_known(credential)
    });
    Ok(Reply::json_in_chunks(StatusCode::OK, view::services(services)))
}

async fn poll(api: &Api, credential: &Credential, name: &ServerName) -> Result<Reply, ApiError> {
    let polled = api.services.poll(credential, name).await;
    count_poll(match &polled {
        Ok(polled) if polled.is_running() => PollAnswer::Running,
        Ok(_) => PollAnswer::Stopped,
        Err(PollError::NotFound) => PollAnswer::NotFound,
    });
    Ok(Reply::json(StatusCode::OK, view::polled(&polled?, credential, name)))
}

async fn update(api: &Api, credential: &Credential, name: &ServerName) -> Result<Reply, ApiError> {
    let polled = api.services.update(credential, name).await?;
    Ok(Reply::json(StatusCode::OK, view::polled(&polled, credential, name)))
}

async fn stop(api: &Api, credential: &Credential, name: &ServerName) -> Result<Reply, ApiError> {
    count_stop(api.services.stop(credential, name).await)?;
    Ok(Reply::no_content())
}

/// What a poll was told, for metrics.
#[derive(Clone, Copy)]
pub(super) enum PollAnswer {
    Running,
    Stopped,
    NotFound,
}

/// The handles are kept: polls are most of what we do.
pub(super) fn count_poll(answer: PollAnswer) {
    static COUNTERS: OnceLock<[metrics::Counter; 3]> = OnceLock::new();
    let counters = COUNTERS.get_or_init(|| {
        ["running", "stopped", "not_found"].map(|it| metrics::counter!("k8smgr_polls_total", "answer" => it))
    });
    counters[answer as usize].increment(1);
}

pub(super) fn count_stop<T>(stopped: Result<T, StopError>) -> Result<T, StopError> {
    let outcome = if stopped.is_ok() { "stopped" } else { "not_found" };
    metrics::counter!("k8smgr_stops_total", "outcome" => outcome).increment(1);
    stopped
}

/// The last segment of a path, percent-decoded. What can be no name names no service.
fn server_name(segment: &str) -> Result<ServerName, ApiError> {
    let bytes: Vec<u8> = percent_decode_str(segment).collect();
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => error.into_bytes().into_iter().map(char::from).collect(),
    };
    ServerName::parse(&text).map_err(|_| ApiError::NotFound)
}
