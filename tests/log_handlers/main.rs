//! Log handlers at work: receivers on real sockets, failures that must not be felt, replicas, bounds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod bounds;
mod failures;
mod replicas;
mod requests;
mod syslog;

use serde_json::{Value, json};

use support::app::{JUPYTERHUB, TestApp};
use support::wire::{Answer, Request};

/// May write into its own folder and send to this machine.
async fn app() -> TestApp {
    TestApp::builder()
        .edit(|config| {
            let folder = config["services"]["base"].as_str().unwrap().replace("/services/", "");
            config["logs"] = json!({"directories": [folder], "targets": ["127.0.0.1"]});
        })
        .start()
        .await
}

async fn add(app: &TestApp, handler: &str, configuration: Value) -> Answer {
    let body = json!({"handler": handler, "configuration": configuration});
    app.send_as(JUPYTERHUB, Request::new("POST", "/api/logs/handler/").json(&body)).await
}

async fn change(app: &TestApp, handler: &str, configuration: Value) -> Answer {
    let body = json!({ "configuration": configuration });
    app.send_as(JUPYTERHUB, Request::new("PATCH", &format!("/api/logs/handler/{handler}/")).json(&body)).await
}

async fn told(app: &TestApp, handler: &str) -> Value {
    app.send_as(JUPYTERHUB, Request::get(&format!("/api/logs/handler/{handler}/"))).await.value()
}

async fn remove(app: &TestApp, handler: &str) {
    let request = Request::new("DELETE", &format!("/api/logs/handler/{handler}/"));
    assert_eq!(app.send_as(JUPYTERHUB, request).await.status, 204);
}

async fn log_test(app: &TestApp) {
    app.send_as(JUPYTERHUB, Request::get("/api/logs/logtest/")).await.assert(200, "");
}

fn file(app: &TestApp, name: &str, level: &str) -> Value {
    json!({"filename": app.path(name), "level": level})
}
