//! The API server is away for a while: `outage.*`.

use std::time::{Duration, Instant};

use crate::coverage::scenario;
use crate::support::app::{JUPYTERHUB, TestApp};
use crate::support::compare::masked;
use crate::support::json::Json;
use crate::support::records::Claims;
use crate::support::wait::eventually_within;

pub const CLAIMS: Claims = &["outage.*"];

/// A hub gives up after 20 s.
const ANSWERED_WITHIN: Duration = Duration::from_secs(20);

#[tokio::test]
async fn an_outage_ends_no_service_and_forgets_no_stop() {
    let app = TestApp::start().await;
    let records = scenario("outage");
    let started = app.same(records.record("outage.out.post")).await;
    app.cluster.pod_in_phase("depl-out-", "Running").await;
    let running = format!(r#"{},"running":true}}"#, started.body.trim_end_matches('}'));
    app.get(JUPYTERHUB, "out").await.assert(200, &running);
    let Some(faults) = app.cluster.faults() else {
        // Nobody can order an outage of a real cluster.
        records.rest();
        return app.end().await;
    };

    faults.down(true);
    app.differs_with(records.record("outage.out.get"), 200, &running).await;

    let begin = Instant::now();
    let refused = app.differs(records.record("outage.post"), 500).await;
    assert!(begin.elapsed() < ANSWERED_WITHIN, "{:?}", begin.elapsed());
    assert_eq!(refused.json().member("error").text(), "Custom start error");
    assert!(!app.path("services/out2-s0000001").exists());

    // What Kubernetes says is volatile, here that it says nothing.
    let update = records.record("outage.put");
    let answer = app.send(&update.request()).await;
    let mut expected = update.get("response").unwrap().member("body").clone();
    expected.set("detailed_error", answer.json().member("detailed_error").clone());
    assert_eq!((answer.status, answer.json()), (update.status(), expected));
    assert!(!answer.json().member("detailed_error").text().is_empty());

    let begin = Instant::now();
    app.differs_with(records.record("outage.delete"), 204, "").await;
    assert!(begin.elapsed() < ANSWERED_WITHIN, "{:?}", begin.elapsed());
    let pending = app.get(JUPYTERHUB, "out").await;
    assert!(pending.body.ends_with(r#""stop_pending":true,"running":false}"#), "{}", pending.body);

    faults.down(false);
    app.cluster.nothing_of("").await;
    // What was asked for and not confirmed may still come, so the failed start is remembered for a minute.
    eventually_within(Duration::from_secs(100), "both services are forgotten", async || {
        (masked(app.list(JUPYTERHUB).await.json()) == Json::List(Vec::new())).then_some(())
    })
    .await;
    assert!(app.names_in("services").is_empty());
    drop(records);
    app.end().await;
}
