//! An installation of the reference as it was left: its database, its rendered files and what it has in the cluster.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::commands::{Ended, k8smgr, stop};
use crate::support::app::TestApp;
use crate::support::cluster::{NAMESPACE, remove};
use crate::support::folders::make_folder;
use crate::support::records::contract_folder;

pub const RUNNING: [&str; 3] = ["imp01-a0000001", "imp02-a0000002", "imp03-a0000003"];
pub const CRASHED: &str = "imp04-a0000004";

/// K8s Manager as it is installed for the first time: nobody's password is given. It does not run.
pub async fn new_installation() -> TestApp {
    let mut builder = TestApp::builder();
    for name in ["SUPERUSER_PASS", "JUPYTERHUB_USER_PASS", "OTHERHUB_USER_PASS", "NOGROUP_USER_PASS"] {
        builder = builder.variable(name, "");
    }
    let builder = builder.variable("WEBONLY_USER_PASS", "").variable("LOGONLY_USER_PASS", "");
    let mut app = builder.grace_seconds(0).start().await;
    stop(&mut app).await;
    app
}

/// Puts everything in its place and waits until its pods are as they were.
pub async fn put_in_place(app: &TestApp) {
    copy_files(app);
    put_objects(app).await;
}

fn copy_files(app: &TestApp) {
    for id in RUNNING.into_iter().chain([CRASHED]) {
        let (from, to) = (contract_folder().join("reference-services").join(id), app.path("services").join(id));
        make_folder(&to);
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let text = std::fs::read_to_string(entry.path()).unwrap();
            std::fs::write(to.join(entry.file_name()), with_namespace(app, &text)).unwrap();
        }
    }
}

fn with_namespace(app: &TestApp, text: &str) -> String {
    text.replace(&format!("namespace: {NAMESPACE}"), &format!("namespace: {}", app.cluster.namespace))
}

/// What controllers made of a Deployment they make again, with the uids of this cluster: the ReplicaSets and their pods.
async fn put_objects(app: &TestApp) {
    let text = std::fs::read_to_string(contract_folder().join("reference-cluster.json")).unwrap();
    let list: Value = serde_json::from_str(&text).unwrap();
    let mut objects = list["items"].as_array().unwrap().clone();
    objects.retain(|it| it["metadata"]["ownerReferences"].is_null());
    let order = ["Secret", "ConfigMap", "Service", "Deployment", "Pod"];
    objects.sort_by_key(|it| order.iter().position(|kind| it["kind"] == **kind));
    for mut object in objects {
        let kind = object["kind"].as_str().unwrap().to_owned();
        remove(&mut object, &["status"]);
        let server_made = ["uid", "creationTimestamp", "resourceVersion", "generation"];
        remove(&mut object["metadata"], &server_made);
        object["metadata"]["namespace"] = json!(app.cluster.namespace);
        if kind == "Service" {
            remove(&mut object["spec"], &["clusterIP", "clusterIPs"]);
        }
        if kind == "Pod" {
            remove(&mut object["spec"], &["nodeName", "priority", "preemptionPolicy"]);
        }
        app.cluster.create(&kind, object).await;
    }
    for id in RUNNING {
        app.cluster.pod_in_phase(&format!("depl-{id}-"), "Running").await;
    }
    app.cluster.pod_in_phase(&format!("pod-{CRASHED}"), "Failed").await;
}

/// A copy of the reference's database, to be changed.
pub fn database(app: &TestApp) -> PathBuf {
    let path = app.path("reference.sqlite3");
    if !path.exists() {
        std::fs::copy(contract_folder().join("reference.sqlite3"), &path).unwrap();
    }
    path
}

/// Changes what the reference's database holds.
pub fn change_database(app: &TestApp, sql: &str) {
    use diesel::connection::SimpleConnection;
    use diesel::{Connection, SqliteConnection};
    let path = database(app);
    SqliteConnection::establish(path.to_str().unwrap()).unwrap().batch_execute(sql).unwrap();
}

pub async fn import(app: &TestApp, more: &[&str]) -> Ended {
    let database = database(app).display().to_string();
    let arguments = [&["import", "--from", &database], more].concat();
    k8smgr(app, &arguments).await
}
