//! `/api/users/`: what the superuser uses.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::operation::{Operation, PathItem, component};
use crate::domain::group::Group;
use crate::http::users::{NewTokenView, UserView};
use crate::http::{USER, USER_TOKEN, USER_TOKENS, USERS};

const TAG: &str = "users";

pub fn paths() -> Vec<(&'static str, Value)> {
    let list = Operation::new("get", "listUsers", "All users", "By name, with their groups and tokens' labels.")
        .answer("200", "The users.", &json!({"type": "array", "items": component("User")}));
    let get =
        Operation::new("get", "getUser", "One user", "").answer("200", "The user.", &component("User")).not_found();
    let tokens = Operation::new("get", "listTokens", "A user's tokens", "What they are called, oldest first.")
        .answer("200", "The tokens.", &json!({"type": "array", "items": component("Token")}))
        .not_found();
    let token = Operation::new("get", "getToken", "One token", "What it is called, never what it is.")
        .answer("200", "The token.", &component("Token"))
        .not_found();
    let revoke = Operation::new("delete", "revokeToken", "Revoke a token", "")
        .empty("204", "It lets nobody in any more.")
        .not_found();
    vec![
        PathItem::new("/api/users/", TAG, vec![list, add()]).within(USERS),
        named(PathItem::new("/api/users/{name}/", TAG, vec![get, change(), delete()])).within(USER),
        named(PathItem::new("/api/users/{name}/tokens/", TAG, vec![tokens, add_token()])).within(USER_TOKENS),
        named(PathItem::new("/api/users/{name}/tokens/{label}/", TAG, vec![token, revoke]))
            .parameter("label", "What the token is called.", &label())
            .within(USER_TOKEN),
    ]
}

fn named(path: PathItem) -> PathItem {
    path.parameter("name", "The user's login.", &json!({"type": "string", "minLength": 1, "maxLength": 150}))
}

fn label() -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": 100, "description": "Letters, digits, spaces and @ . + - _"})
}

fn add() -> Operation {
    let hub = json!({"name": "hub-2", "password": "a long password", "groups": [Group::Webservice.as_str()]});
    let next = json!({"name": "$response.body#/name"});
    Operation::new("post", "addUser", "Add a user", "A hub or an operator. Without a password only tokens let it in.")
        .body("NewUser", true, &json!({"hub": {"summary": "A hub", "value": hub}}))
        .answer("201", "The user.", &component("User"))
        .refusal("409", "There is a user of this name.", "Detail")
        .link("201", "getUser", &next)
        .link("201", "changeUser", &next)
        .link("201", "addToken", &next)
        .link("201", "deleteUser", &next)
}

fn change() -> Operation {
    Operation::new("patch", "changeUser", "Change a user", "What is not given stays as it is.")
        .body("UserChange", false, &json!({"out": {"summary": "Keep it out for now", "value": {"is_active": false}}}))
        .answer("200", "The user.", &component("User"))
        .not_found()
        .refusal("409", "You cannot deactivate yourself.", "Detail")
}

fn delete() -> Operation {
    Operation::new("delete", "deleteUser", "Delete a user", "And its tokens. What is in its homes stays.")
        .empty("204", "The user is gone.")
        .not_found()
        .refusal("409", "It still has services, or is you.", "Detail")
}

fn add_token() -> Operation {
    let token = json!({"name": "$request.path.name", "label": "$response.body#/label"});
    let examples = json!({"new": {"summary": "A new token", "value": {"label": "production"}}});
    Operation::new(
        "post",
        "addToken",
        "Add a token",
        "A new one, or the one that is given. The new one is in this answer and never shown again.",
    )
    .body("WantedToken", false, &examples)
    .answer("201", "What the token is called and, once, what it is.", &component("NewToken"))
    .not_found()
    .refusal("409", "The user has a token of this label, or somebody has this token.", "Detail")
    .link("201", "getToken", &token)
    .link("201", "revokeToken", &token)
}

/// The answers' shapes are those of the types that are answered with.
pub fn schemas() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|it| it.definitions_path = "/components/schemas".into());
    let mut generator = settings.for_serialize().into_generator();
    generator.subschema_for::<UserView>();
    generator.subschema_for::<NewTokenView>();
    let mut schemas = json!(generator.take_definitions(true));
    for (name, schema) in requests() {
        schemas[name] = schema;
    }
    schemas
}

fn requests() -> [(&'static str, Value); 3] {
    let groups = json!({
        "type": "array",
        "items": {"enum": Group::ALL.map(Group::as_str)},
        "description": "`access_to_webservice`: services and user jobs; `access_to_logging`: log handlers.",
    });
    let password = json!({"type": "string", "minLength": 1, "maxLength": 1024, "format": "password"});
    let user = json!({
        "type": "object",
        "properties": {
            "name": {
                "type": "string",
                "minLength": 1,
                "maxLength": 150,
                "description": "Letters, digits and @ . + - _; it becomes a folder's name.",
            },
            "password": password,
            "groups": groups,
            "is_superuser": {"type": "boolean", "default": false},
        },
        "required": ["name"],
        "additionalProperties": false,
    });
    let change = json!({
        "type": "object",
        "properties": {"password": password, "groups": groups, "is_active": {"type": "boolean"}},
        "additionalProperties": false,
    });
    let token = json!({
        "type": "object",
        "properties": {
            "label": {"allOf": [label()], "default": crate::auth::DEFAULT_LABEL},
            "token": {
                "type": "string",
                "pattern": "^[A-Za-z0-9._~+/=-]{32,255}$",
                "description": "To go on with a token that a hub is configured with.",
            },
        },
        "additionalProperties": false,
    });
    [("NewUser", user), ("UserChange", change), ("WantedToken", token)]
}
