//! A job belongs to the service that asked for it, and ends with it.

use serde_json::json;

use crate::support::app::start_body;
use crate::support::ssh_server::{SshServer, ask, echo_server};
use crate::*;

const RUN: &str = "JupyterLab/Run";

async fn job_of(app: &TestApp, server: &str, service: &str, port: u16) -> u16 {
    let request = post_of(&job(service, &[(8080, port)])).header("uuidcode", server);
    assert_eq!(app.send_as(JUPYTERHUB, request).await.status, 201);
    local_ports(app, service).await[0]
}

async fn is_gone(app: &TestApp, service: &str, port: u16) {
    eventually(&format!("{service} is gone"), async || {
        let is_gone = get(app, service).await.status == 404 && app.cluster.get("Service", service).await.is_none();
        (is_gone && ask(port, "hello").await.is_none()).then_some(())
    })
    .await;
    eventually("no record is left", async || {
        let jobs = app.app().store.user_jobs().await.unwrap();
        (!jobs.iter().any(|it| it.service == service)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_ends_with_the_service_that_asked_for_it() {
    let ssh = SshServer::start().await;
    let app = app_with(&ssh).await;
    let one = echo_server("one").await;
    for (server, start_id) in [("lab1", "s1"), ("lab2", "s1"), ("lab3", "s1")] {
        assert_eq!(app.post(JUPYTERHUB, server, &start_body(RUN, start_id)).await.status, 201);
        app.cluster.pod_in_phase(&format!("depl-{server}-{start_id}-"), "Running").await;
    }
    // The server is named by the header, or the job is called as it is; others have no owner.
    let stopped = job_of(&app, "lab1", "uj1", one).await;
    let ended = job_of(&app, "lab2", "uj2", one).await;
    let superseded = job_of(&app, "lab3", "lab3", one).await;
    let free = job_of(&app, "unknown", "uj4", one).await;
    let service = app.cluster.get("Service", "uj1").await.unwrap();
    let owner = &service["metadata"]["ownerReferences"][0];
    let secret = app.cluster.get("Secret", "secret-lab1-s1-k8smgr").await.unwrap();
    assert_eq!((&owner["kind"], &owner["uid"]), (&json!("Secret"), &secret["metadata"]["uid"]));
    assert!(app.cluster.get("Service", "uj4").await.unwrap()["metadata"]["ownerReferences"].is_null());

    assert_eq!(app.delete(JUPYTERHUB, "lab1").await.status, 204);
    is_gone(&app, "uj1", stopped).await;
    app.cluster.delete("Deployment", "depl-lab2-s1").await;
    eventually("the poll tells the end", async || {
        app.get(JUPYTERHUB, "lab2").await.body.contains("\"running\":false").then_some(())
    })
    .await;
    is_gone(&app, "uj2", ended).await;
    assert_eq!(app.post(JUPYTERHUB, "lab3", &start_body(RUN, "s2")).await.status, 201);
    assert_eq!(app.get(JUPYTERHUB, "lab3").await.status, 200);
    is_gone(&app, "lab3", superseded).await;
    assert_eq!(ask(free, "hello").await.as_deref(), Some("one: hello"));
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_ended_while_nobody_looked_takes_its_job_along() {
    let ssh = SshServer::start().await;
    let mut app = app_with(&ssh).await;
    let one = echo_server("one").await;
    assert_eq!(app.post(JUPYTERHUB, "lab1", &start_body(RUN, "s1")).await.status, 201);
    app.cluster.pod_in_phase("depl-lab1-s1-", "Running").await;
    let port = job_of(&app, "lab1", "uj1", one).await;
    let sequence = app.app().store.user_jobs().await.unwrap()[0].owner.unwrap();
    app.stop_process().await;
    let store = k8smgr::store::Store::connect(&app.database_url()).await.unwrap();
    assert!(store.begin_stop(sequence).await.unwrap());
    drop(store);
    app.start_process().await;
    is_gone(&app, "uj1", port).await;
    app.end().await;
}
