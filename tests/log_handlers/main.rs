//! Log handlers at work: receivers on real sockets, failures that must not be felt, replicas, bounds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod bounds;
mod failures;
mod recorded;
mod replicas;
mod requests;
mod syslog;

use std::ops::{Deref, DerefMut};

use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};

use support::app::{JUPYTERHUB, TestApp, TestAppBuilder};
use support::wire::{Answer, Request};

/// Log handlers are a process's: one test at a time has them, where all tests share a process.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// A K8s Manager that nobody else's handlers disturb.
struct LogApp {
    app: TestApp,
    _turn: MutexGuard<'static, ()>,
}

impl LogApp {
    async fn start(builder: TestAppBuilder) -> Self {
        let turn = ONE_AT_A_TIME.lock().await;
        let app = builder.start().await;
        // The descriptions of the records are broken on purpose; that is told once, and not to the handlers of a test.
        let reloader = app.app().reloader.clone();
        tokio::task::spawn_blocking(move || reloader.reload()).await.unwrap();
        Self { app, _turn: turn }
    }

    async fn end(self) {
        self.app.end().await;
    }
}

impl Deref for LogApp {
    type Target = TestApp;

    fn deref(&self) -> &TestApp {
        &self.app
    }
}

impl DerefMut for LogApp {
    fn deref_mut(&mut self) -> &mut TestApp {
        &mut self.app
    }
}

/// May write into its own folder and send to this machine.
async fn app() -> LogApp {
    app_with(&[]).await
}

async fn app_with(directories: &'static [&'static str]) -> LogApp {
    let builder = TestApp::builder().edit(|config| {
        let folder = config["services"]["base"].as_str().unwrap().replace("/services/", "");
        let directories: Vec<_> = directories.iter().map(|it| (*it).to_owned()).chain([folder]).collect();
        config["logs"] = json!({"directories": directories, "targets": ["127.0.0.1"]});
    });
    LogApp::start(builder).await
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
