//! What was recorded of JupyterHub Outpost with flavors and credits, replayed: the same answer, or our documented difference.

use crate::support::json::Json;
use crate::support::records::{Record, contract_folder};
use crate::support::wire::{Answer, Request};
use crate::*;

/// Sections of the recording that are about flavors and credits.
const SECTIONS: [&str; 8] =
    ["flavor.", "flavors.", "userflavors.", "users.", "hubs.", "credits.", "usercredits.", "maxperuser."];

/// What is no request that can be sent again, or needs a file that was not recorded; `src/flavors` looks at these.
const ELSEWHERE: [&str; 10] = [
    "flavors.noflavorskey",
    "flavors.noflavorskey.start",
    "flavors.nullflavor",
    "flavors.oddmax.a",
    "flavors.oddmax.b",
    "flavors.oddmax.c",
    "flavors.oddmax.d",
    "maxperuser.global",
    "maxperuser.global.noflavors",
    "usercredits.flat",
];

/// Status and body where ours differ.
fn ours(id: &str) -> Option<(u16, &'static str)> {
    Some(match id {
        "flavors.noslash" | "userflavors.slash" | "userflavors.null" => (200, "{}"),
        "userflavors.nobody" | "userflavors.badjson" | "userflavors.list" => (422, ""),
        "users.nested" | "users.list.string" => (422, ""),
        // No pattern of these holds a number.
        "users.int" | "users.intlist" => (200, ""),
        "users.start.noauth" => (200, ""),
        // The last good file stays.
        "hubs.badtype" | "flavors.brokenyaml" => (200, ""),
        "flavors.brokenyaml.start" => (200, ""),
        "usercredits.flat.subset" => (200, r#"{"cap":100}"#),
        _ => return None,
    })
}

fn records() -> Vec<Record> {
    let text = std::fs::read_to_string(contract_folder().join("outpost/transcripts.jsonl")).unwrap();
    let record = |line: &str| {
        let whole = Json::parse(line);
        Record { id: whole.member("id").text().to_owned(), whole }
    };
    let is_ours = |id: &str| SECTIONS.iter().any(|it| id.starts_with(it)) && !ELSEWHERE.contains(&id);
    text.lines().map(record).filter(|it| is_ours(&it.id)).collect()
}

fn request(record: &Record) -> Request {
    let recorded = record.whole.member("request");
    let mut request = Request::new(recorded.member("method").text(), recorded.member("path").text());
    for (name, value) in recorded.member("headers").members() {
        request = request.header(name, value.text());
    }
    match recorded.member("body") {
        Json::Text(body) => request.body(body.as_str()),
        _ => request,
    }
}

/// The class and the message of a 419: the traceback is the reference's own.
fn failure(body: &str) -> (String, String) {
    let body = Json::parse(body);
    (body.member("class").text().to_owned(), body.member("args").items()[0].text().to_owned())
}

fn compare(record: &Record, answer: &Answer) {
    let id = &record.id;
    let recorded = record.whole.member("response").member("body").text();
    match ours(id) {
        Some((status, body)) => {
            assert!(!record.is_same(), "{id}");
            assert_eq!(answer.status, status, "{id}: {}", answer.body);
            assert!(body.is_empty() || answer.body == body, "{id}: {}", answer.body);
        }
        None => {
            assert!(record.is_same(), "{id} differs");
            assert_eq!(answer.status, record.status(), "{id}: {}", answer.body);
            match answer.status {
                419 => assert_eq!(failure(&answer.body), failure(recorded), "{id}"),
                // Addresses are ours.
                200 if recorded.starts_with(r#"{"service""#) => assert!(answer.body.starts_with(r#"{"service":"http"#)),
                _ => assert_eq!(answer.body, recorded, "{id}"),
            }
        }
    }
}

#[tokio::test]
async fn every_recorded_exchange_about_flavors_and_credits_holds() {
    let app = start(hubs(), None).await;
    let mut seen = 0;
    for record in records() {
        let text = |key: &str| record.get(key).map(|it| it.text().to_owned());
        if let Some(flavors) = text("flavors_yaml") {
            stop_all(&app).await;
            let is_good = set_flavors(&app, &flavors);
            assert_eq!(is_good, !["hubs.badtype", "flavors.brokenyaml"].contains(&record.id.as_str()), "{}", record.id);
        }
        if let Some(credits) = text("credits_yaml") {
            std::fs::write(app.path("credits.yaml"), credits).unwrap();
            app.app().reloader.reload();
            assert!(app.app().reloader.status().bad_rules.iter().all(|(name, _)| *name != "credits_file"));
        }
        if record.id == "flavors.emptyfile" {
            assert!(set_flavors(&app, ""));
        }
        let answer = app.send(&request(&record)).await;
        compare(&record, &answer);
        // As it was recorded: only those of the first section stood beside each other.
        if answer.body.starts_with(r#"{"service""#) && !record.id.starts_with("flavor.") {
            stop_all(&app).await;
        }
        if let Some(flavors) = text("flavors") {
            ask(&app, HUB1, "/flavors/").await.assert(200, &flavors);
        }
        if let Some(list) = text("list").filter(|it| it == "[]") {
            ask(&app, HUB1, "/services/").await.assert(200, &list);
        }
        seen += 1;
    }
    assert!(seen >= 55, "{seen}");
    stop_all(&app).await;
    app.end().await;
}

#[tokio::test]
async fn the_figures_are_asked_for_with_and_without_slashes_beneath_the_base_path_and_by_nobody_else() {
    let app = start(hubs(), Some("flavors: {a: {max: 2}}")).await;
    let figures = r#"{"a":{"max":2,"current":0}}"#;
    for path in ["/flavors", "/flavors/", "/outpost/flavors", "/outpost/flavors/"] {
        ask(&app, HUB1, path).await.assert(200, figures);
        let unknown = app.send(&Request::get(path)).await;
        assert_eq!((unknown.status, unknown.header("www-authenticate")), (401, Some("Basic")), "{path}");
    }
    for path in ["/userflavors", "/userflavors/", "/outpost/userflavors", "/outpost/userflavors/"] {
        app.send_as(HUB1, Request::new("POST", path).json(&json!({"name": "ann"}))).await.assert(200, figures);
    }
    for path in ["/usercredits", "/usercredits/", "/outpost/usercredits"] {
        app.send_as(HUB1, Request::new("POST", path).json(&json!({"name": "ann"}))).await.assert(200, "{}");
    }
    ask(&app, HUB1, "/outpost/credits").await.assert(200, "{}");
    for (method, path, allow) in [
        ("POST", "/flavors", "GET, HEAD"),
        ("DELETE", "/credits/", "GET, HEAD"),
        ("GET", "/userflavors", "POST"),
        ("PUT", "/usercredits/", "POST"),
    ] {
        let answer = app.send_as(HUB1, Request::new(method, path)).await;
        answer.assert(405, r#"{"detail":"Method Not Allowed"}"#);
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
    }
    let head = app.send_as(HUB1, Request::new("HEAD", "/flavors")).await;
    assert_eq!(head.status, 200);
    ask(&app, HUB1, "/flavors/x").await.assert(404, r#"{"detail":"Not Found"}"#);
    app.end().await;
}
