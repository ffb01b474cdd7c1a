//! The door of Outpost's protocol: what its clients depend on, and every recorded exchange of the reference.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod cancel;
mod ends;
mod isolation;
mod names;
mod outage;
mod replacement;
mod replay;
mod replicas;
mod starts;
mod unanswered;

use serde_json::{Value, json};

use support::app::{TestApp, TestAppBuilder};
use support::folders::describe;
use support::wait::eventually;
use support::wire::{Answer, Request};

pub const HUB1: &str = "hub1:pw1";
/// A password may hold a colon.
pub const HUB2: &str = "hub2:pw:2";
pub const ALIVE: &str = r#"{"status":null,"logs":[]}"#;
pub const GONE: &str = r#"{"detail":"Item not found"}"#;

/// Called after the server, as KubeSpawner calls its objects.
const SERVER: &str = r#"apiVersion: v1
kind: Service
metadata:
  name: {{outpost.pod_name}}
  namespace: {{default misc.namespace namespace}}
  labels: {{outpost.labels}}
spec:
  selector:
    start: {{id}}
  ports:
    - name: http
      port: {{outpost.port}}
      targetPort: {{outpost.port}}
---
apiVersion: v1
kind: Pod
metadata:
  name: {{outpost.pod_name}}
  namespace: {{default misc.namespace namespace}}
  labels:
    start: {{id}}
  annotations:
    hub.jupyter.org/username: {{outpost.username}}
spec:
  restartPolicy: Never
  containers:
    - name: main
      image: {{default misc.image "x/run:1"}}
      envFrom:
        - secretRef:
            name: {{secret_name}}
{{#if outpost.has_certificates}}
      volumeMounts:
        - name: certificates
          mountPath: /etc/jupyterhub/ssl
  volumes:
    - name: certificates
      secret:
        secretName: {{secret_certs_name}}
{{/if}}
"#;

/// Two hubs with one description each, of which `hub1` may choose the image.
pub fn hubs() -> TestAppBuilder {
    TestApp::builder()
        .variable("usernames", "hub1;hub2")
        .variable("passwords", "pw1;pw:2")
        .variable("OUTPOST_BASE_PATH", "/outpost")
        .edit(|config| {
            let hub = |overrides: Value| json!({"default_service": "Server", "allow_override": overrides});
            config["outpost"] = json!({
                "hub1": hub(json!({"image": "x/*", "namespace": true})),
                "hub2": hub(json!({"image": "x/*"})),
            });
            config["services"]["skip"] = json!({});
            config["services"]["pod_events_to_fail"] = json!([]);
        })
}

pub async fn start(builder: TestAppBuilder) -> TestApp {
    let mut app = builder.prepare().await;
    let descriptions = app.path("descriptions");
    describe(&descriptions, "hub1/Server", &[("service.yaml.hbs", SERVER)]);
    let own_names = SERVER.replace("name: {{outpost.pod_name}}", "name: own-{{text id}}");
    describe(&descriptions, "hub2/Server", &[("service.yaml.hbs", &own_names)]);
    describe(&descriptions, "hub1/Unreachable", &[("service.yaml.hbs", SERVER.split_once("---\n").unwrap().1)]);
    app.start_process().await;
    app
}

/// A body as OutpostSpawner sends it.
pub fn body(name: &str, start_id: &str, misc: &Value) -> Value {
    let mut all = json!({
        "dns_name_template": "{name}.{namespace}.svc.cluster.local",
        "pod_name_template": "jupyter-{username}--{servername}",
        "internal_ssl": false, "port": 8899, "ip": "0.0.0.0", "services_enabled": true, "extra_labels": {"a": "b"},
    });
    for (key, value) in misc.as_object().unwrap() {
        all[key] = value.clone();
    }
    json!({
        "name": name,
        "env": {"JUPYTERHUB_USER": "alice", "JUPYTERHUB_USER_ID": "7", "JUPYTERHUB_API_TOKEN": "canary-token", "NUMBER": 5},
        "user_options": {"start_id": start_id, "x": {"y": 1}},
        "misc": all, "certs": {}, "internal_trust_bundles": {},
        "authentication": {"name": "ann", "access_token": "canary-authentication"},
    })
}

pub fn post(body: &Value) -> Request {
    Request::new("POST", "/services").json(body)
}

pub async fn start_server(app: &TestApp, hub: &str, name: &str, start_id: &str, misc: Value) -> Answer {
    app.send_as(hub, post(&body(name, start_id, &misc))).await
}

pub async fn poll(app: &TestApp, hub: &str, path: &str) -> Answer {
    app.send_as(hub, Request::get(&format!("/services/{path}"))).await
}

pub async fn stop(app: &TestApp, hub: &str, path: &str) -> Answer {
    app.send_as(hub, Request::new("DELETE", &format!("/services/{path}"))).await
}

pub async fn list(app: &TestApp, hub: &str) -> Value {
    let answer = app.send_as(hub, Request::get("/services/")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.value()
}

/// Waits until a poll gives this exit code, and nothing but "alive" before.
pub async fn ends_with(app: &TestApp, hub: &str, path: &str, exit_code: i64) {
    eventually(&format!("{path} ends"), async || {
        let answer = poll(app, hub, path).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        match &answer.value()["status"] {
            Value::Null => None,
            status => {
                assert_eq!(*status, exit_code);
                Some(())
            }
        }
    })
    .await;
}

/// The message that a user reads, of a start that failed.
pub fn failure(answer: &Answer, class: &str) -> String {
    assert_eq!(answer.status, 419, "{}", answer.body);
    let value = answer.value();
    assert_eq!((&value["module"], &value["traceback"], &value["kwargs"]), (&json!(""), &json!(""), &json!({})));
    assert_eq!(value["class"], class, "{}", answer.body);
    assert_eq!(value["args"].as_array().unwrap().len(), 1);
    value["args"][0].as_str().unwrap().to_owned()
}

/// Nothing is left of any start, whatever it was.
pub async fn nothing_is_left(app: &TestApp) {
    app.cluster.nothing_of("").await;
    eventually("no row is left", async || {
        let rows = app.app().store.services_after(i64::MIN, 10).await.unwrap().0;
        rows.is_empty().then_some(())
    })
    .await;
    assert!(app.names_in("services").is_empty());
}
