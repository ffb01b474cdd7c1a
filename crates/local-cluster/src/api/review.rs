//! Reviews: questions about who somebody is and what they may do, answered without storing anything.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Api;
use super::error::ApiError;
use super::request::{ApiRequest, Target};
use super::response::{self, Answer};
use super::write;
use crate::auth::User;
use crate::rbac::{self, Attributes};

pub fn create(api: &Arc<Api>, request: &ApiRequest, target: &Target, user: &User) -> Result<Answer, ApiError> {
    let mut object = write::object_in(request, &target.kind)?;
    crate::schema::check(&target.kind, &mut object, false)?;
    object["status"] = match target.kind.kind.as_str() {
        "SelfSubjectAccessReview" => access(api, user, &object["spec"]),
        "SubjectAccessReview" | "LocalSubjectAccessReview" => access(api, &told_user(&object["spec"]), &object["spec"]),
        "SelfSubjectRulesReview" => {
            let namespace = object["spec"]["namespace"].as_str().unwrap_or_default();
            let mut rules = rbac::rules(&api.storage, user, namespace);
            if user.is_admin() {
                rules.push(json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}));
            }
            let urls = json!([{"verbs": ["get"], "nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/healthz",
                "/livez", "/openapi", "/openapi/*", "/readyz", "/version"]}]);
            json!({"resourceRules": rules, "nonResourceRules": urls, "incomplete": false})
        }
        "SelfSubjectReview" => json!({"userInfo": {"username": user.name, "groups": user.groups}}),
        "TokenReview" => {
            let token = object["spec"]["token"].as_str().unwrap_or_default();
            match api.auth.user_of_token(token, &api.storage) {
                Some(found) => {
                    json!({"authenticated": true, "user": {"username": found.name, "groups": found.groups}})
                }
                None => json!({"user": {}, "error": "invalid bearer token"}),
            }
        }
        _ => json!({}),
    };
    Ok(response::json(201, &object))
}

fn told_user(spec: &Value) -> User {
    let groups = spec["groups"].as_array().into_iter().flatten().filter_map(|it| it.as_str().map(str::to_owned));
    User { name: spec["user"].as_str().unwrap_or_default().to_owned(), groups: groups.collect() }
}

fn access(api: &Api, user: &User, spec: &Value) -> Value {
    let asked = &spec["resourceAttributes"];
    let text = |name: &str| asked[name].as_str().unwrap_or_default();
    if !asked.is_object() {
        return json!({"allowed": user.is_admin() || spec["nonResourceAttributes"]["verb"] == "get"});
    }
    let resource = match text("subresource") {
        "" => text("resource").to_owned(),
        subresource => format!("{}/{subresource}", text("resource")),
    };
    let wanted = Attributes {
        verb: text("verb"),
        group: text("group"),
        resource: &resource,
        namespace: text("namespace"),
        name: text("name"),
    };
    if rbac::allows(&api.storage, user, &wanted) {
        json!({"allowed": true, "reason": "allowed by the bindings of this cluster"})
    } else {
        json!({"allowed": false, "reason": wanted.refusal(user)})
    }
}
