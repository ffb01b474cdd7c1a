//! Services of a flavor with a `runtime` are stopped when it is over, whichever process sees it.

use std::time::Duration;

use k8smgr::domain::{Credential, ServiceRecord, ServiceState};

use crate::support::hub_receiver::HubReceiver;
use crate::support::turns::alone;
use crate::*;

const BRIEF: &str = "flavors:\n  brief: {max: 5, runtime: {hours: 2}, warn_minutes: 10}\n  long: {max: 5}\n";

fn looking_often(builder: TestAppBuilder) -> TestAppBuilder {
    builder.edit(|config| config["end_date_check_seconds"] = json!(1))
}

async fn records(app: &TestApp) -> Vec<ServiceRecord> {
    app.app().store.services_of(&Credential::parse("hub1").unwrap()).await.unwrap()
}

async fn is_gone(app: &TestApp, name: &str) {
    eventually(&format!("{name} is gone"), async || {
        let answer = ask(app, HUB1, &format!("/services/{name}/s")).await;
        (answer.status == 404).then(|| answer.assert(404, r#"{"detail":"Item not found"}"#))
    })
    .await;
}

#[tokio::test]
async fn a_service_is_stopped_when_its_time_is_over_and_not_before() {
    let _alone = alone();
    let flavors = format!("{BRIEF}  shorter: {{max: 5, runtime: {{minutes: 116}}}}\n");
    let app = start(looking_often(hubs()), Some(&flavors)).await;
    let before = app.clock.now();
    assert_eq!(start_server(&app, HUB1, "e1", "brief", 7).await.status, 200);
    assert_eq!(start_server(&app, HUB1, "e2", "long", 7).await.status, 200);
    assert_eq!(start_server(&app, HUB1, "e3", "shorter", 7).await.status, 200);
    let listed = ask(&app, HUB1, "/services/").await.value();
    let ends: Vec<_> = listed.as_array().unwrap().iter().map(|it| it["end_date"].as_str().unwrap()).collect();
    assert_eq!(ends[1], "9999-12-31T23:59:59.999999");
    let record = records(&app).await.remove(0);
    let ends_at = record.ends_at.unwrap();
    let runtime = ends_at.duration_since(before);
    assert!(runtime.as_secs() >= 7200 && runtime.as_secs() < 7260, "{runtime}");
    assert!(ends[0].starts_with(&ends_at.strftime("%Y-%m-%dT%H:%M:%S").to_string()), "{}", ends[0]);
    // Once it was seen, only time that goes by ends it.
    eventually("its end was looked at", async || {
        let page = app.send(&Request::get("/metrics")).await.body;
        page.lines().any(|it| it == "k8smgr_services_with_end_date 2").then_some(())
    })
    .await;
    app.clock.advance(Duration::from_secs(7200 - 300));
    app.clock.set_wall_clock_by(jiff::SignedDuration::from_hours(24));
    // A look after the jump ends this one, and has passed by the other, which is older.
    app.clock.advance(Duration::from_secs(90));
    is_gone(&app, "e3").await;
    ask(&app, HUB1, "/services/e1/s").await.assert(200, r#"{"status":null,"logs":[]}"#);
    app.clock.advance(Duration::from_secs(600));
    is_gone(&app, "e1").await;
    app.cluster.nothing_of("e1-s").await;
    ask(&app, HUB1, "/services/e2/s").await.assert(200, r#"{"status":null,"logs":[]}"#);
    ask(&app, HUB1, "/flavors").await.assert(
        200,
        concat!(
            r#"{"long":{"max":5,"current":1},"brief":{"max":5,"runtime":{"hours":2},"warn_minutes":10,"current":0},"#,
            r#""shorter":{"max":5,"runtime":{"minutes":116},"current":0}}"#,
        ),
    );
    stop_all(&app).await;
    app.end().await;
}

#[tokio::test]
async fn the_time_of_a_server_counts_from_when_it_is_up() {
    let mut app = prepare(hubs(), Some(BRIEF)).await;
    let slow = SERVER.replace("x/run:1", "x/slow:1");
    describe(&app.path("descriptions"), "hub1/Server", &[("service.yaml.hbs", &slow)]);
    app.start_process().await;
    let start = post(&body("e1", Some("brief"), 7)).header("execution-type", "async");
    assert_eq!(app.send_as(HUB1, start).await.status, 202);
    let pod = app.cluster.pod_in_phase("pod-", "Pending").await;
    let noted = eventually("everything is made", async || {
        let record = records(&app).await.remove(0);
        (record.state == ServiceState::Running).then_some(record.ends_at.unwrap())
    })
    .await;
    let half_an_hour = Duration::from_secs(1800);
    app.clock.advance(half_an_hour);
    assert_eq!(records(&app).await.remove(0).ends_at, Some(noted));
    let status = json!({
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{
            "name": "main", "image": "x/slow:1", "imageID": "", "ready": true, "restartCount": 0,
            "state": {"running": {"startedAt": "2026-11-20T12:00:00Z"}},
        }],
    });
    app.cluster.set_pod_status(&pod, status).await;
    let ends_at =
        eventually("it has another end", async || records(&app).await.remove(0).ends_at.filter(|it| *it != noted))
            .await;
    assert!(ends_at >= noted + half_an_hour, "{ends_at}, {noted} before");
    // Asked for again, it has no more time.
    assert_eq!(start_server(&app, HUB1, "e1", "brief", 7).await.status, 200);
    assert_eq!(records(&app).await.remove(0).ends_at, Some(ends_at));
    stop_all(&app).await;
    app.end().await;
}

#[tokio::test]
async fn what_is_over_while_nothing_runs_is_stopped_afterwards() {
    let mut app = start(looking_often(hubs()), Some(BRIEF)).await;
    assert_eq!(start_server(&app, HUB1, "e1", "brief", 7).await.status, 200);
    app.stop_process().await;
    app.clock.advance(Duration::from_secs(3 * 3600));
    app.start_process().await;
    is_gone(&app, "e1").await;
    nothing_is_left(&app).await;
    app.end().await;
}

#[tokio::test]
async fn nothing_is_stopped_where_nobody_looks() {
    let mut app = prepare(looking_often(hubs()), Some(BRIEF)).await;
    app.set_variable("CHECK_ENDDATES", "false");
    app.start_process().await;
    assert_eq!(start_server(&app, HUB1, "e1", "brief", 7).await.status, 200);
    app.clock.advance(Duration::from_secs(3 * 3600));
    // A restart would find it, too.
    app.restart().await;
    ask(&app, HUB1, "/services/e1/s").await.assert(200, r#"{"status":null,"logs":[]}"#);
    app.set_variable("CHECK_ENDDATES", "true");
    app.restart().await;
    is_gone(&app, "e1").await;
    app.end().await;
}

#[tokio::test]
async fn a_user_is_warned_once_before_the_end() {
    let hub = HubReceiver::start().await;
    let app = start(looking_often(hubs()), Some(BRIEF)).await;
    let mut start = body("e1", Some("brief"), 7);
    let events = hub.url("/hub/api/users/progress/events/ann/e1");
    start["env"]["JUPYTERHUB_EVENTS_URL"] = json!(events);
    start["env"]["JUPYTERHUB_API_URL"] = json!(hub.url("/hub/api"));
    start["env"]["JUPYTERHUB_API_TOKEN"] = json!("canary-token");
    assert_eq!(app.send_as(HUB1, post(&start)).await.status, 200);
    let warnings = || {
        let is_warning = |it: &Value| it["message"].as_str().is_some_and(|it| it.contains("will be stopped"));
        hub.told_at("/hub/api/users/progress/events/ann/e1")
            .iter()
            .map(|it| it.json())
            .filter(is_warning)
            .collect::<Vec<_>>()
    };
    assert!(warnings().is_empty());
    app.clock.advance(Duration::from_secs(7200 - 300));
    let warned = eventually("the warning is there", async || warnings().into_iter().next()).await;
    let text = warned["message"].as_str().unwrap();
    assert!(text.starts_with("This server will be stopped in 5 minutes ("), "{text}");
    assert_eq!(warned["failed"], false);
    app.clock.advance(Duration::from_secs(600));
    is_gone(&app, "e1").await;
    assert_eq!(warnings().len(), 1);
    app.end().await;
}
