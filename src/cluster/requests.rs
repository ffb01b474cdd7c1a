//! Counts the requests to the API server by verb, resource and code, as the API server's own metrics name them.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use http::{Method, Request, Response};
use tower_layer::Layer;
use tower_service::Service;

/// When the API server last took up a watch, by path: a watch on which nothing happens tells nothing else.
static TAKEN_UP: Mutex<BTreeMap<String, Instant>> = Mutex::new(BTreeMap::new());

pub(super) fn watch_was_taken_up(path: &str) -> Option<Instant> {
    TAKEN_UP.lock().unwrap_or_else(PoisonError::into_inner).get(path).copied()
}

#[derive(Clone, Copy, Debug)]
pub(super) struct CountRequests;

#[derive(Clone, Debug)]
pub(super) struct Counting<S>(S);

impl<S> Layer<S> for CountRequests {
    type Service = Counting<S>;

    fn layer(&self, inner: S) -> Counting<S> {
        Counting(inner)
    }
}

impl<S, B, R> Service<Request<B>> for Counting<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let uri = request.uri();
        let (resource, is_named) = resource(uri.path());
        let asked = uri.query().unwrap_or_default();
        let verb = verb(request.method(), is_named, asked.split('&').any(|it| it == "watch=true" || it == "watch=1"));
        let watched = (verb == "watch").then(|| uri.path().to_owned());
        let count = Uncounted { verb, resource: Some(resource) };
        let answer = self.0.call(request);
        Box::pin(async move {
            let answer = answer.await;
            if let (Some(path), Ok(answer)) = (watched, &answer)
                && answer.status().is_success()
            {
                TAKEN_UP.lock().unwrap_or_else(PoisonError::into_inner).insert(path, Instant::now());
            }
            count.end(answer.as_ref().ok().map(|it| it.status().as_u16()));
            answer
        })
    }
}

/// A request that was given up counts as one without an answer.
struct Uncounted {
    verb: &'static str,
    resource: Option<String>,
}

impl Uncounted {
    fn end(mut self, status: Option<u16>) {
        self.count(status);
    }

    fn count(&mut self, status: Option<u16>) {
        if let Some(resource) = self.resource.take() {
            let code = status.map_or_else(|| "none".to_owned(), |it| it.to_string());
            metrics::counter!("k8smgr_api_requests_total", "verb" => self.verb, "resource" => resource, "code" => code)
                .increment(1);
        }
    }
}

impl Drop for Uncounted {
    fn drop(&mut self) {
        self.count(None);
    }
}

fn verb(method: &Method, is_named: bool, is_watch: bool) -> &'static str {
    match *method {
        Method::GET | Method::HEAD if is_watch => "watch",
        Method::GET | Method::HEAD if is_named => "get",
        Method::GET | Method::HEAD => "list",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if is_named => "delete",
        Method::DELETE => "deletecollection",
        _ => "other",
    }
}

/// The resource of a path, with its subresource, and whether one object is named. The names of resources come from
/// discovery of the kinds that descriptions use, so they are few.
fn resource(path: &str) -> (String, bool) {
    let mut segments: Vec<&str> = path.split('/').filter(|it| !it.is_empty()).collect();
    let group = match segments.first() {
        Some(&"api") => 2,
        Some(&"apis") => 3,
        _ => return ("other".to_owned(), true),
    };
    if segments.len() <= group {
        return ("discovery".to_owned(), true);
    }
    segments.drain(..group);
    if segments.first() == Some(&"namespaces") && segments.len() > 2 {
        segments.drain(..2);
    }
    let name = segments.first().copied().unwrap_or_default();
    match segments.get(2) {
        Some(subresource) => (format!("{name}/{subresource}"), true),
        None => (name.to_owned(), segments.len() > 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_as_the_api_server_names_it() {
        for (method, path, is_watch, expected) in [
            (Method::GET, "/api/v1/namespaces/a/pods", false, "list pods"),
            (Method::GET, "/api/v1/pods", true, "watch pods"),
            (Method::GET, "/api/v1/namespaces/a/pods/b", false, "get pods"),
            (Method::GET, "/api/v1/namespaces/a/pods/b/log", false, "get pods/log"),
            (Method::GET, "/api/v1/namespaces/a", false, "get namespaces"),
            (Method::GET, "/api/v1/namespaces", false, "list namespaces"),
            (Method::POST, "/apis/apps/v1/namespaces/a/deployments", false, "create deployments"),
            (Method::PATCH, "/apis/apps/v1/namespaces/a/deployments/b", false, "patch deployments"),
            (Method::DELETE, "/apis/apps/v1/namespaces/a/deployments/b", false, "delete deployments"),
            (Method::DELETE, "/api/v1/namespaces/a/secrets", false, "deletecollection secrets"),
            (Method::GET, "/apis/apps/v1", false, "get discovery"),
            (Method::GET, "/version", false, "get other"),
        ] {
            let (resource, is_named) = resource(path);
            assert_eq!(format!("{} {resource}", verb(&method, is_named, is_watch)), expected, "{path}");
        }
    }
}
