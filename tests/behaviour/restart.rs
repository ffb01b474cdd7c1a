//! The process ends and comes back on the same database.

use jiff::{SignedDuration, Timestamp};
use k8smgr::domain::{
    AppliedObject, Credential, Json as StoredJson, NewService, ObjectId, ServerName, ServiceName, StartId,
};
use local_cluster::{Fault, FaultRule};
use serde_json::json;

use crate::support::app::{JUPYTERHUB, TestApp};
use crate::support::json::Json;
use crate::support::wait::eventually;

const RUN: &str = "JupyterLab/Run";

fn refuse_deletes() -> FaultRule {
    FaultRule::new(Fault::Refuse { code: 403, reason: "Forbidden".to_owned() }).verb("delete")
}

#[tokio::test]
async fn running_services_go_on_over_a_restart() {
    let mut app = TestApp::start().await;
    let started = app.start_service(JUPYTERHUB, "lab", "s1", RUN).await;
    assert_eq!(started.status, 201, "{}", started.body);
    app.cluster.pod_in_phase("depl-lab-s1-", "Running").await;
    let before = app.everything().await;

    app.restart().await;
    // The first poll may come before the cluster was seen; a service is never called dead for that.
    let first = app.get(JUPYTERHUB, "lab").await;
    assert_eq!((first.status, first.json().member("running").clone()), (200, Json::Bool(true)), "{}", first.body);
    let plain = format!(r#"{},"running":true}}"#, started.body.trim_end_matches('}'));
    eventually("the poll tells without details", async || {
        (app.get(JUPYTERHUB, "lab").await.body == plain).then_some(())
    })
    .await;
    let repeated = app.start_service(JUPYTERHUB, "lab", "s1", RUN).await;
    repeated.assert(201, &started.body);
    assert_eq!(app.everything().await, before);

    app.delete(JUPYTERHUB, "lab").await.assert(204, "");
    app.cluster.nothing_of("").await;
    app.end().await;
}

#[tokio::test]
async fn what_ended_while_the_process_was_away_is_noticed() {
    let mut app = TestApp::start().await;
    assert_eq!(app.start_service(JUPYTERHUB, "lab", "s1", RUN).await.status, 201);
    app.cluster.pod_in_phase("depl-lab-s1-", "Running").await;
    app.stop_process().await;
    app.cluster.delete("Deployment", "depl-lab-s1").await;
    app.start_process().await;
    eventually("lab says running: false", async || {
        let answer = app.get(JUPYTERHUB, "lab").await;
        let details = answer.json().get("details").is_some_and(|it| it.member("error").text() == "Service is gone");
        (answer.json().member("running") == &Json::Bool(false)).then(|| assert!(details, "{}", answer.body))
    })
    .await;
    app.end().await;
}

#[tokio::test]
async fn a_stop_that_was_cut_short_is_finished_by_the_next_process() {
    let mut app = TestApp::start().await;
    assert_eq!(app.start_service(JUPYTERHUB, "lab", "s1", RUN).await.status, 201);
    app.cluster.pod_in_phase("depl-lab-s1-", "Running").await;
    if let Some(faults) = app.cluster.faults() {
        faults.add(refuse_deletes());
    }
    app.delete(JUPYTERHUB, "lab").await.assert(204, "");
    app.stop_process().await;
    if let Some(faults) = app.cluster.faults() {
        faults.clear();
    }
    app.start_process().await;
    app.cluster.nothing_of("").await;
    eventually("the list is empty", async || (app.list(JUPYTERHUB).await.body == "[]").then_some(())).await;
    assert!(app.names_in("services").is_empty());
    app.end().await;
}

#[tokio::test]
async fn a_stop_survives_an_outage_and_a_restart_within_it() {
    let mut app = TestApp::start().await;
    assert_eq!(app.start_service(JUPYTERHUB, "lab", "s1", RUN).await.status, 201);
    app.cluster.pod_in_phase("depl-lab-s1-", "Running").await;
    let down = |app: &TestApp, down| app.cluster.faults().map(|it| it.down(down));
    down(&app, true);
    app.delete(JUPYTERHUB, "lab").await.assert(204, "");
    // Also without a cluster the process comes up, keeps what it was told and says so.
    app.restart().await;
    let pending = app.get(JUPYTERHUB, "lab").await;
    assert!(matches!(pending.status, 200 | 404), "{}", pending.body);
    down(&app, false);
    app.cluster.nothing_of("").await;
    eventually("the list is empty", async || (app.list(JUPYTERHUB).await.body == "[]").then_some(())).await;
    app.end().await;
}

#[tokio::test]
async fn a_start_that_a_crash_cut_short_is_removed() {
    let mut app = TestApp::start().await;
    let (server_name, start_id) = (ServerName::parse("lab").unwrap(), StartId::parse("s1").unwrap());
    let object_id = ObjectId::new(&server_name, &start_id);
    let planned = AppliedObject {
        api_version: "v1".to_owned(),
        kind: "ConfigMap".to_owned(),
        namespace: Some(app.cluster.namespace.clone()),
        name: "cm-lab-s1".to_owned(),
        uid: None,
        is_workload: false,
        is_kept: false,
        address: None,
    };
    let secret =
        AppliedObject { kind: "Secret".to_owned(), name: "secret-lab-s1-k8smgr".to_owned(), ..planned.clone() };
    let new = NewService {
        credential: Credential::parse("jupyterhub").unwrap(),
        server_name,
        start_id,
        object_id,
        service: ServiceName::parse(RUN).unwrap(),
        user_options: StoredJson::parse(br#"{"service": "JupyterLab/Run"}"#).unwrap(),
        jhub_user_id: 7,
        start_date: Timestamp::now() - SignedDuration::from_mins(5),
        namespace: app.cluster.namespace.clone(),
        objects: vec![secret, planned],
        update_manifest: None,
        flavor: None,
        ends_at: None,
    };
    // A stranger has one of the names by now; it is not ours to delete.
    let stranger = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cm-lab-s1"}});
    app.cluster.create("ConfigMap", stranger).await;
    app.app().store.insert_service(&new).await.unwrap();
    app.restart().await;
    eventually("the list is empty", async || (app.list(JUPYTERHUB).await.body == "[]").then_some(())).await;
    assert_eq!(app.cluster.names().await, ["ConfigMap/cm-lab-s1"]);
    app.end().await;
}

#[tokio::test]
async fn the_end_of_a_service_that_the_first_lists_lacked_is_noticed() {
    let mut app = TestApp::start().await;
    assert_eq!(app.start_service(JUPYTERHUB, "lab", "s1", "JupyterLab/Crash").await.status, 201);
    // It ends while nobody looks, and the next process is told that there is nothing. No change comes after that.
    app.stop_process().await;
    app.cluster.pod_in_phase("", "Failed").await;
    if let Some(faults) = app.cluster.faults() {
        faults.add(FaultRule::new(Fault::EmptyList).verb("list").resource("pods"));
        faults.add(FaultRule::new(Fault::EmptyList).verb("list").resource("deployments"));
    }
    app.start_process().await;
    if let Some(faults) = app.cluster.faults() {
        eventually("empty lists were read", async || (faults.met() >= 2).then_some(())).await;
        faults.clear();
    }
    eventually("lab says running: false", async || {
        (app.get(JUPYTERHUB, "lab").await.json().member("running") == &Json::Bool(false)).then_some(())
    })
    .await;
    app.end().await;
}

#[tokio::test]
async fn an_ended_service_keeps_its_explanation_over_a_restart() {
    let mut app = TestApp::start().await;
    assert_eq!(app.start_service(JUPYTERHUB, "lab", "s1", "JupyterLab/Crash").await.status, 201);
    let explained = eventually("lab says running: false", async || {
        let answer = app.get(JUPYTERHUB, "lab").await;
        (answer.json().member("running") == &Json::Bool(false)).then_some(answer)
    })
    .await;
    app.restart().await;
    app.get(JUPYTERHUB, "lab").await.assert(200, &explained.body);
    app.end().await;
}
