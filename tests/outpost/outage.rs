//! Polls never fail: the API server or the database may be away.

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use serde_json::json;

use crate::support::wait::eventually;
use crate::{ALIVE, GONE, HUB1, ends_with, failure, hubs, list, nothing_is_left, poll, start, start_server, stop};

#[tokio::test]
async fn while_the_api_server_is_away_polls_say_alive_and_stops_are_not_forgotten() {
    let app = start(hubs()).await;
    for name in ["lab", "stopped"] {
        assert_eq!(start_server(&app, HUB1, name, "s", json!({})).await.status, 200);
    }
    let Some(faults) = app.cluster.faults() else { return app.end().await };
    faults.down(true);
    eventually("the API server is away", async || app.cluster.is_away().await.then_some(())).await;
    for _ in 0..3 {
        poll(&app, HUB1, "lab/s").await.assert(200, ALIVE);
        let logs = poll(&app, HUB1, "lab/s?collect_logs=true").await;
        logs.assert(200, ALIVE);
    }
    stop(&app, HUB1, "stopped/s").await.assert(200, r#"{"logs":[]}"#);
    poll(&app, HUB1, "stopped/s").await.assert(404, GONE);
    assert_eq!(failure_status(&app).await, 419);
    faults.down(false);
    app.cluster.is_back().await;
    app.cluster.nothing_of("jupyter-alice--stopped").await;
    poll(&app, HUB1, "lab/s").await.assert(200, ALIVE);
    app.end().await;
}

async fn failure_status(app: &crate::support::app::TestApp) -> u16 {
    let answer = start_server(app, HUB1, "new", "s", json!({"start_timeout": 2})).await;
    failure(&answer, "RuntimeError");
    answer.status
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_locked_polls_never_fail() {
    let app = start(hubs()).await;
    for name in ["lab", "mortal", "stopped"] {
        assert_eq!(start_server(&app, HUB1, name, "s", json!({})).await.status, 200);
    }
    let mut lock = SqliteConnection::establish(app.path("k8smgr.sqlite3").to_str().unwrap()).unwrap();
    lock.batch_execute("BEGIN IMMEDIATE").unwrap();
    app.cluster.delete("Pod", "jupyter-alice--mortal").await;
    app.cluster.nothing_of("Pod/jupyter-alice--mortal").await;
    poll(&app, HUB1, "lab/s").await.assert(200, ALIVE);
    // Its end cannot be written down: nobody is told before.
    poll(&app, HUB1, "mortal/s").await.assert(200, ALIVE);
    stop(&app, HUB1, "stopped/s").await.assert(200, r#"{"logs":[]}"#);
    app.cluster.nothing_of("jupyter-alice--stopped").await;
    assert_eq!(list(&app, HUB1).await.as_array().unwrap().len(), 3);
    lock.batch_execute("ROLLBACK").unwrap();
    ends_with(&app, HUB1, "mortal/s", 1).await;
    eventually("the stop is written down and done", async || {
        (poll(&app, HUB1, "stopped/s").await.status == 404).then_some(())
    })
    .await;
    for name in ["lab/s", "mortal/s"] {
        stop(&app, HUB1, name).await.assert(200, r#"{"logs":[]}"#);
    }
    nothing_is_left(&app).await;
    app.end().await;
}

#[tokio::test]
async fn a_restart_forgets_nothing() {
    let mut app = start(hubs()).await;
    assert_eq!(start_server(&app, HUB1, "lab", "s", json!({})).await.status, 200);
    assert_eq!(start_server(&app, HUB1, "ended", "s", json!({})).await.status, 200);
    app.cluster.delete("Pod", "jupyter-alice--ended").await;
    ends_with(&app, HUB1, "ended/s", 1).await;
    let again = start_server(&app, HUB1, "lab", "s", json!({})).await;
    app.restart().await;
    poll(&app, HUB1, "lab/s").await.assert(200, ALIVE);
    poll(&app, HUB1, "ended/s").await.assert(200, r#"{"status":1,"logs":[]}"#);
    start_server(&app, HUB1, "lab", "s", json!({})).await.assert(200, &again.body);
    stop(&app, HUB1, "lab/s").await.assert(200, r#"{"logs":[]}"#);
    poll(&app, HUB1, "lab/s").await.assert(404, GONE);
    app.end().await;
}
