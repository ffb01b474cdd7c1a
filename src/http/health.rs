//! `/api/health/` and `/livez`: whether the process answers. `/readyz`: whether another replica should be asked
//! instead. They need no credentials.

use std::collections::BTreeSet;

use http::{Method, StatusCode};
use percent_encoding::percent_decode_str;

use super::{Api, ApiError, Call, Reply};

const ALLOW: &str = "GET, HEAD";
const TEXT: &str = "text/plain; charset=utf-8";

pub fn health(call: Call) -> Reply {
    answer(call, Reply::empty_page)
}

pub fn livez(query: String, call: Call) -> Reply {
    let text = if is_verbose(&query) { "[+]ping ok\nlivez check passed\n" } else { "ok" };
    answer(call, || Reply::page(StatusCode::OK, TEXT, text.to_owned()))
}

/// As Kubernetes' own: all conditions when asked for (`?verbose`) or when one fails; `?exclude=name` passes one over.
pub async fn readyz(query: String, api: Api, call: Call) -> Reply {
    let excluded: BTreeSet<String> = parameters(&query)
        .filter(|(name, _)| *name == "exclude")
        .map(|(_, value)| percent_decode_str(value).decode_utf8_lossy().into_owned())
        .collect();
    let report = api.health.report().await;
    let is_ready = report.is_ready(&excluded);
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let text = if is_ready && !is_verbose(&query) { "ok".to_owned() } else { report.text(&excluded) };
    answer(call, || Reply::page(status, TEXT, text))
}

fn answer(call: Call, reply: impl FnOnce() -> Reply) -> Reply {
    match call.method {
        Method::GET | Method::HEAD => reply(),
        method => Reply::error(&ApiError::MethodNotAllowed(method), Some(ALLOW)),
    }
}

fn is_verbose(query: &str) -> bool {
    parameters(query).any(|(name, _)| name == "verbose")
}

fn parameters(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').map(|it| it.split_once('=').unwrap_or((it, "")))
}
