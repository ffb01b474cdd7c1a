//! What of their flavors is in use, as hubs hear it.

use serde_json::json;

use crate::support::app::TestApp;
use crate::support::hub_receiver::{HubReceiver, Told};
use crate::support::outpost_start::{OutpostStart, counter, serves, stop};
use crate::support::postgres_server::PostgresServer;
use crate::support::wait::eventually;

const PATH: &str = "/hub/api/outpostflavors/sysA";

fn lab<'a>(hub: &HubReceiver, name: &'a str) -> OutpostStart<'a> {
    OutpostStart::new(hub, name, "marker-server-token").with("JUPYTERHUB_FLAVORS_UPDATE_URL", &hub.url(PATH))
}

/// Waits until so many updates came, and until none is due any more.
async fn updated(hub: &HubReceiver, more_than: usize) -> usize {
    eventually("an update of the flavors", async || {
        let count = hub.told_at(PATH).len();
        (count > more_than).then_some(count)
    })
    .await
}

#[tokio::test]
async fn a_hub_is_told_after_each_start_and_stop_by_the_service_s_token() {
    let hub = HubReceiver::start().await;
    let mut app = TestApp::start().await;
    let record = lab(&hub, "lab").with("JUPYTERHUB_FLAVORS_UPDATE_TOKEN", "flavtok").start(&app).await;
    let told = updated(&hub, 0).await;
    serves(&app, &record).await;
    let failed = lab(&hub, "failed").with("JUPYTERHUB_FLAVORS_UPDATE_TOKEN", "flavtok").service("JupyterLab/None");
    assert_eq!(failed.post(&app).await.status, 419);

    // Who was not there at the start asks a Secret for the token.
    app.restart().await;
    let second = lab(&hub, "second").with("JUPYTERHUB_API_URL", &hub.url("/hub/api"));
    // Its own has none: the hub is told by the other one's.
    let second = second.start(&app).await;
    let told = updated(&hub, told).await;
    stop(&app, &second).await;
    let told = updated(&hub, told).await;
    stop(&app, &record).await;
    updated(&hub, told).await;
    for update in hub.told_at(PATH) {
        assert_eq!((update.method.as_str(), update.json()), ("POST", json!({})));
        assert_eq!(update.header("authorization"), Some("token flavtok"));
        assert_eq!(update.header("content-type"), Some("application/json"));
    }
    app.end().await;
}

/// Waits until the last that the hub was told is that so many are in use.
async fn in_use(hub: &HubReceiver, count: u64) {
    eventually("the hub knows how many are in use", async || {
        let last = hub.told_at(PATH).pop()?.json();
        (last == json!({"small": {"max": 2, "current": count}})).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_hub_is_told_how_many_servers_of_each_flavor_it_has() {
    let hub = HubReceiver::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flavors.yaml");
    std::fs::write(&file, "flavors: {small: {max: 2}}\n").unwrap();
    let app = TestApp::builder().variable("OUTPOST_FLAVORS_PATH", file.to_str().unwrap()).start().await;
    let start = |name| {
        lab(&hub, name).with("JUPYTERHUB_FLAVORS_UPDATE_TOKEN", "flavtok").flavor("small").service("JupyterLab/Run")
    };
    let first = start("first").start(&app).await;
    in_use(&hub, 1).await;
    let second = start("second").start(&app).await;
    in_use(&hub, 2).await;
    let before = hub.told_at(PATH).len();
    assert_eq!(start("third").post(&app).await.status, 419);
    stop(&app, &first).await;
    in_use(&hub, 1).await;
    stop(&app, &second).await;
    in_use(&hub, 0).await;
    assert!(hub.told_at(PATH)[before..].iter().all(|it| it.json()["small"]["current"] != 3));
    app.end().await;
}

#[tokio::test]
async fn without_a_token_nothing_is_sent_and_one_may_be_configured() {
    let (untold, hub) = (HubReceiver::start().await, HubReceiver::start().await);
    let app = TestApp::builder()
        .edit(|config| {
            config["outpost"] = json!({"jupyterhub": {"flavors_update_token_env": "FLAVORS_TOKEN"}, "otherhub": {}});
        })
        .variable("FLAVORS_TOKEN", "configured-token")
        .start()
        .await;
    let other = lab(&untold, "lab").of("otherhub").start(&app).await;
    let record = lab(&hub, "lab").start(&app).await;
    let told = updated(&hub, 0).await;
    stop(&app, &other).await;
    stop(&app, &record).await;
    updated(&hub, told).await;
    assert!(hub.told_at(PATH).iter().all(|it| it.header("authorization") == Some("token configured-token")));
    assert!(untold.told_at(PATH).is_empty());

    // A file comes first, and is read anew each time.
    let file = app.path("flavors-token");
    std::fs::write(&file, "token-of-a-file\n").unwrap();
    let path = file.clone();
    app.edit_config(move |config| config["outpost"]["jupyterhub"]["flavors_update_token_file"] = json!(path));
    app.app().reloader.reload();
    let record = lab(&hub, "again").start(&app).await;
    // What was on its way before may still come with the old one.
    let is_of_the_file = |it: &Told| it.header("authorization") == Some("token token-of-a-file");
    let first =
        eventually("an update with the token of the file", async || hub.told_at(PATH).iter().position(is_of_the_file))
            .await;
    let told = hub.told_at(PATH).len();
    stop(&app, &record).await;
    updated(&hub, told).await;
    assert!(hub.told_at(PATH)[first..].iter().all(is_of_the_file));
    app.end().await;
}

#[tokio::test]
async fn one_update_is_under_way_at_a_time_and_what_changed_meanwhile_is_one_more() {
    let hub = HubReceiver::start().await;
    let app = TestApp::start().await;
    let start = |name| lab(&hub, name).with("JUPYTERHUB_FLAVORS_UPDATE_TOKEN", "flavtok");
    let first = start("a").start(&app).await;
    updated(&hub, 0).await;
    serves(&app, &first).await;
    // For as short as can be: at its own time-out the request is over.
    hub.hold(PATH);
    let second = start("b").start(&app).await;
    eventually("an update is held", async || (hub.held_at_once() > 0).then_some(())).await;
    let told = hub.told_at(PATH).len();
    stop(&app, &first).await;
    assert_eq!(hub.told_at(PATH).len(), told, "the hub has not answered yet");
    hub.release();
    updated(&hub, told).await;
    assert_eq!(hub.held_at_once(), 1);
    stop(&app, &second).await;
    app.end().await;
}

#[tokio::test]
async fn a_hub_that_refuses_or_is_away_is_not_in_the_way_and_only_the_latest_counts() {
    let hub = HubReceiver::start().await;
    hub.answer(PATH, 500);
    let app = TestApp::start().await;
    let start = |name| lab(&hub, name).with("JUPYTERHUB_FLAVORS_UPDATE_TOKEN", "flavtok");
    let record = start("lab").start(&app).await;
    let failed = r#"k8smgr_flavor_updates_total{credential="jupyterhub",outcome="failed"}"#;
    for attempt in 1..=4 {
        eventually("it is tried again", async || {
            app.clock.advance(std::time::Duration::from_secs(1));
            (counter(&app, failed).await >= attempt).then_some(())
        })
        .await;
    }
    hub.answer(PATH, 403);
    stop(&app, &record).await;
    let refused = r#"k8smgr_flavor_updates_total{credential="jupyterhub",outcome="refused"}"#;
    eventually("it refuses", async || (counter(&app, refused).await >= 1).then_some(())).await;
    hub.answer(PATH, 200);
    let before = hub.told_at(PATH).len();
    let record = start("again").start(&app).await;
    updated(&hub, before).await;
    stop(&app, &record).await;
    app.end().await;
}

#[tokio::test]
async fn of_several_replicas_the_leader_alone_tells_and_of_the_others_starts_too() {
    let server = PostgresServer::start().await;
    let url = server.create_database("k8smgr").await;
    let hub = HubReceiver::start().await;
    let app = TestApp::builder()
        .database(&url)
        .edit(|config| {
            config["leader_election"] = json!({"lease_seconds": 2});
            config["http"]["shutdown_delay_seconds"] = json!(0);
        })
        .start()
        .await;
    let other = k8smgr::app::App::start(app.settings()).await.unwrap();
    app.app().leader.resign().await;
    eventually("the other one leads", async || other.leader.status().leading.then_some(())).await;
    // The one that takes it does not lead, and the one that leads has not heard of the token.
    let record = lab(&hub, "lab").with("JUPYTERHUB_FLAVORS_UPDATE_TOKEN", "flavtok").start(&app).await;
    let told = updated(&hub, 0).await;
    stop(&app, &record).await;
    updated(&hub, told).await;
    assert!(hub.told_at(PATH).iter().all(|it| it.header("authorization") == Some("token flavtok")));
    other.shut_down().await.unwrap();
    app.end().await;
}
