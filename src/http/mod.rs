//! The HTTP API: the URL table, authentication, and a file for each resource.
//!
//! warp stays in here. A resource's functions get a `Call` and give a `Reply`; what they fail with is an `ApiError`.

mod admission;
mod call;
mod counting;
mod error;
mod health;
mod input;
mod log_handlers;
mod log_test;
mod metrics;
mod reply;
mod roots;
mod server;
mod services;
mod view;
mod waiting;

use std::sync::Arc;

use warp::filters::BoxedFilter;
use warp::{Filter, path};

pub use self::server::{Limits, Server};
pub use self::waiting::waiting_routes;

use self::admission::Area;
use self::call::{Call, call};
use self::error::ApiError;
use self::reply::Reply;
use crate::auth::Authenticator;
use crate::domain::group::Group;
use crate::health::Conditions;
use crate::metrics_page::MetricsPage;
use crate::services::Services;
use crate::stored_log_handlers::StoredLogHandlers;

/// What the resources work with.
#[derive(Clone)]
pub struct Api {
    pub services: Arc<Services>,
    pub authenticator: Arc<Authenticator>,
    pub log_handlers: Arc<StoredLogHandlers>,
    pub config: crate::config::SharedConfig,
    pub health: Arc<Conditions>,
    pub metrics_page: Arc<MetricsPage>,
}

const SERVICES: Area = Area { group: Group::Webservice, allow: "GET, POST, HEAD, OPTIONS" };
const SERVICE: Area = Area { group: Group::Webservice, allow: "GET, PUT, PATCH, DELETE, HEAD, OPTIONS" };
const USER_JOBS: Area = Area { group: Group::Webservice, allow: "GET, POST, HEAD, OPTIONS" };
const LOG_HANDLERS: Area = Area { group: Group::Logging, allow: "GET, POST, HEAD, OPTIONS" };
const LOG_HANDLER: Area = Area { group: Group::Logging, allow: "GET, PUT, PATCH, DELETE, HEAD, OPTIONS" };
const LOG_TEST: Area = Area { group: Group::Logging, allow: "GET, HEAD, OPTIONS" };
const USER_JOB: Area = Area { group: Group::Webservice, allow: "GET, DELETE, HEAD, OPTIONS" };
const LOGS: Area = Area { group: Group::Logging, allow: "GET, POST, HEAD, OPTIONS" };
const ROOT: &str = "GET, HEAD, OPTIONS";

/// Every path, with and without a slash at its end.
#[rustfmt::skip]
pub fn routes(api: Api) -> BoxedFilter<(Reply,)> {
    let end = path::end;
    let name = path::param::<String>;
    let with = { let api = api.clone(); move || { let api = api.clone(); warp::any().map(move || api.clone()) } };

    let open = path!("api" / "health").and(call()).map(health::health)
        .or(probes(&api)).unify()
        .or(path!("metrics").and(with()).and(call()).then(metrics::beside_the_api)).unify()
        .or(path!("api").and(call()).map(roots::api)).unify()
        .or(path!("api" / "logs").and(call()).map(roots::logs)).unify();
    let services = path!("api" / "services").and(with()).and(call()).then(services::collection)
        .or(path!("api" / "services" / ..).and(name()).and(end()).and(with()).and(call()).then(services::item)).unify();
    let logs = path!("api" / "logs" / "handler").and(with()).and(call()).then(log_handlers::collection)
        .or(path!("api" / "logs" / "handler" / ..).and(name()).and(end()).and(with()).and(call()).then(log_handlers::item)).unify()
        .or(path!("api" / "logs" / "logtest").and(with()).and(call()).then(log_test::log_test)).unify();
    // Not served yet; who may not use them is told so all the same.
    let later = path!("api" / "userjobs" / String).and(with()).and(call()).then(|_, api, call| admission::nothing(api, call, USER_JOB))
        .or(path!("api" / "userjobs" / ..).and(with()).and(call()).then(|api, call| admission::nothing(api, call, USER_JOBS))).unify()
        .or(path!("api" / "logs" / ..).and(with()).and(call()).then(|api, call| admission::nothing(api, call, LOGS))).unify();
    let unknown = warp::any().map(|| Reply::error(&ApiError::NotFound, None));
    open.or(services).unify().or(logs).unify().or(later).unify().or(unknown).unify().boxed()
}

/// What is served on `metrics.listen`.
pub fn operators_routes(api: Api) -> BoxedFilter<(Reply,)> {
    let probes = probes(&api);
    let with = move || api.clone();
    let page = path!("metrics").map(with).and(call()).then(metrics::metrics);
    let unknown = warp::any().map(|| Reply::error(&ApiError::NotFound, None));
    probes.or(page).unify().or(unknown).unify().boxed()
}

/// `/livez` and `/readyz`.
fn probes(api: &Api) -> BoxedFilter<(Reply,)> {
    let query = || warp::query::raw().or(warp::any().map(String::new)).unify();
    let api = api.clone();
    let live = path!("livez").and(query()).and(call()).map(health::livez);
    let ready = path!("readyz").and(query()).and(warp::any().map(move || api.clone())).and(call()).then(health::readyz);
    live.or(ready).unify().boxed()
}
