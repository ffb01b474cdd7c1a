//! The second front door: the protocol of JupyterHub Outpost, which OutpostSpawner speaks.
//!
//! Its paths are read here and not in the URL table: names may be empty, and all of it is served beneath OUTPOST_BASE_PATH,
//! too. Its errors have shapes of their own (`error.rs`). What a request means is the room `outpost`'s business.

mod body;
mod error;
mod failure;
mod flavors;
mod services;
mod view;

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{Method, StatusCode};
use percent_encoding::percent_decode_str;
use warp::Filter;
use warp::filters::BoxedFilter;

use super::call::call;
use super::{Api, Call, Reply, api_docs};
use crate::auth::Principal;
use crate::domain::group::Group;
use crate::domain::{OutpostName, StartId};

pub(super) use self::error::OutpostError;

/// Of a start without one.
const NO_START_ID: &str = "0";
const PING: &str = "GET, HEAD";
const SERVICES: &str = "GET, HEAD, POST";
const SERVICE: &str = "DELETE, GET, HEAD";

/// What a path of this door names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Ping,
    /// What this API is.
    Description,
    Services,
    Asked(flavors::Question),
    Service(OutpostName, StartId),
    /// A service with a name that none can have.
    NoService,
    /// Nothing is there.
    Unknown,
}

impl Target {
    /// `None` for a path that is another door's.
    fn read(path: &str, base_path: &str) -> Option<Self> {
        let beneath = (!base_path.is_empty()).then(|| path.strip_prefix(base_path)).flatten();
        let beneath = beneath.filter(|it| it.is_empty() || it.starts_with('/'));
        let rest = beneath.unwrap_or(path).trim_start_matches('/');
        let (first, rest) = rest.split_once('/').map_or((rest, None), |(first, rest)| (first, Some(rest)));
        let is_whole = matches!(rest, None | Some(""));
        match first {
            "ping" if is_whole => Some(Self::Ping),
            "openapi.json" if is_whole => Some(Self::Description),
            "services" if is_whole => Some(Self::Services),
            "services" => Some(rest.and_then(Self::service).unwrap_or(Self::Unknown)),
            _ if flavors::Question::read(first).is_some() => {
                Some(flavors::Question::read(first).filter(|_| is_whole).map_or(Self::Unknown, Self::Asked))
            }
            "ping" => Some(Self::Unknown),
            _ => beneath.map(|_| Self::Unknown),
        }
    }

    /// `<name>`, `<name>/<start id>`, each also with a slash at its end; the name may be empty.
    fn service(path: &str) -> Option<Self> {
        let mut segments = path.split('/');
        let name = decoded(segments.next()?);
        let start_id = match (segments.next(), segments.next(), segments.next()) {
            (None | Some(""), None, _) => NO_START_ID.to_owned(),
            (Some(start_id), None | Some(""), None) => decoded(start_id),
            _ => return None,
        };
        Some(match (OutpostName::parse(&name), StartId::parse(&start_id)) {
            (Ok(name), Ok(start_id)) => Self::Service(name, start_id),
            _ => Self::NoService,
        })
    }
}

/// A segment of a path, percent-decoded.
fn decoded(segment: &str) -> String {
    let bytes: Vec<u8> = percent_decode_str(segment).collect();
    String::from_utf8(bytes).unwrap_or_else(|error| error.into_bytes().into_iter().map(char::from).collect())
}

/// Everything of this door; rejects what is another's.
pub(super) fn routes(api: Api) -> BoxedFilter<(Reply,)> {
    let base_path = api.outpost_base_path.clone();
    let target = warp::path::full().and_then(move |path: warp::path::FullPath| {
        let target = Target::read(path.as_str(), &base_path).ok_or_else(warp::reject::not_found);
        std::future::ready(target)
    });
    let query = || warp::query::raw().or(warp::any().map(String::new)).unify();
    target.and(query()).and(warp::any().map(move || api.clone())).and(call()).then(answer).boxed()
}

async fn answer(target: Target, query: String, api: Api, call: Call) -> Reply {
    match target {
        Target::Ping => ping(&call),
        Target::Description => api_docs::description(call),
        Target::Services => services::collection(api, call).await,
        Target::Asked(question) => flavors::answer(question, api, call).await,
        Target::Service(name, start_id) => services::item(name, start_id, &query, api, call).await,
        Target::NoService => {
            let admitted = admit(&api, &call, SERVICE).await;
            admitted.map_or_else(|error| error, |_| OutpostError::NotFound).reply(Some(SERVICE))
        }
        Target::Unknown => OutpostError::NotFound.reply(None),
    }
}

fn ping(call: &Call) -> Reply {
    match call.method {
        Method::GET | Method::HEAD => Reply::json(StatusCode::OK, r#"{"ping":"pong!"}"#),
        _ => OutpostError::MethodNotAllowed.reply(Some(PING)),
    }
}

/// Lets a call through to a path that knows these methods, or says why not: login (401), group (403), method (405).
async fn admit(api: &Api, call: &Call, allow: &'static str) -> Result<Arc<Principal>, OutpostError> {
    let authorization = call.headers.get(AUTHORIZATION).map(|it| it.as_bytes()).unwrap_or_default();
    let scheme = authorization.split(|it| *it == b' ').next().unwrap_or_default();
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return Err(OutpostError::NotAuthenticated);
    }
    let principal = api.authenticator.authenticate(Some(authorization), call.address).await?;
    if !principal.may(Group::Webservice) {
        Err(OutpostError::Forbidden)
    } else if !allow.split(", ").any(|it| it == call.method.as_str()) {
        Err(OutpostError::MethodNotAllowed)
    } else {
        Ok(principal)
    }
}

/// Whether a path is where starts are posted: such a request may take as long as a start.
pub(super) fn is_start(method: &Method, path: &str, base_path: &str) -> bool {
    *method == Method::POST && Target::read(path, base_path) == Some(Target::Services)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str, start_id: &str) -> Option<Target> {
        Some(Target::Service(OutpostName::parse(name).unwrap(), StartId::parse(start_id).unwrap()))
    }

    #[test]
    fn paths_are_read_with_and_without_slashes_names_and_base_path() {
        for (path, expected) in [
            ("/ping", Some(Target::Ping)),
            ("/ping/", Some(Target::Ping)),
            ("/outpost/ping", Some(Target::Ping)),
            ("/openapi.json", Some(Target::Description)),
            ("/flavors", Some(Target::Asked(flavors::Question::Flavors))),
            ("/outpost/userflavors/", Some(Target::Asked(flavors::Question::UserFlavors))),
            ("/credits/", Some(Target::Asked(flavors::Question::Credits))),
            ("/usercredits", Some(Target::Asked(flavors::Question::UserCredits))),
            ("/flavors/x", Some(Target::Unknown)),
            ("/services", Some(Target::Services)),
            ("/services/", Some(Target::Services)),
            ("/outpost/services/", Some(Target::Services)),
            ("/services/x", service("x", "0")),
            ("/services/x/", service("x", "0")),
            ("/services/x/s", service("x", "s")),
            ("/services/x/s/", service("x", "s")),
            ("/outpost/services/x/s", service("x", "s")),
            ("/services//", service("", "0")),
            ("/services//s", service("", "s")),
            ("/services//s/", service("", "s")),
            ("/services/Weird%20Name/s", service("Weird Name", "s")),
            ("/services/%C3%BCmlaut/s", service("ümlaut", "s")),
            ("/services/ümlaut/s", service("ümlaut", "s")),
            ("/services/a%2Fb/s", Some(Target::NoService)),
            ("/services/a/%20", Some(Target::NoService)),
            ("/services/a/b/c", Some(Target::Unknown)),
            ("/services/a//", Some(Target::NoService)),
            ("/ping/x", Some(Target::Unknown)),
            ("/outpost", Some(Target::Unknown)),
            ("/outpost/api/services/", Some(Target::Unknown)),
            ("/outposts/ping", None),
            ("/api/services/", None),
            ("/", None),
        ] {
            assert_eq!(Target::read(path, "/outpost"), expected, "{path}");
        }
        assert_eq!(Target::read("/outpost/ping", ""), None);
    }
}
