//! The notices that hubs are sent at a start: `startup.first.*`, `startup.second.*`, `startup.sinkdown.log`.

use serde_json::Value;

use crate::coverage::scenario;
use crate::support::app::TestApp;
use crate::support::hub_receiver::HubReceiver;
use crate::support::json::Json;
use crate::support::records::{Claims, Record};
use crate::support::wait::eventually;
use crate::support::wire::Request;

pub const CLAIMS: Claims = &["startup.first.*", "startup.second.*", "startup.sinkdown.log"];

/// What is the client library's own.
const OF_THE_LIBRARY: [&str; 4] = ["user-agent", "accept-encoding", "accept", "connection"];
const RECORDED_SINK: &str = "127.0.0.1:18099";

#[tokio::test]
async fn hubs_are_sent_what_the_reference_sends() {
    let records = scenario("restart_notices");
    let first = records.record("startup.first.requests");
    let hub = HubReceiver::start().await;
    hub.answer("/fail500/", 500);
    let tunnel = first.whole.member("tunnel").to_text().replace(RECORDED_SINK, &hub.address.to_string());
    let tunnel: Value = serde_json::from_str(&tunnel).unwrap();
    let mut app = TestApp::builder()
        .edit(move |config| config["tunnel"] = tunnel)
        .variable("TUNNELSVC_K8SMGR_USER_PASSWORD", "tunnelpw")
        .variable("OWN_TUNNEL_CRED", "Bearer own-token")
        .start()
        .await;
    assert_same(first, &hub, 0).await;

    // Without credentials and without a URL: no request. One that fails is asked again, and holds nothing up.
    records.record("startup.first.log");
    assert!(hub.told_at("/never/").is_empty());
    hub.answer("/fail500/", 200);
    app.clock.advance(std::time::Duration::from_secs(15));
    nothing_is_owed(&app).await;

    hub.answer("/fail500/", 500);
    app.set_variable("STAGE", "staging");
    let before = hub.told().len();
    app.restart().await;
    assert_same(records.record("startup.second.requests"), &hub, before).await;
    records.record("startup.second.log");

    // Nobody listens: the server starts, and tells it when it can.
    app.stop_process().await;
    hub.be_away(true);
    app.start_process().await;
    records.record("startup.sinkdown.log");
    assert_eq!(app.send(&Request::get("/api/health/")).await.status, 200);
    eventually("it was tried", async || (hub.missed() > 0).then_some(())).await;
    hub.be_away(false);
    hub.answer("/fail500/", 200);
    app.clock.advance(std::time::Duration::from_secs(15));
    nothing_is_owed(&app).await;
    drop(records);
    app.end().await;
}

async fn nothing_is_owed(app: &TestApp) {
    eventually("all hubs were told", async || app.app().store.owed_notices().await.unwrap().is_empty().then_some(()))
        .await;
}

/// In any order: hubs are told at the same time.
async fn assert_same(record: &Record, hub: &HubReceiver, before: usize) {
    let recorded = record.whole.member("requests").items();
    hub.has(before + recorded.len()).await;
    let told = &hub.told()[before..];
    for request in recorded {
        let path = request.member("path").text();
        let ours = told.iter().find(|it| it.path == path).unwrap_or_else(|| panic!("{}: nothing at {path}", record.id));
        assert_eq!((ours.method.as_str(), ours.body.as_str()), ("POST", request.member("body").text()), "{path}");
        let header = |pair: &Json| (pair.items()[0].text().to_lowercase(), pair.items()[1].text().to_owned());
        let plain = |headers: Vec<(String, String)>| -> std::collections::BTreeSet<_> {
            headers.into_iter().filter(|(name, _)| !OF_THE_LIBRARY.contains(&name.as_str())).collect()
        };
        let recorded = request
            .member("headers")
            .items()
            .iter()
            .map(header)
            .map(|(name, value)| (name, value.replace(RECORDED_SINK, &hub.address.to_string())));
        assert_eq!(plain(ours.headers.clone()), plain(recorded.collect()), "{path}");
    }
}
