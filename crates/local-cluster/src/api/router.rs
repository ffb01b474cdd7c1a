//! The URL table: from a request to the function that answers it, with faults and the count of calls on the way.

use std::sync::Arc;

use http::Method;

use super::error::ApiError;
use super::request::{ApiRequest, Target, decode};
use super::response::{self, Answer};
use super::{Api, create, delete, discovery, logs, read, review, subresources, watch, write};
use crate::auth::User;
use crate::faults::{Fault, Met};
use crate::rbac::{self, Attributes};

/// `None`: the connection is to be closed without an answer (a fault).
pub async fn answer(api: &Arc<Api>, request: ApiRequest) -> Option<Answer> {
    let segments: Vec<String> =
        request.path.split('/').filter(|it| !it.is_empty()).map(|it| decode(it, false)).collect();
    let health = matches!(segments.first().map(String::as_str), Some("healthz" | "livez" | "readyz" | "version"));
    let user = match api.auth.user(request.header("authorization"), &api.storage) {
        Some(user) => user,
        None if health => User::service_account("", ""),
        None => return Some(response::refusal(&ApiError::unauthorized())),
    };
    let user = match impersonated(&request, user) {
        Ok(user) => user,
        Err(error) => return Some(response::refusal(&error)),
    };
    if let Some(answer) = discovery::answer(api, &request, &segments) {
        api.calls.count("discovery", segments.first().map_or("/", String::as_str));
        return Some(answer);
    }
    let target = match Target::parse(&api.registry, &segments) {
        Ok(target) => target,
        Err(error) => return Some(response::refusal(&error)),
    };
    let Some(verb) = verb_of(&request, &target) else {
        return Some(response::refusal(&ApiError::method_not_allowed()));
    };
    let resource = match &target.subresource {
        Some(subresource) => format!("{}/{subresource}", target.kind.plural),
        None => target.kind.plural.clone(),
    };
    api.calls.count(verb, &resource);
    api.calls.note(&user, verb, &target.kind.group, &resource);
    if let Err(error) = authorize(api, &user, &target, verb, &resource) {
        return Some(response::refusal(&error));
    }
    let name = target.name.clone().or_else(|| name_in_body(&request)).unwrap_or_default();
    let met = api.faults.meet(verb, &resource, &name);
    let mut after = None;
    if let Some(Met { id, fault }) = met {
        match fault {
            Fault::Delay(duration) => tokio::time::sleep(duration).await,
            Fault::Refuse { code, reason } => {
                let mut error = ApiError::new(code, "", format!("fault: {reason}"));
                error.reason = known_reason(&reason);
                return Some(response::refusal(&error));
            }
            Fault::DropBeforeEffect => return None,
            Fault::TooManyRequests { retry_after_seconds } => {
                let message = "the server has received too many requests and has asked us to try again later";
                let mut error = ApiError::new(429, "TooManyRequests", message);
                error.details = Some(serde_json::json!({"retryAfterSeconds": retry_after_seconds}));
                return Some(response::refusal(&error));
            }
            Fault::Gone if verb == "watch" => return Some(watch::gone("too old resource version: fault")),
            Fault::Gone => return Some(response::refusal(&ApiError::expired("too old resource version: fault"))),
            other @ (Fault::DropAfterEffect
            | Fault::EmptyList
            | Fault::ShortList(_)
            | Fault::StaleList
            | Fault::Garbage) => after = Some((id, other)),
        }
    }
    if let Some((_, Fault::EmptyList)) = after
        && verb == "list"
    {
        return Some(read::empty_list(api, &target));
    }
    let done = dispatch(api, &request, &target, verb, &user).await.unwrap_or_else(|error| response::refusal(&error));
    match after {
        Some((_, Fault::DropAfterEffect)) => None,
        Some((_, Fault::Garbage)) => Some(response::bytes(200, "text/html", "<html><body>It works!</body></html>")),
        Some((_, Fault::ShortList(items))) if verb == "list" => Some(read::short(items, done).await),
        Some((id, Fault::StaleList)) if verb == "list" => Some(read::stale(api, id, done).await),
        _ => Some(done),
    }
}

/// Reasons are static text in a refusal; a rule may name any of the usual ones.
fn known_reason(reason: &str) -> &'static str {
    const KNOWN: &[&str] = &[
        "BadRequest",
        "Unauthorized",
        "Forbidden",
        "NotFound",
        "AlreadyExists",
        "Conflict",
        "Gone",
        "Expired",
        "Invalid",
        "Timeout",
        "ServerTimeout",
        "TooManyRequests",
        "InternalError",
        "ServiceUnavailable",
    ];
    KNOWN.iter().find(|it| **it == reason).copied().unwrap_or("InternalError")
}

fn verb_of(request: &ApiRequest, target: &Target) -> Option<&'static str> {
    let named = target.name.is_some();
    Some(match request.method {
        Method::GET | Method::HEAD if named => "get",
        Method::GET | Method::HEAD if request.query.flag("watch") => "watch",
        Method::GET | Method::HEAD => "list",
        Method::POST if !named || target.subresource.is_some() => "create",
        Method::PUT if named => "update",
        Method::PATCH if named => "patch",
        Method::DELETE if named => "delete",
        Method::DELETE => "deletecollection",
        _ => return None,
    })
}

fn name_in_body(request: &ApiRequest) -> Option<String> {
    if request.method != Method::POST {
        return None;
    }
    let body: serde_json::Value = serde_json::from_slice(&request.body).ok()?;
    body["metadata"]["name"].as_str().or_else(|| body["metadata"]["generateName"].as_str()).map(str::to_owned)
}

/// `kubectl --as`: the administrator may ask as anybody.
fn impersonated(request: &ApiRequest, user: User) -> Result<User, ApiError> {
    let wanted = request.header("impersonate-user");
    if wanted.is_empty() {
        return Ok(user);
    }
    if !user.is_admin() {
        let why = format!("User \"{}\" cannot impersonate resource \"users\" in API group \"\"", user.name);
        return Err(ApiError::new(403, "Forbidden", format!("users \"{wanted}\" is forbidden: {why}")));
    }
    if let Some((namespace, name)) = wanted.strip_prefix("system:serviceaccount:").and_then(|it| it.split_once(':')) {
        return Ok(User::service_account(namespace, name));
    }
    let given = request.headers.get_all("impersonate-group").iter().filter_map(|it| it.to_str().ok());
    let groups = given.chain(["system:authenticated"]).map(str::to_owned).collect();
    Ok(User { name: wanted.to_owned(), groups })
}

fn authorize(api: &Api, user: &User, target: &Target, verb: &str, resource: &str) -> Result<(), ApiError> {
    let reviews_self = target.kind.create_only && target.kind.kind.starts_with("Self");
    let name = target.name.as_deref().unwrap_or_default();
    let wanted = Attributes {
        verb,
        group: &target.kind.group,
        resource,
        namespace: target.namespace.as_deref().unwrap_or_default(),
        name,
    };
    if reviews_self || rbac::allows(&api.storage, user, &wanted) {
        return Ok(());
    }
    Err(ApiError::forbidden(&target.kind, name, &wanted.refusal(user)))
}

async fn dispatch(
    api: &Arc<Api>,
    request: &ApiRequest,
    target: &Target,
    verb: &str,
    user: &User,
) -> Result<Answer, ApiError> {
    if target.kind.create_only {
        return if verb == "create" {
            review::create(api, request, target, user)
        } else {
            Err(ApiError::method_not_allowed())
        };
    }
    match (target.subresource.as_deref(), verb) {
        (None, "get") => read::get(api, request, target),
        (None, "list") => read::list(api, request, target),
        (None, "watch") => watch::watch(api, request, target),
        (None, "create") => create::create(api, request, target),
        (None | Some("status"), "update") => write::update(api, request, target),
        (None | Some("status"), "patch") => write::patch(api, request, target),
        (None, "delete") => delete::delete_one(api, request, target),
        (None, "deletecollection") => delete::delete_collection(api, request, target),
        (Some("status"), "get") => read::get(api, request, target),
        (Some("log"), "get") => logs::read(api, request, target).await,
        (Some(_), _) => subresources::answer(api, request, target, verb),
        _ => Err(ApiError::method_not_allowed()),
    }
}
