//! The description of the API and its page: complete, and from this server alone.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::support::app::{ADMIN, TestApp};
use crate::support::wire::Request;

const URL_TABLE: &str = include_str!("../../src/http/mod.rs");
const METHODS: [&str; 7] = ["get", "head", "post", "put", "patch", "delete", "options"];

/// The paths of the URL table, each parameter as `{}`, without the slash at the end. What is not served yet is left out.
fn routed() -> BTreeSet<String> {
    // Read in `http/outpost`, since names may be empty there.
    let outposts = [
        "/ping",
        "/openapi.json",
        "/services",
        "/services/{}/{}",
        "/flavors",
        "/userflavors",
        "/credits",
        "/usercredits",
    ]
    .map(str::to_owned);
    let served = URL_TABLE.lines().filter(|it| !it.contains("admission::nothing"));
    served
        .flat_map(|line| line.split("path!(").skip(1))
        .map(|rest| {
            let (segments, after) = rest.split_once(')').unwrap();
            let further = after.matches(".and(name())").count();
            let plain = segments.split('/').map(str::trim).filter(|it| *it != "..");
            let plain = plain.map(|it| if it == "String" { "{}".to_owned() } else { it.trim_matches('"').to_owned() });
            let all: Vec<_> = plain.chain(std::iter::repeat_n("{}".to_owned(), further)).collect();
            format!("/{}", all.join("/"))
        })
        .chain(outposts)
        .collect()
}

fn without_names(path: &str) -> String {
    let segments: Vec<_> = path.split('/').map(|it| if it.starts_with('{') { "{}" } else { it }).collect();
    segments.join("/").trim_end_matches('/').to_owned()
}

fn methods(item: &Value) -> BTreeSet<String> {
    METHODS.iter().filter(|it| item.get(**it).is_some()).map(|it| it.to_uppercase()).collect()
}

async fn description(app: &TestApp) -> Value {
    let answer = app.send(&Request::get("/api-docs")).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    for path in ["/api-docs/", "/api-docs/openapi.json"] {
        app.send(&Request::get(path)).await.assert(200, &answer.body);
    }
    answer.value()
}

#[tokio::test]
async fn every_route_is_described_with_the_methods_it_knows() {
    let app = TestApp::start().await;
    let description = description(&app).await;
    assert_eq!(description["openapi"], "3.1.0");
    let described: BTreeMap<_, _> = description["paths"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(path, item)| (without_names(path), (path, item)))
        .collect();
    assert_eq!(described.keys().cloned().collect::<BTreeSet<_>>(), routed());
    for (path, item) in described.values() {
        let path = path.replace("{handler}", "stream").replace("{file}", "page.css");
        let answer = app.send_as(ADMIN, Request::new("FOO", &path)).await;
        let allowed = answer.header("allow").unwrap_or_else(|| panic!("{path}: {answer:?}"));
        let allowed: BTreeSet<_> = allowed.split(", ").map(str::to_owned).collect();
        assert_eq!((answer.status, methods(item)), (405, allowed), "{path}");
    }
    app.end().await;
}

#[tokio::test]
async fn the_description_refers_to_nothing_that_is_not_there() {
    let app = TestApp::start().await;
    let description = description(&app).await;
    let text = description.to_string();
    let ids: Vec<&str> = text.split(r#""operationId":""#).skip(1).map(|it| it.split('"').next().unwrap()).collect();
    for reference in text.split(r##""$ref":"#"##).skip(1).map(|it| it.split('"').next().unwrap()) {
        assert!(description.pointer(reference).is_some(), "{reference}");
    }
    let mut operations = BTreeSet::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        for method in METHODS.iter().filter_map(|it| item.get(*it)) {
            assert!(operations.insert(method["operationId"].as_str().unwrap().to_owned()), "{path} {method}");
        }
    }
    for linked in ids {
        assert!(operations.contains(linked), "{linked}");
    }
    app.end().await;
}

#[tokio::test]
async fn the_page_and_its_files_come_from_here() {
    let app = TestApp::start().await;
    for path in ["/docs", "/docs/"] {
        let page = app.send(&Request::get(path)).await;
        assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        assert!(!policy.contains("http"), "{policy}");
        let attributes = ["src=\"", "href=\""].map(|it| page.body.split(it).skip(1).collect::<Vec<_>>()).concat();
        for link in attributes.iter().map(|it| it.split('"').next().unwrap()) {
            let (is_ours, is_empty) = (link.starts_with("/docs/") || link == "/api-docs", link == "data:,");
            assert!(is_ours || is_empty, "{link}");
            assert!(is_empty || app.send(&Request::get(link)).await.status == 200, "{link}");
        }
    }
    for name in ["swagger-ui-bundle.js", "swagger-ui.css"] {
        let path = format!("/docs/{name}");
        let plain = app.send(&Request::get(&path)).await;
        assert_eq!(
            (plain.status, plain.header("content-encoding"), plain.header("vary")),
            (200, None, Some("accept-encoding"))
        );
        let packed = app.send(&Request::get(&path).header("Accept-Encoding", "br, gzip;q=0.5")).await;
        assert_eq!((packed.status, packed.header("content-encoding")), (200, Some("gzip")));
        let length = |it: Option<&str>| it.unwrap().parse::<usize>().unwrap();
        assert!(length(packed.header("content-length")) * 3 < length(plain.header("content-length")), "{name}");
        let refused = app.send(&Request::get(&path).header("Accept-Encoding", "gzip;q=0, br")).await;
        assert_eq!(refused.header("content-encoding"), None);
    }
    for path in ["/docs/LICENSE-swagger-ui", "/docs/..%2fmod.rs", "/docs/page.html/x"] {
        app.send(&Request::get(path)).await.assert(404, r#"{"detail":"Not found."}"#);
    }
    app.end().await;
}
