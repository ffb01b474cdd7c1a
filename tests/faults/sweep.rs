//! Objects with our label and without a record: what goes, and what must stay.

use k8smgr::domain::Credential;
use serde_json::{Value, json};

use crate::support::app::{JUPYTERHUB, TestApp};
use crate::support::wait::eventually;

const RUN: &str = "JupyterLab/Run";
const INSTALLATION: &str = "k8smgr.io/installation";
const SERVICE: &str = "k8smgr.io/service";

/// A ConfigMap with these labels.
fn config_map(name: &str, labels: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}})
}

async fn installation(app: &TestApp) -> String {
    app.app().store.installation_id().await.unwrap()
}

/// Forgets a service without touching its objects, as an old backup has.
async fn forget(app: &TestApp, user: &str) {
    let store = &app.app().store;
    for record in store.services_of(&Credential::parse(user).unwrap()).await.unwrap() {
        store.remove_service(record.sequence).await.unwrap();
    }
}

async fn sweeps(seconds: u64) -> TestApp {
    TestApp::builder().edit(move |config| config["services"]["sweep_grace_seconds"] = json!(seconds)).start().await
}

#[tokio::test]
async fn what_has_no_record_goes_and_nothing_else() {
    let app = sweeps(1).await;
    assert_eq!(app.start_service(JUPYTERHUB, "lab", "s1", RUN).await.status, 201);
    app.cluster.pod_in_phase("depl-lab-s1-", "Running").await;
    let ours = installation(&app).await;
    let mut kept = config_map("kept", json!({INSTALLATION: ours, SERVICE: "unknown"}));
    kept["metadata"]["annotations"] = json!({"k8smgr.io/keep": "true"});
    app.cluster.create("ConfigMap", kept).await;
    app.cluster.create("ConfigMap", config_map("credential", json!({INSTALLATION: ours}))).await;
    let theirs = json!({INSTALLATION: "another", SERVICE: "unknown"});
    app.cluster.create("ConfigMap", config_map("another", theirs)).await;
    app.cluster.create("ConfigMap", config_map("stranger", json!({"a": "b"}))).await;
    let before = app.cluster.snapshot().await;

    let orphan = json!({INSTALLATION: ours, SERVICE: "unknown"});
    app.cluster.create("ConfigMap", config_map("orphan", orphan.clone())).await;
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "orphan", "labels": orphan.clone()}});
    app.cluster.create("Secret", secret).await;
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "orphan", "labels": orphan},
        "spec": {"suspend": true, "template": {"spec": {
            "restartPolicy": "Never", "containers": [{"name": "main", "image": "x/run:1"}],
        }}},
    });
    app.cluster.create("Job", job).await;
    eventually("only what has a record or is not ours is left", async || {
        (app.cluster.snapshot().await == before).then_some(())
    })
    .await;
    assert_eq!(app.app().services.sweep_halt(), None);
    app.end().await;
}

#[tokio::test]
async fn a_database_that_lacks_a_running_service_removes_nothing_until_somebody_says_so() {
    let mut app = sweeps(1).await;
    assert_eq!(app.start_service(JUPYTERHUB, "lab", "s1", RUN).await.status, 201);
    app.cluster.pod_in_phase("depl-lab-s1-", "Running").await;
    forget(&app, "jupyterhub").await;
    let before = app.cluster.snapshot().await;
    let orphan = json!({INSTALLATION: installation(&app).await, SERVICE: "unknown"});
    app.cluster.create("ConfigMap", config_map("orphan", orphan)).await;
    let halt =
        eventually("the sweep has stopped", async || app.app().services.sweep_halt().filter(|halt| halt.services == 2))
            .await;
    assert_eq!(halt.running, 1);
    assert_eq!(app.cluster.snapshot().await.len(), before.len() + 1);

    app.edit_config(|config| config["services"]["sweep_running_services"] = json!(true));
    app.restart().await;
    app.cluster.nothing_of("").await;
    eventually("the sweep goes on", async || app.app().services.sweep_halt().is_none().then_some(())).await;
    app.end().await;
}

#[tokio::test]
async fn many_services_without_a_record_are_not_removed_at_once() {
    let mut app = TestApp::builder()
        .edit(|config| {
            config["services"]["sweep_grace_seconds"] = json!(1);
            config["services"]["sweep_most_services"] = json!(2);
        })
        .start()
        .await;
    let ours = installation(&app).await;
    // All are there before the first look: otherwise those that it finds may be gone before the others are made.
    app.stop_process().await;
    for number in 0..3 {
        let labels = json!({INSTALLATION: ours, SERVICE: format!("unknown{number}")});
        app.cluster.create("ConfigMap", config_map(&format!("orphan{number}"), labels)).await;
    }
    app.start_process().await;
    let halt = eventually("the sweep has stopped", async || app.app().services.sweep_halt()).await;
    assert_eq!((halt.services, halt.running), (3, 0));
    assert_eq!(app.cluster.names().await.len(), 3);

    // One of them has its record again, or was removed by hand: the others may go.
    app.cluster.delete("ConfigMap", "orphan0").await;
    app.cluster.nothing_of("orphan").await;
    app.end().await;
}

#[tokio::test]
async fn another_database_removes_nothing() {
    let mut app = sweeps(1).await;
    assert_eq!(app.start_service(JUPYTERHUB, "lab", "s1", "JupyterLab/Crash").await.status, 201);
    app.stop_process().await;
    let before = app.cluster.snapshot().await;
    for name in ["k8smgr.sqlite3", "k8smgr.sqlite3-wal", "k8smgr.sqlite3-shm"] {
        let _ = std::fs::remove_file(app.path(name));
    }
    app.start_process().await;
    // What is of the new installation goes, so sweeps were made.
    for number in 0..2 {
        let orphan = json!({INSTALLATION: installation(&app).await, SERVICE: "unknown"});
        app.cluster.create("ConfigMap", config_map(&format!("orphan{number}"), orphan)).await;
        app.cluster.nothing_of("orphan").await;
    }
    assert_eq!(app.cluster.snapshot().await.len(), before.len());
    app.end().await;
}
