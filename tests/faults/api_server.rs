//! The API server answers late, wrongly or not at all. Only the embedded cluster can be told to.

use std::time::{Duration, Instant};

use local_cluster::{Fault, FaultRule};

use crate::support::app::{JUPYTERHUB, TestApp};
use crate::support::wait::eventually;

const RUN: &str = "JupyterLab/Run";

#[tokio::test]
async fn a_start_that_breaks_off_in_the_middle_leaves_nothing() {
    let app = TestApp::start().await;
    let Some(faults) = app.cluster.faults() else { return app.end().await };
    for resource in ["secrets", "configmaps", "services", "deployments"] {
        let refuse = Fault::Refuse { code: 403, reason: "Forbidden".to_owned() };
        faults.add(FaultRule::new(refuse).verb("create").resource(resource));
        let refused = app.start_service(JUPYTERHUB, "lab", "s1", RUN).await;
        assert_eq!(refused.status, 500, "{resource}: {}", refused.body);
        assert_eq!(refused.json().member("error").text(), "Custom start error");
        faults.clear();
        app.cluster.nothing_of("").await;
        // A roll-back that takes long goes on after the answer.
        eventually(&format!("{resource}: it is forgotten"), async || {
            let is_forgotten = app.list(JUPYTERHUB).await.body == "[]" && app.names_in("services").is_empty();
            is_forgotten.then_some(())
        })
        .await;
    }
    assert_eq!(app.start_service(JUPYTERHUB, "lab", "s1", RUN).await.status, 201);
    app.end().await;
}

#[tokio::test]
async fn lost_answers_and_refusals_that_pass_do_not_fail_a_start() {
    let app = TestApp::start().await;
    let Some(faults) = app.cluster.faults() else { return app.end().await };
    let passing = [
        Fault::DropAfterEffect,
        Fault::DropBeforeEffect,
        Fault::TooManyRequests { retry_after_seconds: 1 },
        Fault::Refuse { code: 503, reason: "ServiceUnavailable".to_owned() },
        Fault::Delay(Duration::from_secs(1)),
    ];
    for (index, fault) in passing.into_iter().enumerate() {
        let name = format!("lab{index}");
        let what = format!("{fault:?}");
        faults.add(FaultRule::new(fault).verb("create").name_contains(&name).times(2));
        let started = app.start_service(JUPYTERHUB, &name, "s1", RUN).await;
        assert_eq!(started.status, 201, "{what}: {}", started.body);
        faults.clear();
        app.cluster.pod_in_phase(&format!("depl-{name}-"), "Running").await;
        let ours: Vec<_> = app.cluster.names().await.into_iter().filter(|it| it.contains(&name)).collect();
        assert_eq!(ours.len(), 5, "{what}: {ours:?}");
        app.delete(JUPYTERHUB, &name).await.assert(204, "");
        app.cluster.nothing_of(&name).await;
    }
    app.end().await;
}

#[tokio::test]
async fn empty_lists_and_lost_watches_end_no_service() {
    let app = TestApp::start().await;
    assert_eq!(app.start_service(JUPYTERHUB, "lab", "s1", RUN).await.status, 201);
    app.cluster.pod_in_phase("depl-lab-s1-", "Running").await;
    assert!(app.get(JUPYTERHUB, "lab").await.body.ends_with(r#","running":true}"#));
    let Some(faults) = app.cluster.faults() else { return app.end().await };

    for resource in ["pods", "deployments"] {
        faults.add(FaultRule::new(Fault::EmptyList).verb("list").resource(resource));
        faults.add(FaultRule::new(Fault::Gone).verb("watch").resource(resource).times(3));
    }
    // Every watch breaks off and is begun anew, from lists that lack everything.
    let met = faults.met();
    faults.down(true);
    eventually("the API server is away", async || app.cluster.is_away().await.then_some(())).await;
    faults.down(false);
    app.cluster.is_back().await;
    eventually("lists were asked for anew", async || {
        let polled = app.get(JUPYTERHUB, "lab").await;
        assert!(polled.body.contains(r#""running":true"#), "{}", polled.body);
        (faults.met() >= met + 4).then_some(())
    })
    .await;
    for _ in 0..20 {
        let polled = app.get(JUPYTERHUB, "lab").await;
        assert!(polled.body.contains(r#""running":true"#), "{}", polled.body);
    }
    faults.clear();
    app.end().await;
}

#[tokio::test]
async fn a_stop_goes_on_after_refused_deletes() {
    let app = TestApp::start().await;
    assert_eq!(app.start_service(JUPYTERHUB, "lab", "s1", RUN).await.status, 201);
    let Some(faults) = app.cluster.faults() else { return app.end().await };
    faults.add(FaultRule::new(Fault::DropAfterEffect).verb("delete").times(2));
    faults.add(FaultRule::new(Fault::TooManyRequests { retry_after_seconds: 1 }).verb("delete").times(2));
    app.delete(JUPYTERHUB, "lab").await.assert(204, "");
    app.cluster.nothing_of("").await;
    eventually("the list is empty", async || (app.list(JUPYTERHUB).await.body == "[]").then_some(())).await;
    app.end().await;
}

#[tokio::test]
async fn a_start_goes_on_when_the_hub_hangs_up() {
    let app = TestApp::start().await;
    let Some(faults) = app.cluster.faults() else { return app.end().await };
    let slow = FaultRule::new(Fault::Delay(Duration::from_secs(1))).verb("create").resource("secrets").times(1);
    faults.add(slow);
    tokio::select! {
        answer = app.start_service(JUPYTERHUB, "lab", "s1", RUN) => panic!("not hung up: {}", answer.body),
        () = eventually("the start is under way", async || (faults.met() > 0).then_some(())) => {}
    }
    app.cluster.pod_in_phase("depl-lab-s1-", "Running").await;
    eventually("lab runs", async || {
        app.get(JUPYTERHUB, "lab").await.body.ends_with(r#","running":true}"#).then_some(())
    })
    .await;
    app.end().await;
}

#[tokio::test]
async fn a_start_does_not_wait_for_ever_for_a_stop_that_cannot_be_done() {
    let app = TestApp::start().await;
    assert_eq!(app.start_service(JUPYTERHUB, "lab", "s1", RUN).await.status, 201);
    let Some(faults) = app.cluster.faults() else { return app.end().await };
    faults.down(true);
    app.delete(JUPYTERHUB, "lab").await.assert(204, "");
    // A hub gives up after 20 s; several rounds of the stop go on meanwhile.
    for round in 0..2 {
        let begin = Instant::now();
        let answer = app.start_service(JUPYTERHUB, "lab", "s2", RUN).await;
        assert_eq!(answer.status, 500, "{}", answer.body);
        assert!(begin.elapsed() < Duration::from_secs(20), "round {round}: {:?}", begin.elapsed());
    }
    faults.down(false);
    app.cluster.is_back().await;
    app.cluster.nothing_of("").await;
    assert_eq!(app.start_service(JUPYTERHUB, "lab", "s3", RUN).await.status, 201);
    app.end().await;
}

#[tokio::test]
async fn the_stop_of_a_failed_start_waits_for_what_may_still_come_of_it() {
    let app = TestApp::start().await;
    let Some(faults) = app.cluster.faults() else { return app.end().await };
    faults.add(FaultRule::new(Fault::DropBeforeEffect).verb("create").resource("secrets"));
    assert_eq!(app.start_service(JUPYTERHUB, "lab", "s1", RUN).await.status, 500);
    // As every hub does after a failure. The API server may still carry out what it was asked for.
    app.delete(JUPYTERHUB, "lab").await.assert(204, "");
    let listed = app.list(JUPYTERHUB).await.body;
    assert!(listed.contains(r#""stop_pending":true"#), "{listed}");
    faults.clear();
    app.clock.advance(Duration::from_secs(61));
    eventually("it is forgotten", async || (app.list(JUPYTERHUB).await.body == "[]").then_some(())).await;
    app.cluster.nothing_of("").await;
    app.end().await;
}
