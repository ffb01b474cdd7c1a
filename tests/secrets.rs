//! Secrets stay where they belong: in no log line, no database file, no answer, no file, no object but Secrets.
//!
//! A file of its own: the subscriber that catches every log line is the whole process's.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use local_cluster::{Fault, FaultRule};
use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;

use support::app::{JUPYTERHUB, TOKEN, TestApp, basic, start_body};
use support::hub_receiver::{HubReceiver, Told};
use support::outpost_start::{OutpostStart, serves, stop};
use support::wait::eventually;
use support::wire::{Answer, Request};

const API_TOKEN: &str = "marker-api-token-5f1c";
const ACCESS_TOKEN: &str = "marker-access-token-81aa";
const KEYFILE: &str = "marker-keyfile-77ce";
const CERTFILE: &str = "marker-certfile-0d3e";
const CAFILE: &str = "marker-cafile-c0a4";
const AUTH_STATE: &str = "marker-auth-state-93b2";
const ENV_VALUE: &str = "marker-env-value-1e0f";
const TUNNEL: &str = "marker-tunnel-password-4b7d";
const FLAVORS: &str = "marker-flavors-token-2f6a";
const FLAVORS_ENV: &str = "marker-flavors-variable-7c33";
const CLEANUP: &str = "marker-cleanup-token-e8d1";

/// All that must not be seen, also in the forms in which it travels.
fn markers() -> Vec<String> {
    let plain = [
        API_TOKEN,
        ACCESS_TOKEN,
        KEYFILE,
        CERTFILE,
        CAFILE,
        AUTH_STATE,
        ENV_VALUE,
        TUNNEL,
        FLAVORS,
        FLAVORS_ENV,
        CLEANUP,
        "jhubpw",
        "superpw",
        TOKEN,
    ];
    let basic = basic(JUPYTERHUB).trim_start_matches("Basic ").to_owned();
    let encoded = plain.iter().map(|it| BASE64_STANDARD.encode(it));
    plain.iter().map(|it| (*it).to_owned()).chain(encoded).chain([basic]).collect()
}

fn assert_clean(text: &str, what: &str) {
    for marker in markers() {
        if let Some(place) = text.find(&marker) {
            let begin = text[..place].rfind('\n').map_or(0, |it| it + 1);
            let line = text[begin..].lines().next().unwrap_or_default();
            panic!("{marker} in {what}: {}", line.chars().take(600).collect::<String>());
        }
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Log;

    fn make_writer(&'a self) -> Log {
        self.clone()
    }
}

fn body(service: &str, start_id: &str) -> Value {
    let mut body = start_body(service, start_id);
    body["env"]["JUPYTERHUB_STATUS_URL"] = json!("users/progress/status/alice/lab");
    body["env"]["JUPYTERHUB_API_TOKEN"] = json!(API_TOKEN);
    body["env"]["PRIVATE"] = json!(ENV_VALUE);
    body["certs"] = json!({"keyfile": KEYFILE, "certfile": CERTFILE, "cafile": CAFILE});
    body["auth_state"] = json!({"access_token": AUTH_STATE});
    body
}

async fn post(app: &TestApp, name: &str, body: &Value) -> Answer {
    let request = Request::new("POST", "/api/services/")
        .header("Authorization", &basic(JUPYTERHUB))
        .header("uuidcode", name)
        .header("access-token", ACCESS_TOKEN)
        .json(body);
    let answer = app.send(&request).await;
    assert_clean(&answer.body, "an answer");
    answer
}

fn assert_clean_files(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_clean_files(&path);
        } else {
            let bytes = std::fs::read(&path).unwrap();
            assert_clean(&String::from_utf8_lossy(&bytes), path.to_str().unwrap());
        }
    }
}

/// Starts of a hub with Outpost's protocol, which is told of all that there is, asked for a tunnel and for its servers.
async fn of_an_outposts_hub(app: &mut TestApp, hub: &HubReceiver) {
    let start = |name| {
        OutpostStart::new(hub, name, API_TOKEN)
            .with("JUPYTERHUB_FLAVORS_UPDATE_URL", &hub.url("/hub/api/outpostflavors/s"))
            .with("JUPYTERHUB_SETUPTUNNEL_URL", &hub.url("/hub/api/users/setuptunnel/a/x"))
    };
    let record = start("outpost").with("JUPYTERHUB_FLAVORS_UPDATE_TOKEN", FLAVORS).start(app).await;
    let told = async |path: &str, authorization: &str| {
        let authorization = format!("token {authorization}");
        let is_told = |it: &Told| it.path.contains(path) && it.header("authorization") == Some(&*authorization);
        eventually(path, async || hub.told().iter().any(is_told).then_some(())).await;
    };
    told("/progress/events/", API_TOKEN).await;
    told("/outpostflavors/", FLAVORS).await;
    serves(app, &record).await;
    app.restart().await;
    told("/setuptunnel/", API_TOKEN).await;
    told("/hub/api/servers", CLEANUP).await;
    stop(app, &record).await;
    // One that brings no token, for a URL of which none is known, and one that fails.
    let record = start("untold")
        .with("JUPYTERHUB_FLAVORS_UPDATE_URL", &hub.url("/hub/api/outpostflavors/t"))
        .with("JUPYTERHUB_FLAVORS_UPDATE_TOKEN", "")
        .start(app)
        .await;
    told("/outpostflavors/", FLAVORS_ENV).await;
    stop(app, &record).await;
    let failed = start("broken").service("JupyterLab/BadYaml").post(app).await;
    assert_eq!(failed.status, 419, "{}", failed.body);
    assert_clean(&failed.body, "an answer");
}

/// Bodies that fail in every place where what was sent might be repeated.
async fn wrong_bodies(app: &TestApp) {
    let fine = body("JupyterLab/Run", "s9");
    for (place, value) in [
        ("/certs", json!(KEYFILE)),
        ("/certs/cafile", json!([CAFILE])),
        ("/auth_state", json!(AUTH_STATE)),
        ("/env", json!(API_TOKEN)),
        ("/env/JUPYTERHUB_USER_ID", json!({"token": API_TOKEN})),
    ] {
        let mut body = fine.clone();
        *body.pointer_mut(place).unwrap() = value;
        assert_eq!(post(app, "wrong", &body).await.status, 400, "{place}");
    }
    let mut bad_key = fine.clone();
    bad_key["env"]["bad key"] = json!(ENV_VALUE);
    assert_eq!(post(app, "wrong", &bad_key).await.status, 400);

    let cut_short = &fine.to_string()[..fine.to_string().len() - 2];
    let request = Request::new("POST", "/api/services/")
        .header("Authorization", &basic(JUPYTERHUB))
        .header("access-token", ACCESS_TOKEN)
        .header("Content-Type", "application/json")
        .body(cut_short);
    let answer = app.send(&request).await;
    assert_eq!(answer.status, 400);
    assert_clean(&answer.body, "an answer");
    // Refused by Kubernetes: too large for a Secret.
    let mut large = fine;
    large["env"]["FILLER"] = json!("x".repeat(1_100_000));
    assert!(post(app, "large", &large).await.status >= 400);
}

/// Every fault, with starts, polls and stops that meet it.
async fn under_faults(app: &TestApp) {
    let Some(faults) = app.cluster.faults() else { return };
    let refuse = |code, reason: &str| Fault::Refuse { code, reason: reason.to_owned() };
    let all = [
        refuse(401, "Unauthorized"),
        refuse(403, "Forbidden"),
        refuse(500, "InternalError"),
        Fault::TooManyRequests { retry_after_seconds: 1 },
        Fault::DropBeforeEffect,
        Fault::DropAfterEffect,
        Fault::Garbage,
        Fault::Gone,
        Fault::EmptyList,
        Fault::Delay(Duration::from_millis(300)),
    ];
    for (number, fault) in all.into_iter().enumerate() {
        let name = format!("faulty{number}");
        faults.add(FaultRule::new(fault).percent(60).times(25));
        post(app, &name, &body("JupyterLab/Run", "s1")).await;
        for request in [Request::get(&format!("/api/services/{name}/")), Request::get("/api/services/lab/")] {
            assert_clean(&app.send_as(JUPYTERHUB, request).await.body, "an answer");
        }
        let stopped = app.delete(JUPYTERHUB, &name).await;
        assert_clean(&stopped.body, "an answer");
        faults.clear();
        app.cluster.nothing_of(&name).await;
    }
    faults.down(true);
    assert_eq!(post(app, "away", &body("JupyterLab/Run", "s1")).await.status, 500);
    faults.down(false);
    app.cluster.is_back().await;
    app.cluster.nothing_of("away").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_seen_outside_of_secrets() {
    let log = Log::default();
    tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false).with_writer(log.clone()).init();
    // A hub that is told of everything: of one restart, of the steps of starts, and that refuses and fails at times.
    let hub = HubReceiver::start().await;
    let (tunnel, api) = (hub.url("/restart/"), hub.url("/hub/api"));
    hub.answer_with("/hub/api/servers", 500, "no list");
    let mut app = TestApp::builder()
        .edit(move |config| {
            config["tunnel"] = json!([{"hostname": "k8smgr", "restart_url": tunnel}]);
            config["hubs"] = json!({"jupyterhub": {"api_url": api}});
            config["outpost"] =
                json!({"jupyterhub": {"tunnels_at_restart": true, "flavors_update_token_env": "FLAVORS_TOKEN"}});
        })
        .variable("FLAVORS_TOKEN", FLAVORS_ENV)
        .variable("JUPYTERHUB_CLEANUP_NAMES", "jupyterhub")
        .variable("JUPYTERHUB_CLEANUP_URLS", &hub.url("/hub/api/servers"))
        .variable("JUPYTERHUB_CLEANUP_TOKENS", CLEANUP)
        .variable("TUNNELSVC_K8SMGR_USER_PASSWORD", TUNNEL)
        .start()
        .await;

    of_an_outposts_hub(&mut app, &hub).await;
    let earlier = hub.told().len();

    // Started, repeated, polled, updated.
    assert_eq!(post(&app, "lab", &body("JupyterLab/Run", "s1")).await.status, 201);
    assert_eq!(post(&app, "lab", &body("JupyterLab/Run", "s1")).await.status, 201);
    app.cluster.pod_in_phase("depl-lab-s1-", "Running").await;
    let told = hub.has(earlier + 4).await;
    let sent: Vec<_> = told.iter().filter_map(|it| it.header("authorization")).collect();
    assert!(
        sent.contains(&&*format!("token {API_TOKEN}")) && sent.iter().any(|it| it.starts_with("Basic ")),
        "{sent:?}"
    );
    hub.answer("/hub/api/", 403);
    assert_eq!(post(&app, "refused", &body("JupyterLab/Run", "s1")).await.status, 201);
    hub.has(told.len() + 1).await;
    hub.answer("/hub/api/", 500);
    for method in ["GET", "PUT", "PATCH"] {
        let answer = app.send_as(JUPYTERHUB, Request::new(method, "/api/services/lab/")).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_clean(&answer.body, "an answer");
    }
    let by_token = Request::get("/api/services/").header("Authorization", &format!("token {TOKEN}"));
    assert_eq!(app.send(&by_token).await.status, 200);

    // Failed in many ways.
    for service in ["Nope", "JupyterLab/Invalid", "JupyterLab/BadYaml", "JupyterLab/BadKind", "../x"] {
        assert!(post(&app, "failing", &body(service, "s1")).await.status >= 400, "{service}");
    }
    wrong_bodies(&app).await;
    for user in ["jupyterhub:marker-wrong-password", "admin:superpw-not"] {
        assert_eq!(app.list(user).await.status, 401);
    }

    under_faults(&app).await;

    // The objects, while they are there.
    let objects = app.cluster.objects().await;
    let secrets = objects.iter().filter(|it| it["kind"] == "Secret");
    let held: String = secrets.map(|it| support::cluster::comparable(it).to_string()).collect();
    for marker in [API_TOKEN, ACCESS_TOKEN, KEYFILE, CERTFILE, CAFILE, ENV_VALUE] {
        assert!(held.contains(marker), "{marker} is where it belongs");
    }
    for mut object in objects {
        if object["kind"] == "Secret" {
            object["data"] = Value::Null;
        }
        assert_clean(&object.to_string(), "an object");
    }

    // The files, with the process running and after it. The configuration holds no secret; the database holds hashes.
    assert_clean_files(&app.path(""));
    hub.be_away(true);
    app.restart().await;
    assert_eq!(app.get(JUPYTERHUB, "lab").await.status, 200);
    for name in ["lab", "refused"] {
        assert_eq!(app.delete(JUPYTERHUB, name).await.status, 204);
    }
    app.cluster.nothing_of("").await;
    app.stop_process().await;
    assert_clean_files(&app.path(""));

    let text = log.text();
    assert!(text.contains("service started"), "the log was caught");
    assert_clean(&text, "the log");
    assert!(!text.contains("marker-wrong-password"), "wrong passwords are not logged either");
    app.end().await;
}
