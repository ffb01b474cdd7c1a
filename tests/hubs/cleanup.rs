//! Hubs' own lists of their servers, held against what runs here.

use std::time::Duration;

use k8smgr::domain::ServiceRecord;
use serde_json::json;

use crate::support::app::{TestApp, TestAppBuilder};
use crate::support::hub_receiver::HubReceiver;
use crate::support::outpost_start::{OutpostStart, counted_before, counter, is_gone, runs, serves};
use crate::support::turns::alone;
use crate::support::wait::eventually;

const LIST: &str = "/hub/api/servers";
const OUTCOMES: [&str; 4] = ["compared", "unconfirmed", "refused", "failed"];
const HUBS: [&str; 2] = ["jupyterhub", "otherhub"];
const UNLISTED: &str = "k8smgr_unlisted_services_total";

fn with_hubs(first: &HubReceiver, second: &HubReceiver) -> TestAppBuilder {
    TestApp::builder()
        .variable("JUPYTERHUB_CLEANUP_NAMES", "jupyterhub;otherhub")
        .variable("JUPYTERHUB_CLEANUP_URLS", &format!("{};{}", first.url(LIST), second.url(LIST)))
        .variable("JUPYTERHUB_CLEANUP_TOKENS", "clean-first;clean-second")
}

fn counter_of(credential: &str, outcome: &str) -> String {
    format!(r#"k8smgr_hub_lists_total{{credential="{credential}",outcome="{outcome}"}}"#)
}

async fn looks(app: &TestApp, credential: &str) -> Vec<u64> {
    let mut counts = Vec::new();
    for outcome in OUTCOMES {
        counts.push(counter(app, &counter_of(credential, outcome)).await);
    }
    counts
}

/// How often each hub was looked at before this test.
fn looks_before() -> [u64; 2] {
    HUBS.map(|hub| OUTCOMES.iter().map(|outcome| counted_before(&counter_of(hub, outcome))).sum())
}

/// Lets half an hour go by, and gives what came of the look at each hub's list.
async fn look(app: &TestApp) -> Vec<&'static str> {
    look_in(app, 1801).await
}

async fn look_in(app: &TestApp, seconds: u64) -> Vec<&'static str> {
    let mut before = Vec::new();
    for hub in HUBS {
        before.push(looks(app, hub).await);
    }
    app.clock.advance(Duration::from_secs(seconds));
    let mut found = Vec::new();
    for (hub, before) in HUBS.iter().zip(&before) {
        let outcome = eventually("its list is looked at", async || {
            let now = looks(app, hub).await;
            (0..OUTCOMES.len()).find(|it| now[*it] > before[*it]).map(|it| OUTCOMES[it])
        });
        found.push(outcome.await);
    }
    found
}

/// The first look was at the very beginning.
async fn has_looked(app: &TestApp, before: [u64; 2]) {
    for (hub, before) in HUBS.iter().zip(before) {
        eventually("the first look", async || (looks(app, hub).await.iter().sum::<u64>() > before).then_some(())).await;
    }
}

async fn start(app: &TestApp, credential: &str, name: &str) -> ServiceRecord {
    let hub = HubReceiver::start().await;
    let record = OutpostStart::new(&hub, name, "t").of(credential).start(app).await;
    serves(app, &record).await;
    record
}

fn listing(entries: &[&str]) -> String {
    json!(entries).to_string()
}

#[tokio::test]
async fn what_two_lists_of_its_own_hub_lack_is_stopped_and_nothing_of_a_hub_that_answers_wrongly() {
    let (_alone, before) = (alone(), looks_before());
    let (good, wrong) = (HubReceiver::start().await, HubReceiver::start().await);
    good.answer_with(LIST, 200, &listing(&["7_known_s1", "8_elsewhere_x"]));
    wrong.answer(LIST, 500);
    let unlisted_before = counted_before(UNLISTED);
    let app = with_hubs(&good, &wrong).start().await;
    has_looked(&app, before).await;
    let known = start(&app, "jupyterhub", "known").await;
    let lost = start(&app, "jupyterhub", "lost").await;
    // The same name and start id at another hub; the other protocol, which no list names.
    let others = start(&app, "otherhub", "lost").await;
    assert_eq!(app.start_service("jupyterhub:jhubpw", "plain", "s1", "JupyterLab/Run").await.status, 201);

    assert_eq!(look(&app).await, ["compared", "failed"]);
    assert!(runs(&app, &lost).await, "once is not enough");
    let answers = [
        (200, "<html>", "refused"),
        (200, r#"{"servers": []}"#, "refused"),
        (200, r#"["lab"]"#, "refused"),
        (200, r#"["7_known_s1"]"#, "refused"),
        (302, "[]", "failed"),
        (204, "", "failed"),
        (401, "[]", "failed"),
    ];
    for (status, body, outcome) in answers {
        wrong.answer_with(LIST, status, body);
        assert_eq!(look(&app).await, ["compared", outcome], "{status} {body}");
    }
    is_gone(&app, &lost).await;
    wrong.be_away(true);
    assert_eq!(look(&app).await, ["compared", "failed"]);
    assert!(runs(&app, &known).await && runs(&app, &others).await);
    assert_eq!(app.get("jupyterhub:jhubpw", "plain").await.value()["running"], true);
    assert_eq!(counter(&app, UNLISTED).await - unlisted_before, 1);

    for (hub, token) in [(&good, "token clean-first"), (&wrong, "token clean-second")] {
        for request in hub.told() {
            assert_eq!((request.method.as_str(), request.path.as_str()), ("GET", LIST));
            assert_eq!(request.header("authorization"), Some(token));
            assert_eq!(request.header("accept"), Some("application/json"));
        }
    }
    app.end().await;
}

#[tokio::test]
async fn an_empty_list_has_to_be_confirmed_and_is_doubted_while_the_hub_begins_servers() {
    let (_alone, before) = (alone(), looks_before());
    let (hub, other) = (HubReceiver::start().await, HubReceiver::start().await);
    other.answer_with(LIST, 200, "[]");
    hub.answer_with(LIST, 200, "[]");
    let app = with_hubs(&hub, &other).start().await;
    has_looked(&app, before).await;
    let first = start(&app, "jupyterhub", "first").await;
    assert_eq!(look(&app).await, ["unconfirmed", "compared"]);
    // Each time one is young, so that the hub shows that it lives.
    for name in ["second", "third"] {
        app.clock.advance(Duration::from_secs(900));
        start(&app, "jupyterhub", name).await;
        assert_eq!(look_in(&app, 901).await, ["unconfirmed", "compared"]);
    }
    assert_eq!(look(&app).await, ["compared", "compared"], "it counts");
    assert!(runs(&app, &first).await, "once is not enough");
    assert_eq!(look(&app).await, ["compared", "compared"]);
    is_gone(&app, &first).await;
    app.end().await;
}

#[tokio::test]
async fn the_lists_are_not_looked_at_where_that_is_switched_off() {
    let _alone = alone();
    let (hub, other) = (HubReceiver::start().await, HubReceiver::start().await);
    let app = with_hubs(&hub, &other).variable("CHECK_SERVICES", "false").start().await;
    let record = start(&app, "jupyterhub", "lab").await;
    app.clock.advance(Duration::from_secs(7200));
    serves(&app, &record).await;
    assert!(runs(&app, &record).await);
    app.end().await;
    assert!(hub.told().is_empty() && other.told().is_empty());
}
