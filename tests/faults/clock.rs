//! The wall clock jumps, by an hour and by a year, forwards and backwards. Nothing ends for it and nothing stays.

use std::time::Duration;

use jiff::SignedDuration;
use local_cluster::{Fault, FaultRule};
use serde_json::json;

use crate::support::app::{JUPYTERHUB, TestApp};
use crate::support::json::Json;
use crate::support::wait::eventually;

const RUN: &str = "JupyterLab/Run";
const JUMPS_HOURS: [i64; 4] = [1, -1, 8760, -8760];

async fn running(app: &TestApp, name: &str) -> bool {
    let answer = app.get(JUPYTERHUB, name).await;
    assert_eq!(answer.status, 200, "{name}: {}", answer.body);
    answer.json().member("running") == &Json::Bool(true)
}

fn down(app: &TestApp, down: bool) {
    if let Some(faults) = app.cluster.faults() {
        faults.down(down);
    }
}

#[tokio::test]
async fn jumps_of_the_clock_end_nothing_and_hold_nothing_up() {
    // The grace periods are longer than the test, and shorter than the jumps.
    let app = TestApp::builder().grace_seconds(600).start().await;
    assert_eq!(app.start_service(JUPYTERHUB, "lab", "s1", RUN).await.status, 201);
    assert_eq!(app.start_service(JUPYTERHUB, "stuck", "s1", "JupyterLab/PullFail").await.status, 201);
    assert_eq!(app.start_service(JUPYTERHUB, "ended", "s1", "JupyterLab/Crash").await.status, 201);
    app.cluster.pod_in_phase("depl-lab-s1-", "Running").await;
    eventually("the crash is told", async || (!running(&app, "ended").await).then_some(())).await;
    let explained = app.get(JUPYTERHUB, "ended").await.body;

    for hours in JUMPS_HOURS {
        app.clock.set_wall_clock_by(SignedDuration::from_hours(hours));
        // A stop that recovery has to finish shows that its rounds are made at the usual pace.
        assert_eq!(app.start_service(JUPYTERHUB, "gone", "s1", RUN).await.status, 201);
        if let Some(faults) = app.cluster.faults() {
            let refuse = Fault::Refuse { code: 403, reason: "Forbidden".to_owned() };
            faults.add(FaultRule::new(refuse).verb("delete").name_contains("gone").times(3));
        }
        app.delete(JUPYTERHUB, "gone").await.assert(204, "");
        app.cluster.nothing_of("gone").await;
        eventually("the stopped one is forgotten", async || {
            (app.get(JUPYTERHUB, "gone").await.status == 404).then_some(())
        })
        .await;
        assert!(running(&app, "lab").await && running(&app, "stuck").await, "{hours}");
        app.get(JUPYTERHUB, "ended").await.assert(200, &explained);
        let again = app.start_service(JUPYTERHUB, "lab", "s1", RUN).await;
        assert_eq!(again.status, 201, "the same start is known: {}", again.body);
    }
    // Real time ends what it should.
    app.clock.advance(Duration::from_secs(601));
    eventually("the one that cannot start is told", async || (!running(&app, "stuck").await).then_some(())).await;
    assert!(running(&app, "lab").await);
    app.end().await;
}

#[tokio::test]
async fn a_process_that_comes_back_on_a_wrong_clock_loses_nothing() {
    let mut app = TestApp::start().await;
    assert_eq!(app.start_service(JUPYTERHUB, "lab", "s1", RUN).await.status, 201);
    app.cluster.pod_in_phase("depl-lab-s1-", "Running").await;
    for (number, hours) in [8760, -2 * 8760].into_iter().enumerate() {
        let other = format!("other{number}");
        assert_eq!(app.start_service(JUPYTERHUB, &other, "s1", RUN).await.status, 201);
        down(&app, true);
        app.delete(JUPYTERHUB, &other).await.assert(204, "");
        app.clock.set_wall_clock_by(SignedDuration::from_hours(hours));
        app.restart().await;
        down(&app, false);
        app.cluster.nothing_of(&other).await;
        assert!(running(&app, "lab").await, "{hours}");
    }
    app.end().await;
}

#[tokio::test]
async fn an_explanation_is_kept_for_its_time_by_the_clock_that_cannot_jump() {
    let app = TestApp::builder().edit(|config| config["services"]["ended_ttl_seconds"] = json!(600)).start().await;
    assert_eq!(app.start_service(JUPYTERHUB, "ended", "s1", "JupyterLab/Crash").await.status, 201);
    eventually("the crash is told", async || (!running(&app, "ended").await).then_some(())).await;
    app.clock.set_wall_clock_by(SignedDuration::from_hours(-8760));
    app.clock.advance(Duration::from_secs(601));
    eventually("the explanation has gone", async || (app.get(JUPYTERHUB, "ended").await.status == 404).then_some(()))
        .await;
    app.cluster.nothing_of("ended").await;
    app.end().await;
}
