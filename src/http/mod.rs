//! The HTTP API: the URL table, authentication, and a file for each resource.
//!
//! warp stays in here. A resource's functions get a `Call` and give a `Reply`; what they fail with is an `ApiError`.

mod admission;
pub mod api_docs;
mod call;
mod counting;
mod error;
mod health;
mod input;
mod log_handlers;
mod log_test;
mod metrics;
mod outpost;
mod reply;
mod roots;
mod server;
mod services;
mod user_input;
mod user_job_input;
mod user_jobs;
mod users;
mod view;
mod waiting;

use std::sync::Arc;

use warp::filters::BoxedFilter;
use warp::{Filter, path};

pub use self::server::{Limits, Server};
pub use self::waiting::waiting_routes;

use self::admission::{Access, Area};
use self::call::{Call, call};
use self::error::ApiError;
use self::reply::Reply;
use crate::auth::{Authenticator, Users};
use crate::flavors::SharedRules;
use crate::health::Conditions;
use crate::metrics_page::MetricsPage;
use crate::services::Services;
use crate::stored_log_handlers::StoredLogHandlers;
use crate::user_jobs::UserJobs;

/// What the resources work with.
#[derive(Clone)]
pub struct Api {
    pub services: Arc<Services>,
    pub user_jobs: Arc<UserJobs>,
    pub authenticator: Arc<Authenticator>,
    pub users: Users,
    pub log_handlers: Arc<StoredLogHandlers>,
    pub config: crate::config::SharedConfig,
    pub health: Arc<Conditions>,
    pub metrics_page: Arc<MetricsPage>,
    pub rules: SharedRules,
    /// OUTPOST_BASE_PATH, or nothing.
    pub outpost_base_path: Arc<str>,
}

const SERVICES: Area = Area { access: Access::WEBSERVICE, allow: "GET, POST, HEAD, OPTIONS" };
const SERVICE: Area = Area { access: Access::WEBSERVICE, allow: "GET, PUT, PATCH, DELETE, HEAD, OPTIONS" };
const USER_JOBS: Area = Area { access: Access::WEBSERVICE, allow: "GET, POST, HEAD, OPTIONS" };
const LOG_HANDLERS: Area = Area { access: Access::LOGGING, allow: "GET, POST, HEAD, OPTIONS" };
const LOG_HANDLER: Area = Area { access: Access::LOGGING, allow: "GET, PUT, PATCH, DELETE, HEAD, OPTIONS" };
const LOG_TEST: Area = Area { access: Access::LOGGING, allow: "GET, HEAD, OPTIONS" };
const USER_JOB: Area = Area { access: Access::WEBSERVICE, allow: "GET, DELETE, HEAD, OPTIONS" };
const LOGS: Area = Area { access: Access::LOGGING, allow: "GET, POST, HEAD, OPTIONS" };
const USERS: Area = Area { access: Access::Superuser, allow: "GET, POST, HEAD, OPTIONS" };
const USER: Area = Area { access: Access::Superuser, allow: "GET, PATCH, DELETE, HEAD, OPTIONS" };
const USER_TOKENS: Area = Area { access: Access::Superuser, allow: "GET, POST, HEAD, OPTIONS" };
const USER_TOKEN: Area = Area { access: Access::Superuser, allow: "GET, DELETE, HEAD, OPTIONS" };
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
        .or(path!("api" / "logs").and(call()).map(roots::logs)).unify()
        .or(path!("api-docs").and(call()).map(api_docs::description)).unify()
        .or(path!("api-docs" / "openapi.json").and(call()).map(api_docs::description)).unify()
        .or(path!("docs").and(call()).map(api_docs::page)).unify()
        .or(path!("docs" / String).and(call()).map(api_docs::asset)).unify();
    let services = path!("api" / "services").and(with()).and(call()).then(services::collection);
    let logs = path!("api" / "logs" / "handler").and(with()).and(call()).then(log_handlers::collection)
        .or(path!("api" / "logs" / "handler" / ..).and(name()).and(end()).and(with()).and(call()).then(log_handlers::item)).unify()
        .or(path!("api" / "logs" / "logtest").and(with()).and(call()).then(log_test::log_test)).unify();
    let users = path!("api" / "users").and(with()).and(call()).then(users::collection)
        .or(path!("api" / "users" / String).and(with()).and(call()).then(users::item)).unify()
        .or(path!("api" / "users" / String / "tokens").and(with()).and(call()).then(users::tokens)).unify()
        .or(path!("api" / "users" / String / "tokens" / String).and(with()).and(call()).then(users::token)).unify();
    let user_jobs = path!("api" / "userjobs").and(with()).and(call()).then(user_jobs::collection)
        .or(path!("api" / "userjobs" / String).and(with()).and(call()).then(user_jobs::item)).unify();
    // Nothing is there; who may not use the part is told so all the same.
    let nothing = path!("api" / "userjobs" / ..).and(with()).and(call()).then(|api, call| admission::nothing(api, call, USER_JOBS))
        .or(path!("api" / "logs" / ..).and(with()).and(call()).then(|api, call| admission::nothing(api, call, LOGS))).unify();
    let unknown = warp::any().map(|| Reply::error(&ApiError::NotFound, None));
    let rest = services.or(outpost::routes(api)).unify().or(open).unify().or(logs).unify().or(users).unify().or(user_jobs).unify()
        .or(nothing).unify().or(unknown).unify();
    // Polls are most of what comes. Each request copies what it may be passed on to: boxed, that is one pointer.
    path!("api" / "services" / ..).and(name()).and(end()).and(with()).and(call()).then(services::item).or(rest.boxed()).unify().boxed()
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
