//! Several processes on one database: whichever is asked, a start is one start.

use k8smgr::app::App;
use serde_json::json;

use crate::support::app::{TestApp, basic};
use crate::support::postgres_server::PostgresServer;
use crate::support::wait::eventually;
use crate::support::wire::{Answer, Request};
use crate::{ALIVE, GONE, HUB1, body, failure, hubs, list, nothing_is_left, poll, post, start, start_server};

async fn two_on(server: &PostgresServer) -> (TestApp, App) {
    let url = server.create_database("k8smgr").await;
    let app = start(hubs().database(&url)).await;
    let other = App::start(app.settings()).await.unwrap();
    (app, other)
}

async fn ask(other: &App, request: Request) -> Answer {
    request.header("Authorization", &basic(HUB1)).send(other.address()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_another_process_ends_a_start_that_is_waited_for() {
    let server = PostgresServer::start().await;
    let (app, other) = two_on(&server).await;
    let started = start_server(&app, HUB1, "lab", "s", json!({"image": "x/slow:1", "start_timeout": 600}));
    let stopped = async {
        app.cluster.pod_in_phase("jupyter-alice--lab", "Pending").await;
        ask(&other, Request::get("/services/lab/s")).await.assert(200, ALIVE);
        ask(&other, Request::new("DELETE", "/services/lab/s")).await
    };
    let (started, stopped) = futures::join!(started, stopped);
    stopped.assert(200, r#"{"logs":[]}"#);
    assert_eq!(failure(&started, "RuntimeError"), "the service was stopped while it started");
    nothing_is_left(&app).await;
    other.shut_down().await.unwrap();
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_start_in_two_processes_is_one_and_a_newer_one_replaces_it() {
    let server = PostgresServer::start().await;
    let (app, other) = two_on(&server).await;
    let request = || post(&body("lab", "s1", &json!({})));
    let (here, there) = futures::join!(app.send_as(HUB1, request()), ask(&other, request()));
    assert_eq!(here.status, 200, "{}", here.body);
    there.assert(200, &here.body);
    assert_eq!(list(&app, HUB1).await.as_array().unwrap().len(), 1);
    let newer = ask(&other, post(&body("lab", "s2", &json!({})))).await;
    newer.assert(200, &here.body);
    poll(&app, HUB1, "lab/s1").await.assert(200, r#"{"status":1,"logs":[]}"#);
    poll(&app, HUB1, "lab/s2").await.assert(200, ALIVE);
    for path in ["lab/s1", "lab/s2"] {
        let stopped = ask(&other, Request::new("DELETE", &format!("/services/{path}"))).await;
        stopped.assert(200, r#"{"logs":[]}"#);
        // A "yes" comes from memory until the database has told what the other process did.
        let is_gone = async || (poll(&app, HUB1, path).await.status == 404).then_some(());
        eventually("what the other process stopped is gone here", is_gone).await;
        poll(&app, HUB1, path).await.assert(404, GONE);
    }
    nothing_is_left(&app).await;
    other.shut_down().await.unwrap();
    app.end().await;
}
