//! The database away, slow, locked or full, and how seldom it is asked. A file a subject.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod counted;
mod deleted_user;
mod locked;
mod outage;
mod replicas;
mod unwritable;

use support::app::{JUPYTERHUB, TestApp};
use support::json::Json;
use support::wait::eventually;
use support::wire::Answer;

const RUN: &str = "JupyterLab/Run";
const CRASH: &str = "JupyterLab/Crash";

fn running(answer: &Answer) -> bool {
    assert_eq!(answer.status, 200, "{}", answer.body);
    match answer.json().member("running") {
        Json::Bool(running) => *running,
        other => panic!("{other:?}"),
    }
}

/// Starts a service and waits for its pod. Gives the answer to a poll.
async fn started(app: &TestApp, name: &str) -> String {
    let started = app.start_service(JUPYTERHUB, name, "s1", RUN).await;
    assert_eq!(started.status, 201, "{}", started.body);
    app.cluster.pod_in_phase(&format!("depl-{name}-s1-"), "Running").await;
    format!(r#"{},"running":true}}"#, started.body.trim_end_matches('}'))
}

/// Waits until the service is told to be over.
async fn ends(app: &TestApp, name: &str) -> Answer {
    eventually(&format!("{name} says running: false"), async || {
        let answer = app.get(JUPYTERHUB, name).await;
        (!running(&answer)).then_some(answer)
    })
    .await
}

/// A start that fails for the database's sake: told as every failed start, and nothing is left of it.
async fn fails_to_start(app: &TestApp, name: &str) {
    let refused = app.start_service(JUPYTERHUB, name, "s1", RUN).await;
    assert_eq!(refused.status, 500, "{}", refused.body);
    assert_eq!(refused.json().member("error").text(), "Custom start error");
    let reason = refused.json().member("detailed_error").text().to_owned();
    assert!(reason == "the database failed" || reason.contains("took too long"), "{reason}");
    app.cluster.nothing_of(name).await;
}
