//! `/flavors` and what is beside it: what hubs with OutpostSpawner ask before a start.

use serde_json::{Value, json};

use super::operation::{Operation, PathItem, component};
use super::outpost::TAG;

pub fn paths() -> Vec<(&'static str, Value)> {
    let flavors = Operation::new(
        "get",
        "hubFlavors",
        "The flavors of the calling hub",
        "What `flavors_file` says for this hub, and how many services of each there are (`current`: those that neither stop \
         nor are over). Those in use come first. Nothing without a file.",
    );
    let user_flavors = Operation::new(
        "post",
        "userFlavors",
        "The flavors of a user",
        "The same for one user of the hub, by what the hub says of the user. `current` is the hub's.",
    );
    let credits = Operation::new(
        "get",
        "hubCredits",
        "The credits of the calling hub",
        "What `credits_file` says for this hub. Nothing without a file.",
    );
    let user_credits =
        Operation::new("post", "userCredits", "The credits of a user", "The same for one user of the hub.");
    let told = |operation: Operation, shape: &str| operation.answer("200", "As the file says.", &component(shape));
    let asked = |operation: Operation| operation.outpost_body("OutpostUser", &examples());
    [
        ("/flavors/", told(flavors, "Flavors")),
        ("/userflavors/", told(asked(user_flavors), "Flavors")),
        ("/credits/", told(credits, "Credits")),
        ("/usercredits/", told(asked(user_credits), "Credits")),
    ]
    .map(|(path, operation)| PathItem::new(path, TAG, vec![operation]).behind_basic())
    .into()
}

fn examples() -> Value {
    json!({"user": {"summary": "Who the user is", "value": {"name": "ada", "groups": ["mathematicians"]}}})
}

/// The shapes of these resources.
pub fn schemas() -> Value {
    json!({
        "OutpostUser": {
            "type": ["object", "null"],
            "description": "What the hub knows of a user, compared with the sets of users in the file; not stored. Without \
                members, or null: what the hub itself gets.",
            "additionalProperties": {
                "type": ["string", "number", "boolean", "null", "array"],
                "items": {"type": ["string", "number", "boolean", "null"]},
            },
        },
        "Flavors": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "properties": {"current": {"type": "integer", "minimum": 0}},
                "required": ["current"],
            },
        },
        "Credits": {"type": "object"},
    })
}
