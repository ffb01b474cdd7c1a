//! A process that dies while a hub waits for its answer leaves a server that nobody may know of.

use std::time::Duration;

use k8smgr::domain::Credential;
use serde_json::json;

use crate::support::app::TestApp;
use crate::support::wait::eventually;
use crate::{ALIVE, GONE, HUB1, hubs, nothing_is_left, poll, start, start_server, stop};

async fn awaited(app: &TestApp) -> Vec<i64> {
    app.app().store.awaited_starts().await.unwrap()
}

async fn sequence(app: &TestApp, name: &str) -> i64 {
    let records = app.app().store.services_of(&Credential::parse("hub1").unwrap()).await.unwrap();
    records.iter().find(|it| it.server_name.outpost_name() == Some(name)).unwrap().sequence
}

#[tokio::test]
async fn a_start_is_written_down_as_awaited_until_it_is_answered() {
    let app = start(hubs()).await;
    let slow = start_server(&app, HUB1, "slow", "s", json!({"image": "x/slow:1", "start_timeout": 600}));
    let looked = async {
        app.cluster.pod_in_phase("jupyter-alice--slow", "Pending").await;
        let found = awaited(&app).await;
        assert_eq!(found, [sequence(&app, "slow").await]);
        stop(&app, HUB1, "slow/s").await.assert(200, r#"{"logs":[]}"#);
    };
    let (stopped, ()) = tokio::join!(slow, looked);
    assert_eq!(stopped.status, 419);
    assert_eq!(start_server(&app, HUB1, "lab", "s", json!({})).await.status, 200);
    eventually("nobody waits", async || awaited(&app).await.is_empty().then_some(())).await;
    stop(&app, HUB1, "lab/s").await.assert(200, r#"{"logs":[]}"#);
    nothing_is_left(&app).await;
    app.end().await;
}

#[tokio::test]
async fn what_was_never_answered_is_stopped_unless_its_hub_asks_for_it() {
    let mut app = start(hubs()).await;
    for name in ["unknown", "known"] {
        assert_eq!(start_server(&app, HUB1, name, "s", json!({})).await.status, 200);
    }
    app.stop_process().await;
    // As a process leaves it that dies before it answers.
    app.start_process().await;
    for name in ["unknown", "known"] {
        let sequence = sequence(&app, name).await;
        app.app().store.start_is_awaited(sequence).await.unwrap();
    }
    eventually("what nobody asks for is stopped", async || {
        app.clock.advance(Duration::from_secs(60));
        poll(&app, HUB1, "known/s").await.assert(200, ALIVE);
        let left = app.app().store.services_of(&Credential::parse("hub1").unwrap()).await.unwrap();
        left.iter().all(|it| it.server_name.outpost_name() == Some("known")).then_some(())
    })
    .await;
    poll(&app, HUB1, "unknown/s").await.assert(404, GONE);
    eventually("it is written down that the other is known", async || awaited(&app).await.is_empty().then_some(()))
        .await;
    poll(&app, HUB1, "known/s").await.assert(200, ALIVE);
    stop(&app, HUB1, "known/s").await.assert(200, r#"{"logs":[]}"#);
    nothing_is_left(&app).await;
    app.end().await;
}
