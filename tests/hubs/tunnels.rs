//! Tunnels that hubs are asked for after a restart.

use std::time::Duration;

use serde_json::json;

use crate::support::app::{TestApp, TestAppBuilder};
use crate::support::hub_receiver::HubReceiver;
use crate::support::outpost_start::{OutpostStart, counter, serves};
use crate::support::wait::eventually;

fn switched_on() -> TestAppBuilder {
    TestApp::builder().edit(|config| config["outpost"] = json!({"jupyterhub": {"tunnels_at_restart": true}}))
}

fn lab<'a>(hub: &HubReceiver, name: &'a str, token: &str) -> OutpostStart<'a> {
    let url = hub.url(&format!("/hub/api/users/setuptunnel/ann/{name}"));
    OutpostStart::new(hub, name, token).with("JUPYTERHUB_SETUPTUNNEL_URL", &url)
}

async fn nothing_is_owed(app: &TestApp) {
    eventually("nothing is owed", async || app.app().store.owed_notices().await.ok()?.is_empty().then_some(())).await;
}

fn tunnels(hub: &HubReceiver) -> Vec<(String, String, String)> {
    let told = hub.told().into_iter().filter(|it| it.path.contains("/setuptunnel/"));
    let mut found: Vec<_> = told
        .map(|it| {
            let token = it.header("authorization").unwrap_or_default().to_owned();
            (it.path.rsplit('/').next().unwrap().to_owned(), token, it.body)
        })
        .collect();
    found.sort();
    found
}

#[tokio::test]
async fn each_server_s_tunnel_is_asked_for_once_a_restart_by_its_own_token() {
    let hub = HubReceiver::start().await;
    let mut app = switched_on().start().await;
    let mut expected = Vec::new();
    for (name, token) in [("ta", "tokA"), ("tb", "tokB"), ("tc", "tokC")] {
        let record = lab(&hub, name, token).start(&app).await;
        serves(&app, &record).await;
        let service = record.objects.iter().find(|it| it.kind == "Service").unwrap();
        let namespace = service.namespace.as_deref().unwrap();
        let address = format!("http://{}.{namespace}.svc.cluster.local:", service.name);
        expected.push((name.to_owned(), format!("token {token}"), address));
    }
    // No URL, and no token; another hub's, where it is not switched on; the other protocol's.
    let without_url = OutpostStart::new(&hub, "td", "tokD").start(&app).await;
    let without_token = lab(&hub, "te", "").start(&app).await;
    let other = lab(&hub, "tf", "tokF").of("otherhub").start(&app).await;
    for record in [&without_url, &without_token, &other] {
        serves(&app, record).await;
    }
    nothing_is_owed(&app).await;
    assert_eq!(tunnels(&hub), [], "they were made since");

    for round in 1..=2 {
        app.restart().await;
        eventually("all are asked for", async || (tunnels(&hub).len() >= 3 * round).then_some(())).await;
        nothing_is_owed(&app).await;
        let mut told = tunnels(&hub);
        assert_eq!(told.len(), 3 * round);
        told.dedup();
        for ((name, token, body), (its_name, its_token, address)) in told.iter().zip(&expected) {
            assert_eq!((name, token), (its_name, its_token));
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(body.as_object().unwrap().len(), 1);
            let port = body["service"].as_str().unwrap().strip_prefix(address.as_str());
            assert!(port.is_some_and(|it| it.parse::<u16>().is_ok()), "{body} instead of {address}");
        }
    }
    app.end().await;
}

#[tokio::test]
async fn a_hub_that_fails_is_asked_five_times_and_one_that_refuses_once() {
    let hub = HubReceiver::start().await;
    hub.answer("/hub/api/users/setuptunnel/ann/fails", 500);
    hub.answer("/hub/api/users/setuptunnel/ann/refuses", 400);
    let mut app = switched_on().start().await;
    let mut records = Vec::new();
    for name in ["fails", "refuses"] {
        let record = lab(&hub, name, "t").start(&app).await;
        serves(&app, &record).await;
        records.push(record);
    }
    app.restart().await;
    // Until its pod is seen again, no hub is asked: attempts would go by.
    for record in &records {
        serves(&app, record).await;
    }
    let failed = r#"k8smgr_tunnels_total{credential="jupyterhub",outcome="failed"}"#;
    for attempt in 1..=5 {
        eventually("it is asked again", async || {
            app.clock.advance(Duration::from_secs(10));
            (counter(&app, failed).await >= attempt).then_some(())
        })
        .await;
    }
    nothing_is_owed(&app).await;
    let asked = |name: &str| tunnels(&hub).iter().filter(|it| it.0 == name).count();
    assert_eq!(asked("refuses"), 1);
    assert!((1..=5).contains(&asked("fails")), "{}", asked("fails"));
    app.end().await;
}

#[tokio::test]
async fn a_hub_that_hangs_is_in_no_other_one_s_way() {
    let (hangs, other) = (HubReceiver::start().await, HubReceiver::start().await);
    let mut app = TestApp::builder()
        .edit(|config| {
            let hub = json!({"tunnels_at_restart": true});
            config["outpost"] = json!({"jupyterhub": hub, "otherhub": hub});
        })
        .start()
        .await;
    let names: Vec<_> = (0..9).map(|it| format!("lab{it}")).collect();
    for name in &names {
        let record = lab(&hangs, name, "t").start(&app).await;
        serves(&app, &record).await;
    }
    let record = lab(&other, "lab", "t").of("otherhub").start(&app).await;
    serves(&app, &record).await;
    nothing_is_owed(&app).await;
    hangs.hold("/hub/api/users/setuptunnel/");
    app.restart().await;
    eventually("the other hub is asked", async || (!tunnels(&other).is_empty()).then_some(())).await;
    eventually("as many as may be are under way", async || (hangs.held_at_once() >= 8).then_some(())).await;
    hangs.release();
    nothing_is_owed(&app).await;
    let mut asked: Vec<_> = tunnels(&hangs).into_iter().map(|it| it.0).collect();
    asked.dedup();
    assert_eq!((asked, hangs.held_at_once()), (names, 8));
    app.end().await;
}

#[tokio::test]
async fn nobody_is_asked_where_it_is_not_switched_on() {
    let hub = HubReceiver::start().await;
    let mut app = TestApp::start().await;
    let record = lab(&hub, "lab", "t").start(&app).await;
    serves(&app, &record).await;
    app.restart().await;
    serves(&app, &record).await;
    assert_eq!(tunnels(&hub), []);

    // From here on it is, and while the hub has not answered the database says of how many starts it is owed.
    hub.hold("/hub/api/users/setuptunnel/");
    app.edit_config(|config| config["outpost"] = json!({"jupyterhub": {"tunnels_at_restart": true}}));
    app.restart().await;
    eventually("it is asked for", async || (tunnels(&hub).len() == 1).then_some(())).await;
    let owed = app.app().store.owed_notices().await.unwrap();
    assert_eq!(owed, [("outpost-tunnels".to_owned(), 1)], "of the starts before nothing was owed");
    hub.release();
    nothing_is_owed(&app).await;
    app.end().await;
}
