//! What everybody may ask: health, the roots, this description and its page.

use serde_json::{Value, json};

use super::operation::{Operation, PathItem};
use super::page;
use crate::http::ROOT;

const HEALTH: &str = "health";
const ABOUT: &str = "about the API";

pub fn paths() -> Vec<(&'static str, Value)> {
    let nothing = json!({"type": "string", "maxLength": 0});
    let health = Operation::new("get", "health", "Does it answer?", "Says only that the process answers.").answer_of(
        "200",
        "It does.",
        "text/html",
        &nothing,
    );
    let text = json!({"type": "string"});
    let livez = Operation::new("get", "livez", "Is it alive?", "For a liveness probe. `?verbose` tells more.")
        .answer_of("200", "It is.", "text/plain", &text);
    let readyz = Operation::new(
        "get",
        "readyz",
        "Would another replica do better?",
        "For a readiness probe. `?verbose` tells each condition, `?exclude=<name>` passes one over.",
    )
    .answer_of("200", "No.", "text/plain", &text)
    .answer_of("503", "Yes; the answer says why.", "text/plain", &text);
    let metrics =
        Operation::new("get", "metrics", "Metrics for Prometheus", "Names hubs and counts, nothing of users.")
            .answer_of("200", "The metrics.", "text/plain", &text)
            .refusal("404", "They are switched off, or served on `metrics.listen`.", "Detail");
    let document = json!({"type": "object", "required": ["openapi", "info", "paths"]});
    let description = |id: &str| {
        Operation::new("get", id, "This description", "OpenAPI 3.1, as JSON.").answer(
            "200",
            "The description.",
            &document,
        )
    };
    let html = json!({"type": "string"});
    let page = Operation::new("get", "docsPage", "This page", "Sends authorised requests too.").answer_of(
        "200",
        "The page.",
        "text/html",
        &html,
    );
    let mut asset = Operation::new("get", "docsAsset", "A file of the page", "");
    asset = asset.empty("200", "The file.").not_found();
    let names: Vec<_> = page::ASSETS.iter().map(|it| it.name).collect();
    vec![
        PathItem::new("/api/health/", HEALTH, vec![health]).open(),
        PathItem::new("/livez", HEALTH, vec![livez]).open(),
        PathItem::new("/readyz", HEALTH, vec![readyz]).open(),
        PathItem::new("/metrics", HEALTH, vec![metrics]).open(),
        PathItem::new("/api/", ABOUT, root("api", &["services", "userjobs"])).open(),
        PathItem::new("/api/logs/", ABOUT, root("logs", &["handler", "logtest"])).open(),
        PathItem::new("/api-docs/", ABOUT, vec![description("apiDocs")]).open(),
        PathItem::new("/openapi.json", ABOUT, vec![description("outpostApiDocs")]).open(),
        PathItem::new("/api-docs/openapi.json", ABOUT, vec![description("openapiJson")]).open(),
        PathItem::new("/docs/", ABOUT, vec![page]).open(),
        PathItem::new("/docs/{file}", ABOUT, vec![asset])
            .parameter("file", "Its name.", &json!({"type": "string", "enum": names}))
            .open(),
    ]
}

/// Where the resources are.
fn root(id: &str, resources: &[&str]) -> Vec<Operation> {
    let links = resources.iter().map(|it| ((*it).to_owned(), json!({"type": "string", "format": "uri"})));
    let schema = json!({
        "type": "object",
        "properties": links.collect::<serde_json::Map<_, _>>(),
        "required": resources,
        "additionalProperties": false,
    });
    ["get", "options"]
        .map(|method| {
            let id = if method == "get" { format!("{id}Root") } else { format!("{id}RootOptions") };
            Operation::new(method, &id, "Where the resources are", "")
                .answer("200", "Their addresses.", &schema)
                .answer_header("200", "Allow", ROOT)
        })
        .into()
}
