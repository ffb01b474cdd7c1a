//! Several processes on one database: each answers from a memory of its own, and all of them right.

use k8smgr::app::App;

use crate::support::app::{JUPYTERHUB, TestApp, basic};
use crate::support::postgres_server::PostgresServer;
use crate::support::wait::eventually;
use crate::support::wire::{Answer, Request};
use crate::{CRASH, RUN, running, started};

async fn two_on(server: &PostgresServer) -> (TestApp, App) {
    let url = server.create_database("k8smgr").await;
    let app = TestApp::builder().database(&url).start().await;
    let other = App::start(app.settings()).await.unwrap();
    (app, other)
}

async fn get(other: &App, user: &str, name: &str) -> Answer {
    let request = Request::get(&format!("/api/services/{name}/")).header("Authorization", &basic(user));
    request.send(other.address()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_process_starts_and_stops_the_other_knows() {
    let server = PostgresServer::start().await;
    let (app, other) = two_on(&server).await;
    let told = started(&app, "lab").await;
    get(&other, JUPYTERHUB, "lab").await.assert(200, &told);
    // It is over: the other one confirms each "no", so that it never ends a newer start.
    assert_eq!(app.start_service(JUPYTERHUB, "crash", "s1", CRASH).await.status, 201);
    let ended = eventually("crash says running: false", async || {
        let answer = get(&other, JUPYTERHUB, "crash").await;
        (!running(&answer)).then_some(answer)
    })
    .await;
    app.get(JUPYTERHUB, "crash").await.assert(200, &ended.body);
    let again = app.start_service(JUPYTERHUB, "crash", "s2", RUN).await;
    assert_eq!(again.status, 201, "{}", again.body);
    assert!(running(&get(&other, JUPYTERHUB, "crash").await));

    app.delete(JUPYTERHUB, "lab").await.assert(204, "");
    eventually("the other one knows of the stop", async || {
        (get(&other, JUPYTERHUB, "lab").await.status == 404).then_some(())
    })
    .await;
    other.shut_down().await.unwrap();
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_user_counts_in_every_process_before_its_login_is_forgotten() {
    let server = PostgresServer::start().await;
    let (app, other) = two_on(&server).await;
    let told = started(&app, "lab").await;
    get(&other, JUPYTERHUB, "lab").await.assert(200, &told);
    assert!(app.app().store.set_active("jupyterhub", false).await.unwrap());
    assert_eq!(app.get(JUPYTERHUB, "lab").await.status, 401, "the process that did it knows at once");
    eventually("the other one refuses the user", async || {
        (get(&other, JUPYTERHUB, "lab").await.status == 401).then_some(())
    })
    .await;
    assert!(app.app().store.set_active("jupyterhub", true).await.unwrap());
    eventually("the other one lets the user in", async || {
        (get(&other, JUPYTERHUB, "lab").await.status == 200).then_some(())
    })
    .await;
    other.shut_down().await.unwrap();
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_that_was_changed_before_an_outage_is_not_let_in_during_it() {
    let mut server = PostgresServer::start().await;
    let (app, other) = two_on(&server).await;
    let told = started(&app, "lab").await;
    get(&other, JUPYTERHUB, "lab").await.assert(200, &told);
    let before = other.store.user_changes();
    assert!(app.app().store.set_password("jupyterhub", "another").await.unwrap());
    eventually("the other one was told", async || (other.store.user_changes() != before).then_some(())).await;
    server.kill();
    assert_eq!(app.get(JUPYTERHUB, "lab").await.status, 503);
    assert_eq!(get(&other, JUPYTERHUB, "lab").await.status, 503);
    server.restart().await;
    eventually("the old password is wrong", async || {
        (get(&other, JUPYTERHUB, "lab").await.status == 401).then_some(())
    })
    .await;
    other.shut_down().await.unwrap();
    app.end().await;
}
