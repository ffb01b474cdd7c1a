//! Restart notices: to every hub, at once, until it has answered.

use std::time::Duration;

use k8smgr::domain::Clock;
use serde_json::{Value, json};

use crate::support::app::{TestApp, TestAppBuilder};
use crate::support::hub_receiver::{Authority, HubReceiver};
use crate::support::outpost_start::{counted_before, counter};
use crate::support::postgres_server::PostgresServer;
use crate::support::turns::alone;
use crate::support::wait::eventually;
use crate::support::wire::Request;

const TOLD: &str = r#"k8smgr_restart_notices_total{outcome="told"}"#;
const PASSWORD: &str = "marker-tunnel-password";

fn with_hubs(hubs: Value) -> TestAppBuilder {
    TestApp::builder().edit(move |config| config["tunnel"] = hubs).variable("TUNNELSVC_K8SMGR_USER_PASSWORD", PASSWORD)
}

fn hub(name: &str, hub: &HubReceiver) -> Value {
    json!({"hostname": name, "restart_url": hub.url("/restart/")})
}

async fn readiness(app: &TestApp) -> String {
    app.send(&Request::get("/readyz?verbose")).await.body
}

async fn readiness_holds(app: &TestApp, expected: &str) {
    eventually(expected, async || readiness(app).await.contains(expected).then_some(())).await;
}

async fn metric(app: &TestApp, line: &str) -> bool {
    let page = app.send(&Request::get("/metrics")).await.body;
    page.lines().any(|it| it == line)
}

/// Lets the time go by in which a hub is tried again, until it was.
async fn tried_again(clock: &Clock, hub: &HubReceiver) {
    let before = hub.missed();
    clock.advance(Duration::from_secs(15));
    eventually("the hub is tried again", async || (hub.missed() > before).then_some(())).await;
}

#[tokio::test]
async fn a_hub_that_is_down_for_five_minutes_is_told_soon_after_its_return_and_others_at_once() {
    let (up, down) = (HubReceiver::start().await, HubReceiver::start().await);
    down.be_away(true);
    let app = with_hubs(json!([hub("down", &down), hub("up", &up)])).start().await;
    assert_eq!(up.has(1).await[0].json(), json!({"hostname": "up"}));
    readiness_holds(&app, "[!]hubs failed: since ").await;
    assert!(readiness(&app).await.contains("not told of the restart yet: down; the log says why"));
    for _ in 0..20 {
        tried_again(&app.clock, &down).await;
    }
    assert!(down.told().is_empty());

    // Back: the next attempt is due within 15 s.
    down.be_away(false);
    app.clock.advance(Duration::from_secs(15));
    let told = down.has(1).await;
    assert_eq!(told[0].json(), json!({"hostname": "down"}));
    readiness_holds(&app, "[+]hubs ok").await;
    app.clock.advance(Duration::from_secs(600));
    readiness_holds(&app, "[+]hubs ok").await;
    assert_eq!((up.told().len(), down.told().len()), (1, 1), "each was told once");
    app.end().await;
}

#[tokio::test]
async fn a_hub_is_told_of_every_start_and_once_of_those_that_it_missed() {
    let hub_one = HubReceiver::start().await;
    let mut app = with_hubs(json!([hub("one", &hub_one)])).start().await;
    hub_one.has(1).await;
    readiness_holds(&app, "[+]hubs ok").await;
    app.restart().await;
    hub_one.has(2).await;
    readiness_holds(&app, "[+]hubs ok").await;

    hub_one.be_away(true);
    for _ in 0..3 {
        app.restart().await;
        readiness_holds(&app, "[!]hubs failed").await;
    }
    hub_one.be_away(false);
    app.clock.advance(Duration::from_secs(15));
    hub_one.has(3).await;
    readiness_holds(&app, "[+]hubs ok").await;
    assert_eq!(hub_one.told().len(), 3);
    assert_eq!(app.app().store.owed_notices().await.unwrap(), []);
    app.end().await;
}

#[tokio::test]
async fn a_hub_that_refuses_is_asked_seldom_and_redirects_lead_nowhere() {
    let (_alone, told_before) = (alone(), counted_before(TOLD));
    let hub_one = HubReceiver::start().await;
    hub_one.answer("/refused/", 401);
    hub_one.answer("/moved/", 302);
    hub_one.answer("/busy/", 503);
    hub_one.answer("/absent/", 404);
    let at = |path: &str| json!({"hostname": path.trim_matches('/'), "restart_url": hub_one.url(path)});
    let app = with_hubs(json!([at("/refused/"), at("/moved/"), at("/busy/"), at("/absent/")])).start().await;
    readiness_holds(&app, "not told of the restart yet: absent, busy, moved, refused; the log says why").await;
    for round in 0..12 {
        let before = hub_one.told_at("/busy/").len();
        app.clock.advance(Duration::from_secs(15));
        eventually("the busy one is asked again", async || (hub_one.told_at("/busy/").len() > before).then_some(()))
            .await;
        let absent = async || (hub_one.told_at("/absent/").len() >= round + 2).then_some(());
        eventually("an ingress may answer 404 for one that is away", absent).await;
    }
    // Pauses of 1, 2, 4 ... seconds: no more than eight in three minutes.
    for path in ["/refused/", "/moved/"] {
        let asked = hub_one.told_at(path).len();
        assert!((2..=8).contains(&asked), "{path}: {asked}");
    }
    assert!(hub_one.told_at("/redirected/").is_empty());
    assert!(metric(&app, "k8smgr_restart_notices_owed 4").await);
    for path in ["/refused/", "/moved/", "/busy/", "/absent/"] {
        hub_one.answer(path, 200);
    }
    app.clock.advance(Duration::from_secs(300));
    readiness_holds(&app, "[+]hubs ok").await;
    assert_eq!(counter(&app, TOLD).await - told_before, 4);
    assert!(metric(&app, "k8smgr_restart_notices_owed 0").await);
    app.end().await;
}

#[tokio::test]
async fn tls_is_verified_unless_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, other) = (Authority::make(folder.path(), "ours"), Authority::make(folder.path(), "other"));
    let hub_one = HubReceiver::with_tls(&ours).await;
    let at = |name: &str, certificate: Value| {
        let url = hub_one.url(&format!("/{name}/"));
        json!({"hostname": name, "restart_url": url, "certificate_path": certificate})
    };
    let mut hubs = vec![at("ours", json!(ours.file)), at("other", json!(other.file)), at("unverified", json!(false))];
    hubs.push(json!({"hostname": "system", "restart_url": hub_one.url("/system/")}));
    hubs.push(at("nowhere", json!(folder.path().join("nowhere.pem"))));
    let app = with_hubs(json!(hubs)).start().await;
    readiness_holds(
        &app,
        "not told of the restart yet: nowhere, other, system; the log says why; TLS is not verified \
        (certificate_path: false): unverified",
    )
    .await;
    let mut told: Vec<_> = hub_one.told().into_iter().map(|it| it.path).collect();
    told.sort();
    assert_eq!(told, ["/ours/", "/unverified/"]);
    app.end().await;
}

#[tokio::test]
async fn of_several_replicas_one_tells_each_start_once() {
    let server = PostgresServer::start().await;
    let url = server.create_database("k8smgr").await;
    let hub_one = HubReceiver::start().await;
    let tunnel = json!([hub("one", &hub_one)]);
    let app = with_hubs(tunnel)
        .database(&url)
        .edit(|config| config["leader_election"] = json!({"lease_seconds": 2}))
        .start()
        .await;
    hub_one.has(1).await;
    readiness_holds(&app, "[+]hubs ok").await;

    // Another process starts: the one that leads tells of it, and it does so once.
    let other = k8smgr::app::App::start(app.settings()).await.unwrap();
    eventually("the start is written down", async || {
        app.clock.advance(Duration::from_secs(5));
        (hub_one.told().len() == 2).then_some(())
    })
    .await;
    // With so short a lease nobody may lead for a moment, and never do both.
    eventually("one of them leads", async || {
        (app.app().leader.status().leading != other.leader.status().leading).then_some(())
    })
    .await;
    eventually("nothing is owed", async || app.app().store.owed_notices().await.unwrap().is_empty().then_some(()))
        .await;
    app.clock.advance(Duration::from_secs(600));

    // The leader ends: what it still owes is told by the other one, of a start that came in between.
    hub_one.be_away(true);
    let third = k8smgr::app::App::start(app.settings()).await.unwrap();
    eventually("the third start is owed", async || {
        (app.app().store.owed_notices().await.unwrap().len() == 1).then_some(())
    })
    .await;
    let mut app = app;
    app.stop_process().await;
    hub_one.be_away(false);
    eventually("the next leader tells it", async || {
        app.clock.advance(Duration::from_secs(5));
        (hub_one.told().len() >= 3).then_some(())
    })
    .await;
    eventually("nothing is owed", async || other.store.owed_notices().await.unwrap().is_empty().then_some(())).await;
    assert_eq!(hub_one.told().len(), 3);
    third.shut_down().await.unwrap();
    other.shut_down().await.unwrap();
    app.end().await;
}
