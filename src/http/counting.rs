//! Counts and times every request by route, method and status. The handles are kept: a poll pays for two additions.

use std::sync::OnceLock;
use std::time::Instant;

use http::{Method, StatusCode};
use metrics::{Counter, Histogram};

const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
const STATUSES: [u16; 16] = [200, 201, 202, 204, 400, 401, 403, 404, 405, 409, 413, 415, 419, 422, 500, 503];

macro_rules! routes {
    ($($route:ident = $name:literal,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum Route { $($route,)* }
        const ROUTES: &[&str] = &[$($name,)*];
    };
}

routes! {
    Api = "/api/",
    Health = "/api/health/",
    Services = "/api/services/",
    Service = "/api/services/{name}/",
    UserJobs = "/api/userjobs/",
    UserJob = "/api/userjobs/{service}/",
    Users = "/api/users/",
    User = "/api/users/{name}/",
    Logs = "/api/logs/",
    LogHandlers = "/api/logs/handler/",
    LogHandler = "/api/logs/handler/{handler}/",
    LogTest = "/api/logs/logtest/",
    Documentation = "/docs",
    ApiDocumentation = "/api-docs",
    Live = "/livez",
    Ready = "/readyz",
    Metrics = "/metrics",
    OutpostPing = "/ping",
    OutpostServices = "/services/",
    OutpostService = "/services/{name}/{start_id}/",
    OutpostFlavors = "/flavors/",
    OutpostUserFlavors = "/userflavors/",
    OutpostCredits = "/credits/",
    OutpostUserCredits = "/usercredits/",
    Other = "other",
}

impl Route {
    fn of(path: &str) -> Self {
        let mut segments = path.strip_prefix('/').unwrap_or(path).trim_end_matches('/').split('/');
        let mut next = || segments.next();
        match (next(), next(), next(), next(), next()) {
            (Some("api"), Some("services"), Some(_), None, _) => Route::Service,
            (Some("api"), Some("services"), None, ..) => Route::Services,
            (Some("api"), Some("health"), None, ..) => Route::Health,
            (Some("api"), None, ..) => Route::Api,
            (Some("api"), Some("userjobs"), None, ..) => Route::UserJobs,
            (Some("api"), Some("userjobs"), Some(_), None, _) => Route::UserJob,
            (Some("api"), Some("users"), None, ..) => Route::Users,
            (Some("api"), Some("users"), Some(_), ..) => Route::User,
            (Some("api"), Some("logs"), None, ..) => Route::Logs,
            (Some("api"), Some("logs"), Some("handler"), None, _) => Route::LogHandlers,
            (Some("api"), Some("logs"), Some("handler"), Some(_), None) => Route::LogHandler,
            (Some("api"), Some("logs"), Some("logtest"), None, _) => Route::LogTest,
            (Some("docs"), ..) => Route::Documentation,
            (Some("api-docs"), ..) => Route::ApiDocumentation,
            (Some("livez"), None, ..) => Route::Live,
            (Some("readyz"), None, ..) => Route::Ready,
            (Some("metrics"), None, ..) => Route::Metrics,
            (Some("ping"), None, ..) => Route::OutpostPing,
            (Some("services"), None, ..) => Route::OutpostServices,
            (Some("services"), Some(_), _, None, _) => Route::OutpostService,
            (Some("flavors"), None, ..) => Route::OutpostFlavors,
            (Some("userflavors"), None, ..) => Route::OutpostUserFlavors,
            (Some("credits"), None, ..) => Route::OutpostCredits,
            (Some("usercredits"), None, ..) => Route::OutpostUserCredits,
            _ => Route::Other,
        }
    }
}

/// What is counted of one method on one route, made when it first happens.
struct Handles {
    duration: OnceLock<Histogram>,
    by_status: [OnceLock<Counter>; STATUSES.len() + 1],
}

impl Handles {
    const fn new() -> Self {
        Self { duration: OnceLock::new(), by_status: [const { OnceLock::new() }; STATUSES.len() + 1] }
    }
}

static HANDLES: [[Handles; METHODS.len() + 1]; ROUTES.len()] =
    [const { [const { Handles::new() }; METHODS.len() + 1] }; ROUTES.len()];

/// A request that is being answered.
pub(super) struct Counted {
    begun: Instant,
    route: Route,
    method: usize,
}

impl Counted {
    pub fn begin(method: &Method, path: &str) -> Self {
        let method = METHODS.iter().position(|it| *it == method.as_str()).unwrap_or(METHODS.len());
        Self { begun: Instant::now(), route: Route::of(path), method }
    }

    pub fn end(self, status: StatusCode) {
        let (route, method) = (ROUTES[self.route as usize], METHODS.get(self.method).copied().unwrap_or("other"));
        let handles = &HANDLES[self.route as usize][self.method];
        let duration = handles.duration.get_or_init(
            || metrics::histogram!("k8smgr_request_duration_seconds", "route" => route, "method" => method),
        );
        duration.record(self.begun.elapsed().as_secs_f64());
        let known = STATUSES.iter().position(|it| *it == status.as_u16());
        let count = || {
            let status = known.map_or_else(|| "other".to_owned(), |_| status.as_str().to_owned());
            metrics::counter!("k8smgr_requests_total", "route" => route, "method" => method, "status" => status)
        };
        handles.by_status[known.unwrap_or(STATUSES.len())].get_or_init(count).increment(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_status_is_counted_as_itself() {
        let text = crate::http::api_docs::openapi();
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        let operations =
            document["paths"].as_object().unwrap().values().flat_map(|it| it.as_object().unwrap().values());
        let answers = operations.filter_map(|it| it["responses"].as_object()).flat_map(|it| it.keys());
        let documented: std::collections::BTreeSet<u16> = answers.map(|it| it.parse().unwrap()).collect();
        // A head that is too long is refused before there is a request.
        let missing: Vec<_> = documented.iter().filter(|it| **it != 431 && !STATUSES.contains(it)).collect();
        assert!(documented.contains(&409) && missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn a_path_belongs_to_one_route_whatever_names_it_holds() {
        for (path, route) in [
            ("/api/services/", "/api/services/"),
            ("/api/services", "/api/services/"),
            ("/api/services/lab/", "/api/services/{name}/"),
            ("/api/services/a%2Fb", "/api/services/{name}/"),
            ("/api/services/a/b/", "other"),
            ("/api", "/api/"),
            ("/api/health/", "/api/health/"),
            ("/api/logs/handler/file/", "/api/logs/handler/{handler}/"),
            ("/api/userjobs/x/", "/api/userjobs/{service}/"),
            ("/api/users/hub/tokens/", "/api/users/{name}/"),
            ("/readyz", "/readyz"),
            ("/services", "/services/"),
            ("/services/", "/services/"),
            ("/services/lab/s1", "/services/{name}/{start_id}/"),
            ("/services/lab/", "/services/{name}/{start_id}/"),
            ("/services//s1", "/services/{name}/{start_id}/"),
            ("/ping", "/ping"),
            ("/flavors", "/flavors/"),
            ("/usercredits/", "/usercredits/"),
            ("/", "other"),
            ("/api/nothing/", "other"),
            ("//api/services/", "other"),
        ] {
            assert_eq!(ROUTES[Route::of(path) as usize], route, "{path}");
        }
    }
}
