//! What is answered before there is a database: that the process lives, and nothing else.

use http::StatusCode;
use warp::filters::BoxedFilter;
use warp::{Filter, path};

use super::Reply;

/// A liveness probe must not end a process that waits; a readiness probe must not send it requests.
pub fn waiting_routes() -> BoxedFilter<(Reply,)> {
    let alive = path!("livez").map(Reply::empty_page);
    let detail = r#"{"detail":"K8s Manager starts: it waits for its database."}"#;
    let other = warp::any().map(move || Reply::json(StatusCode::SERVICE_UNAVAILABLE, detail.to_owned()));
    alive.or(other).unify().boxed()
}
