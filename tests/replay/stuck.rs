//! Services that wait for what does not come: they run until the grace period is over, then they do not.

use serde_json::{Value, json};

use crate::coverage::scenario;
use crate::support::app::TestApp;
use crate::support::compare::masked;
use crate::support::json::Json;
use crate::support::records::{Claims, Record};
use crate::support::wait::eventually;
use crate::support::wire::Answer;

pub const CLAIMS: Claims = &["st.pullfail.*", "st.loop.*"];

fn grace(config: &mut Value, seconds: u64) {
    config["services"]["status_information"]["fatal_grace_seconds"] = json!(seconds);
}

#[tokio::test]
async fn a_waiting_reason_that_cannot_heal_fails_after_the_grace_period() {
    let mut app = TestApp::builder().grace_seconds(3600).start().await;
    let records = scenario("stuck");

    app.same(records.record("st.pullfail.post")).await;
    app.same(records.record("st.loop.post")).await;
    app.cluster.pod_in_phase("depl-pullfail-", "Pending").await;
    let looping = app.cluster.pod_in_phase("depl-loop-", "Pending").await;
    let waiting = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}});
    let main = json!({
        "name": "main", "image": "x/slow:1", "imageID": "", "ready": false, "restartCount": 3, "state": waiting,
    });
    app.cluster.set_pod_status(&looping, json!({"phase": "Running", "containerStatuses": [main]})).await;
    app.cluster.delete_events(&looping).await;

    let (pull, back_off) = (records.record("st.pullfail.get"), records.record("st.loop.get"));
    for record in [pull, back_off] {
        let answer = app.differs(record, 200).await;
        assert!(answer.body.ends_with(r#""running":true}"#), "{}", answer.body);
    }

    app.edit_config(|config| grace(config, 1));
    app.restart().await;
    let answer = ends(&app, pull).await;
    let recorded = record_body(pull);
    assert_eq!(masked(answer.json()).to_text(), recorded, "the very details that were recorded");

    let answer = ends(&app, back_off).await;
    let details = answer.json().member("details").clone();
    assert_eq!(details.member("error").text(), "Service cannot start");
    assert_eq!(details.member("detailed_error").text(), "<details><summary>Events</summary></details>");
    // It stays explained as it was, also when there is nothing to read any more.
    let later = app.differs(records.record("st.loop.noevents"), 200).await;
    assert_eq!(later.body, answer.body);
    drop(records);
    app.end().await;
}

fn record_body(record: &Record) -> String {
    masked(record.get("response").unwrap().member("body").clone()).to_text()
}

async fn ends(app: &TestApp, record: &Record) -> Answer {
    eventually(&format!("{} says running: false", record.id), async || {
        let answer = app.send(&record.request()).await;
        (answer.json().member("running") == &Json::Bool(false)).then_some(answer)
    })
    .await
}
