//! A JupyterHub Outpost is taken over while its servers run.

use k8smgr::domain::{Credential, OutpostName, ServerName, StartId};
use serde_json::{Value, json};

use crate::outpost_database::{ADDRESS, KEY, OTHER_KEY, Start, canary, database, import, put_pod, put_server};
use crate::reference::new_installation;
use crate::support::app::TestApp;
use crate::support::wait::eventually;
use crate::support::wire::Request;

/// The Outpost's own variables.
const VARIABLES: [(&str, &str); 3] = [("OUTPOST_CRYPT_KEY", KEY), ("usernames", "hub1;hub2"), ("passwords", "pw1;pw2")];

fn lab() -> Start {
    Start {
        flavor: Some("small"),
        end_date: "2033-12-24 18:00:00.000000",
        ..Start::new("lab", "sid1", "jupyter-alice--lab")
    }
}

fn default_server() -> Start {
    Start::new("", "sid2", "jupyter-alice")
}

/// The answer to the hub that has it, as the Outpost would give it.
async fn polled(app: &TestApp, start: &Start) -> String {
    let answer = app.send_as("hub1:pw1", Request::get(&format!("/services/{}/{}", start.name, start.start_id))).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

fn name(start: &Start) -> ServerName {
    ServerName::of_outpost(&OutpostName::parse(start.name).unwrap(), &StartId::parse(start.start_id).unwrap())
}

/// Everything that says whether a pod is the one it was.
async fn specs(app: &TestApp) -> Vec<Value> {
    let of = |it: &Value| json!([it["kind"], it["metadata"]["name"], it["metadata"]["uid"], it["spec"], it["data"]]);
    app.cluster.objects().await.iter().map(of).collect()
}

#[tokio::test]
async fn the_servers_of_an_outpost_are_polled_explained_and_stopped_without_a_trace() {
    let mut app = new_installation().await;
    let (lab, default_server) = (lab(), default_server());
    put_server(&app, "lab", "jupyter-alice--lab").await;
    put_pod(&app, "jupyter-alice", json!({"hub.jupyter.org/username": "alice"})).await;
    // Not by the beginning of its name, which is another's, too.
    eventually("its pod runs", async || {
        let pod = app.cluster.get("Pod", "jupyter-alice").await?;
        (pod["status"]["phase"] == "Running").then_some(())
    })
    .await;
    let before = specs(&app).await;
    database(&app, &[lab, default_server]);
    let (lab, default_server) = (self::lab(), self::default_server());
    let dry = import(&app, &["--dry-run"], &VARIABLES).await.succeeded();
    insta::assert_snapshot!(dry, @r#"
    KIND     NAME               OUTCOME         NOTE
    user     hub1               would be taken
    user     hub2               would be taken
    service  hub1 "lab" (sid1)  would be taken  3 objects; until 2033-12-24T18:00:00Z
    service  hub1 "" (sid2)     would be taken  1 objects

    4 would be taken, 0 there already, 0 not taken
    "#);
    assert_eq!(specs(&app).await, before);
    import(&app, &[], &VARIABLES).await.succeeded();
    let after = specs(&app).await;
    assert!(before.iter().all(|it| after.contains(it)), "nothing is restarted or changed");
    assert_eq!(after.len(), before.len() + 2, "each has a Secret of its own now");
    let again = import(&app, &[], &VARIABLES).await.succeeded();
    assert!(again.ends_with("\n0 taken, 4 there already, 0 not taken\n"), "{again}");
    assert_eq!(specs(&app).await, after);

    app.start_process().await;
    for start in [&lab, &default_server] {
        let runs = async || (polled(&app, start).await == r#"{"status":null,"logs":[]}"#).then_some(());
        eventually("it runs", runs).await;
    }
    let record =
        app.app().store.newest_service(&Credential::parse("hub1").unwrap(), &name(&lab)).await.unwrap().unwrap();
    assert_eq!((record.flavor.as_deref(), record.jhub_user_id), (Some("small"), 7));
    assert_eq!(record.address(), Some(ADDRESS));
    assert_eq!(record.ends_at.unwrap().to_string(), "2033-12-24T18:00:00Z");
    assert_eq!(record.start_date.to_string(), "2026-11-20T11:36:30.41584Z");
    // The hub's tokens are in the Secret that owns the rest, and nowhere else.
    let owner = app.cluster.get("Secret", &record.objects[0].name).await.unwrap();
    assert!(owner["data"]["JUPYTERHUB_API_TOKEN"].is_string() && owner["data"]["NUMBER"] == "NQ==", "{owner}");
    let pod = app.cluster.get("Pod", "jupyter-alice--lab").await.unwrap();
    assert_eq!(pod["metadata"]["annotations"]["k8smgr.io/main-container"], "notebook");
    assert!(!pod.to_string().contains("canary"), "{pod}");
    // The other protocol does not see them.
    app.send_as("hub1:pw1", Request::get("/api/services/")).await.assert(200, "[]");

    let state = json!({"terminated": {"exitCode": 3, "reason": "Error"}});
    let status = json!({"name": "notebook", "image": "x/run:1", "imageID": "", "ready": false, "restartCount": 0, "state": state});
    app.cluster.set_pod_status("jupyter-alice", json!({"phase": "Failed", "containerStatuses": [status]})).await;
    let ended = async || (polled(&app, &default_server).await == r#"{"status":3,"logs":[]}"#).then_some(());
    eventually("its end is seen", ended).await;
    assert_eq!(polled(&app, &lab).await, r#"{"status":null,"logs":[]}"#);

    for start in [&lab, &default_server] {
        let path = format!("/services/{}/{}", start.name, start.start_id);
        let stopped = app.send_as("hub1:pw1", Request::new("DELETE", &path)).await;
        assert_eq!(stopped.status, 200, "{}", stopped.body);
    }
    app.cluster.nothing_of("").await;
    app.end().await;
}

#[tokio::test]
async fn what_cannot_be_taken_is_told_with_the_reason() {
    let app = new_installation().await;
    for (server, pod) in
        [("lab", "jupyter-alice--lab"), ("other", "jupyter-alice--other"), ("nouser", "jupyter-alice--nouser")]
    {
        put_server(&app, server, pod).await;
    }
    put_pod(&app, "not-of-kubespawner", json!({})).await;
    database(
        &app,
        &[
            Start { state_stored: false, pod: None, ..Start::new("flight", "s1", "") },
            Start::new("gone", "s2", "jupyter-alice--gone"),
            Start::new("lab", "s3", "jupyter-alice--lab"),
            Start::new("lab", "s4", "jupyter-alice--lab"),
            Start::new("lab", "s4", "jupyter-alice--lab"),
            Start { pod: None, ..Start::new("ssh", "s5", "") },
            Start { key: OTHER_KEY, ..Start::new("sealed", "s6", "jupyter-alice--other") },
            Start::new("pod", "s7", "not-of-kubespawner"),
            Start::new("renamed", "s8", "jupyter-alice--other"),
            Start::new("a/b", "s9", "jupyter-alice--other"),
            Start { hub: "hub2", ..Start::new("nouser", "s10", "jupyter-alice--nouser") },
        ],
    );
    let variables = [("OUTPOST_CRYPT_KEY", KEY), ("usernames", "hub1"), ("passwords", "pw1")];
    let before = specs(&app).await;
    let (table, error) = import(&app, &["--dry-run"], &variables).await.failed();
    insta::assert_snapshot!(table, @r#"
    KIND     NAME                 OUTCOME         NOTE
    user     hub1                 would be taken
    user     hub2                 NOT TAKEN       its password is not given: set `usernames` and `passwords` as the Outpost has them, or add it with `k8smgr user add`, and import again
    service  hub1 "flight" (s1)   NOT TAKEN       its start was on its way: it was not finished by the Outpost, and is not here
    service  hub1 "gone" (s2)     NOT TAKEN       nothing of it is left in the cluster
    service  hub1 "lab" (s3)      NOT TAKEN       its pod jupyter-alice--lab was replaced by that of a later start
    service  hub1 "lab" (s4)      would be taken  3 objects
    service  hub1 "lab" (s4)      NOT TAKEN       a row before is of the same start
    service  hub1 "ssh" (s5)      NOT TAKEN       its state names no pod and namespace: only servers that KubeSpawner started are taken over
    service  hub1 "sealed" (s6)   NOT TAKEN       state: OUTPOST_CRYPT_KEY does not open it: give the key that the Outpost has
    service  hub1 "pod" (s7)      NOT TAKEN       the pod not-of-kubespawner was not made by KubeSpawner for this server
    service  hub1 "renamed" (s8)  NOT TAKEN       the pod jupyter-alice--other was not made by KubeSpawner for this server
    service  hub1 "a/b" (s9)      NOT TAKEN       name: Slashes are not allowed.
    service  hub2 "nouser" (s10)  NOT TAKEN       there is no user `hub2` that could stop it; add it with `k8smgr user add` and import again

    2 would be taken, 0 there already, 11 not taken
    "#);
    assert!(error.contains("things were not taken; the table says why"), "{error}");
    assert_eq!(specs(&app).await, before);
    import(&app, &[], &variables).await.failed();
    let names = app.cluster.names().await;
    assert_eq!(names.iter().filter(|it| it.starts_with("Secret")).count(), 3 + 1, "{names:?}");
    app.end().await;
}

#[tokio::test]
async fn the_key_of_the_outpost_is_needed_and_told_nowhere() {
    let app = new_installation().await;
    let start = lab();
    put_server(&app, "lab", "jupyter-alice--lab").await;
    database(&app, &[lab()]);
    let (_, error) = import(&app, &[], &[]).await.failed();
    assert!(error.contains("OUTPOST_CRYPT_KEY is not set"), "{error}");
    let (_, error) = import(&app, &[], &[("OUTPOST_CRYPT_KEY", "canary-key")]).await.failed();
    assert!(error.contains("OUTPOST_CRYPT_KEY is no Fernet key") && !error.contains("canary"), "{error}");
    let wrong = [("OUTPOST_CRYPT_KEY", OTHER_KEY), VARIABLES[1], VARIABLES[2]];
    let (table, _) = import(&app, &[], &wrong).await.failed();
    assert!(table.contains("OUTPOST_CRYPT_KEY does not open it: give the key that the Outpost has"), "{table}");
    // With keys of its own nothing of the body is left in clear; without any, the tokens are in the Secret all the same.
    let sealed = [VARIABLES[0], VARIABLES[1], VARIABLES[2], ("K8SMGR_CRYPT_KEYS", OTHER_KEY)];
    let output = import(&app, &[], &sealed).await.succeeded();
    let file = std::fs::read(app.path("k8smgr.sqlite3")).unwrap();
    let wal = std::fs::read(app.path("k8smgr.sqlite3-wal")).unwrap_or_default();
    let text = String::from_utf8_lossy(&[file, wal].concat()).into_owned();
    assert!(text.contains("sealed:1:") && !text.contains(&canary(&start)) && !output.contains("canary"));
    app.end().await;
}

#[tokio::test]
async fn a_server_that_the_outpost_was_stopping_is_stopped() {
    let mut app = new_installation().await;
    put_server(&app, "lab", "jupyter-alice--lab").await;
    database(&app, &[Start { stop_pending: true, ..lab() }]);
    let table = import(&app, &[], &VARIABLES).await.succeeded();
    assert!(table.contains("its stop is finished when the service runs"), "{table}");
    app.start_process().await;
    app.cluster.nothing_of("").await;
    app.end().await;
}
