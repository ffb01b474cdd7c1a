//! Another process keeps the SQLite file locked, for longer than anybody waits.

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};

use crate::support::app::{JUPYTERHUB, TestApp};
use crate::support::wait::eventually;
use crate::{RUN, ends, fails_to_start, running, started};

#[tokio::test(flavor = "multi_thread")]
async fn while_the_file_is_locked_polls_are_right_and_stops_are_carried_out() {
    let app = TestApp::start().await;
    let told = started(&app, "lab").await;
    let mortal = started(&app, "mortal").await;
    started(&app, "stopped").await;

    let mut lock = SqliteConnection::establish(app.path("k8smgr.sqlite3").to_str().unwrap()).unwrap();
    lock.batch_execute("BEGIN IMMEDIATE").unwrap();
    app.cluster.delete("Deployment", "depl-mortal-s1").await;
    app.cluster.nothing_of("depl-mortal-s1").await;
    app.get(JUPYTERHUB, "lab").await.assert(200, &told);
    app.get(JUPYTERHUB, "nobody").await.assert(404, r#"{"detail":"Not found."}"#);
    // Its end cannot be written down: nobody is told before.
    app.get(JUPYTERHUB, "mortal").await.assert(200, &mortal);
    fails_to_start(&app, "new").await;
    app.delete(JUPYTERHUB, "stopped").await.assert(204, "");
    app.cluster.nothing_of("stopped").await;
    app.get(JUPYTERHUB, "lab").await.assert(200, &told);

    lock.batch_execute("ROLLBACK").unwrap();
    let ended = ends(&app, "mortal").await;
    assert_eq!(ended.json().member("details").member("error").text(), "Service is gone");
    eventually("the stop is written down and done", async || {
        (app.get(JUPYTERHUB, "stopped").await.status == 404).then_some(())
    })
    .await;
    assert_eq!(app.start_service(JUPYTERHUB, "new", "s1", RUN).await.status, 201);
    assert!(running(&app.get(JUPYTERHUB, "new").await));
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_while_a_start_is_being_written_down_is_not_lost() {
    let app = TestApp::start().await;
    let mut lock = SqliteConnection::establish(app.path("k8smgr.sqlite3").to_str().unwrap()).unwrap();
    lock.batch_execute("BEGIN IMMEDIATE").unwrap();
    let stopped = async {
        // Whatever is to be written waits behind the start, which waits for the file.
        eventually("the start waits for the file", async || {
            app.app().store.pool_status().iter().any(|it| it.name == "writer" && it.waiting > 0).then_some(())
        })
        .await;
        let stopped = app.delete(JUPYTERHUB, "lab").await;
        lock.batch_execute("ROLLBACK").unwrap();
        stopped
    };
    let (started, stopped) = futures::future::join(app.start_service(JUPYTERHUB, "lab", "s1", RUN), stopped).await;
    stopped.assert(204, "");
    assert_eq!(started.status, 500, "{}", started.body);
    app.cluster.nothing_of("lab").await;
    app.list(JUPYTERHUB).await.assert(200, "[]");
    app.end().await;
}
