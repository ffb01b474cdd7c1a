//! `/metrics`, for Prometheus. Needs no credentials: it names hubs and counts, nothing of users.

use http::Method;

use super::{Api, ApiError, Call, Reply};

const PAGE: &str = "text/plain; version=0.0.4; charset=utf-8";
const ALLOW: &str = "GET, HEAD";

/// On the API's own address, unless there is one for metrics.
pub async fn beside_the_api(api: Api, call: Call) -> Reply {
    match api.config.current().metrics.listen {
        Some(_) => Reply::error(&ApiError::NotFound, None),
        None => metrics(api, call).await,
    }
}

pub async fn metrics(api: Api, call: Call) -> Reply {
    if !api.config.current().metrics.enabled {
        return Reply::error(&ApiError::NotFound, None);
    }
    match call.method {
        Method::GET | Method::HEAD => Reply::page(http::StatusCode::OK, PAGE, api.metrics_page.text().await),
        method => Reply::error(&ApiError::MethodNotAllowed(method), Some(ALLOW)),
    }
}
