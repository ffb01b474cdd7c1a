//! `/services` and `/services/<name>/<start id>`.

use std::time::Duration;

use http::{Method, StatusCode};

use super::{Api, Call, OutpostError, Reply, SERVICE, SERVICES, admit, body, view};
use crate::domain::{Credential, OutpostName, ServerName, ServiceName, StartId};
use crate::http::services::{PollAnswer, count_poll, count_stop};
use crate::outpost::{self, Place};
use crate::services::PollError;

pub async fn collection(api: Api, mut call: Call) -> Reply {
    let reply = async {
        let principal = admit(&api, &call, SERVICES).await?;
        match call.method {
            Method::POST => Box::pin(start(&api, &principal.credential, &mut call)).await,
            _ => list(&api, &principal.credential).await,
        }
    };
    reply.await.unwrap_or_else(|error: OutpostError| error.reply(Some(SERVICES)))
}

pub async fn item(name: OutpostName, start_id: StartId, query: &str, api: Api, call: Call) -> Reply {
    let reply = async {
        let principal = admit(&api, &call, SERVICE).await?;
        let service = Asked {
            credential: &principal.credential,
            server_name: ServerName::of_outpost(&name, &start_id),
            wants_logs: wants_logs(query),
        };
        match call.method {
            Method::DELETE => Box::pin(stop(&api, &service, is_async(&call))).await,
            _ => poll(&api, &service).await,
        }
    };
    reply.await.unwrap_or_else(|error: OutpostError| error.reply(Some(SERVICE)))
}

/// One start that is polled or stopped.
struct Asked<'a> {
    credential: &'a Credential,
    server_name: ServerName,
    wants_logs: bool,
}

/// Exactly this word: anything else means a start or stop that is waited for.
fn is_async(call: &Call) -> bool {
    call.headers.get("execution-type").is_some_and(|it| it.as_bytes() == b"async")
}

fn wants_logs(query: &str) -> bool {
    query
        .split('&')
        .filter_map(|it| it.split_once('='))
        .any(|(key, value)| key == "collect_logs" && value.eq_ignore_ascii_case("true"))
}

async fn start(api: &Api, credential: &Credential, call: &mut Call) -> Result<Reply, OutpostError> {
    let config = api.config.current();
    let is_async = is_async(call);
    let body = read_start(call, &config.http).await?;
    let headers: Vec<_> = call
        .headers
        .keys()
        .filter_map(|name| Some((name.as_str().to_owned(), call.header_text(name.as_str())?)))
        .collect();
    let choose = |credential: &Credential, service: &ServiceName| api.services.choose(credential, service);
    let rules = api.rules.current();
    let place = Place { config: &config, rules: &rules, namespace: api.services.namespace(), choose };
    let request = outpost::start_request(place, credential, body, &headers)?;
    match is_async {
        true => {
            api.services.start_in_background(request).await?;
            Ok(Reply::json(StatusCode::ACCEPTED, view::ADDRESS_LATER))
        }
        false => {
            let record = api.services.start_and_wait(request).await?;
            Ok(Reply::json(StatusCode::OK, view::started(&record)))
        }
    }
}

async fn read_start(call: &mut Call, limits: &crate::config::Http) -> Result<outpost::StartBody, OutpostError> {
    let timeout = Duration::from_secs(limits.request_timeout_seconds);
    let read = tokio::time::timeout(timeout, body::read_object(call, limits.max_body_bytes));
    body::start(&read.await.map_err(|_| OutpostError::BodyBrokeOff)??)
}

async fn list(api: &Api, credential: &Credential) -> Result<Reply, OutpostError> {
    let services = api.services.list_outpost(credential).await;
    Ok(Reply::json(StatusCode::OK, view::list(&services)))
}

async fn poll(api: &Api, asked: &Asked<'_>) -> Result<Reply, OutpostError> {
    let Asked { credential, server_name, wants_logs } = asked;
    let polled = api.services.poll_outpost(credential, server_name).await;
    count_poll(match &polled {
        Ok(None) => PollAnswer::Running,
        Ok(Some(_)) => PollAnswer::Stopped,
        Err(PollError::NotFound) => PollAnswer::NotFound,
    });
    let Ok(polled) = polled else { return Err(OutpostError::NoSuchService) };
    let logs = match wants_logs {
        true => Box::pin(api.services.log_lines(credential, server_name)).await,
        false => Vec::new(),
    };
    Ok(Reply::json(StatusCode::OK, view::polled(polled, &logs)))
}

async fn stop(api: &Api, asked: &Asked<'_>, is_async: bool) -> Result<Reply, OutpostError> {
    let Asked { credential, server_name, wants_logs } = asked;
    if is_async {
        count_stop(api.services.stop_once(credential, server_name).await)?;
        return Ok(Reply::json(StatusCode::ACCEPTED, "{}"));
    }
    let logs = count_stop(api.services.stop_and_tell(credential, server_name, *wants_logs).await)?;
    Ok(Reply::json(StatusCode::OK, view::stopped(&logs)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_true_asks_for_logs() {
        for (query, expected) in [
            ("collect_logs=true", true),
            ("x=1&collect_logs=TRUE", true),
            ("collect_logs=1", false),
            ("collect_logs", false),
            ("", false),
        ] {
            assert_eq!(wants_logs(query), expected, "{query}");
        }
    }
}
