//! Flavors: who may start what, how many of it and for how long, as hubs of both protocols meet it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod backendspawner;
mod end_dates;
mod files;
mod limits;
mod recorded;

use serde_json::{Value, json};

use support::app::{TestApp, TestAppBuilder};
use support::folders::describe;
use support::wait::eventually;
use support::wire::{Answer, Request};

pub const HUB1: &str = "hub1:pw1";
/// A password may hold a colon.
pub const HUB2: &str = "hub2:pw:2";

/// What it is called and what it may use depends on the flavor.
const SERVER: &str = r#"apiVersion: v1
kind: Service
metadata:
  name: svc-{{text id}}
spec:
  selector:
    start: {{id}}
  ports:
    - port: 8888
---
apiVersion: v1
kind: Pod
metadata:
  name: pod-{{text id}}
  labels:
    start: {{id}}
  annotations:
    flavor: {{default flavor "none"}}
spec:
  restartPolicy: Never
  containers:
    - name: main
      image: x/run:1
      resources:
        limits:
          memory: {{default resources.mem_limit "1G"}}
"#;

/// Two hubs of Outpost's protocol with a description each; `flavors.yaml` and `credits.yaml` lie beside config.json.
pub fn hubs() -> TestAppBuilder {
    TestApp::builder()
        .variable("usernames", "hub1;hub2")
        .variable("passwords", "pw1;pw:2")
        .variable("OUTPOST_BASE_PATH", "/outpost")
        .edit(|config| {
            let hub = json!({"default_service": "Server"});
            config["outpost"] = json!({"hub1": hub, "hub2": hub});
            config["services"]["skip"] = json!({});
            config["services"]["pod_events_to_fail"] = json!([]);
        })
}

/// Everything but the process, with these flavors, where there are any.
pub async fn prepare(builder: TestAppBuilder, flavors: Option<&str>) -> TestApp {
    let app = builder.prepare().await;
    for hub in ["hub1", "hub2", "jupyterhub"] {
        describe(&app.path("descriptions"), &format!("{hub}/Server"), &[("service.yaml.hbs", SERVER)]);
    }
    let (flavors_file, credits_file) = (app.path("flavors.yaml"), app.path("credits.yaml"));
    if let Some(flavors) = flavors {
        std::fs::write(&flavors_file, flavors).unwrap();
    }
    app.edit_config(|config| {
        config["flavors_file"] = json!(flavors_file);
        config["credits_file"] = json!(credits_file);
    });
    app
}

pub async fn start(builder: TestAppBuilder, flavors: Option<&str>) -> TestApp {
    let mut app = prepare(builder, flavors).await;
    app.start_process().await;
    app
}

/// From now on these are the flavors, and they are in force. False: they are refused.
pub fn set_flavors(app: &TestApp, text: &str) -> bool {
    std::fs::write(app.path("flavors.yaml"), text).unwrap();
    app.app().reloader.reload();
    app.app().reloader.status().bad_rules.is_empty()
}

pub fn body(name: &str, flavor: Option<&str>, user: i64) -> Value {
    let mut user_options = json!({"start_id": "s"});
    if let Some(flavor) = flavor {
        user_options["flavor"] = json!(flavor);
    }
    json!({"name": name, "env": {"JUPYTERHUB_USER": "ann", "JUPYTERHUB_USER_ID": user}, "user_options": user_options})
}

pub fn post(body: &Value) -> Request {
    Request::new("POST", "/services").json(body)
}

pub async fn start_server(app: &TestApp, hub: &str, name: &str, flavor: &str, user: i64) -> Answer {
    app.send_as(hub, post(&body(name, Some(flavor), user))).await
}

pub async fn ask(app: &TestApp, hub: &str, path: &str) -> Answer {
    app.send_as(hub, Request::get(path)).await
}

/// The message that a user reads, of a start that was refused.
pub fn refusal(answer: &Answer) -> String {
    assert_eq!(answer.status, 419, "{}", answer.body);
    let value = answer.value();
    assert_eq!(value["class"], "Exception", "{}", answer.body);
    assert_eq!((&value["module"], &value["traceback"], &value["kwargs"]), (&json!(""), &json!(""), &json!({})));
    value["args"][0].as_str().unwrap().to_owned()
}

/// Stops all services of both hubs, and waits until they are gone.
pub async fn stop_all(app: &TestApp) {
    for hub in [HUB1, HUB2] {
        for service in ask(app, hub, "/services/").await.value().as_array().unwrap() {
            let (name, start_id) = (service["name"].as_str().unwrap(), service["start_id"].as_str().unwrap());
            let stopped = app.send_as(hub, Request::new("DELETE", &format!("/services/{name}/{start_id}"))).await;
            assert_eq!(stopped.status, 200, "{}", stopped.body);
        }
    }
    nothing_is_left(app).await;
}

pub async fn nothing_is_left(app: &TestApp) {
    app.cluster.nothing_of("").await;
    eventually("no row is left", async || {
        let rows = app.app().store.services_after(i64::MIN, 10).await.unwrap().0;
        rows.is_empty().then_some(())
    })
    .await;
}
