//! The fault table: each fault against start, poll, stop and recovery, with the outcome.
//!
//! Whatever the fault: polls of a running service say `running: true`, a DELETE is answered 204 and carried out in the end,
//! a start answers within a hub's patience and is whole or gone, and afterwards everything agrees.

use std::time::{Duration, Instant};

use futures::future::join;
use local_cluster::{Fault, FaultRule, Faults};

use crate::support::app::{JUPYTERHUB, TestApp};
use crate::support::wait::eventually;

const RUN: &str = "JupyterLab/Run";
/// A hub gives up after 20 s.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Start {
    Succeeds,
    Fails,
    /// By chance; whole or gone either way.
    Either,
}

/// Polls `lab` until `work` is done; every answer says that it runs.
async fn polled_during<T>(app: &TestApp, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    let mut polls = 0;
    loop {
        let polled = app.get(JUPYTERHUB, "lab").await;
        assert_eq!(polled.status, 200, "{}", polled.body);
        assert!(polled.body.contains(r#""running":true"#), "poll {polls}: {}", polled.body);
        polls += 1;
        tokio::select! {
            done = work.as_mut() => if polls >= 5 { return done } else { return finish(app, polls, done).await },
            () = tokio::time::sleep(Duration::from_millis(50)) => {}
        }
    }
}

/// The work was quick: polls are made all the same.
async fn finish<T>(app: &TestApp, polls: usize, done: T) -> T {
    for _ in polls..5 {
        let polled = app.get(JUPYTERHUB, "lab").await;
        assert!(polled.status == 200 && polled.body.contains(r#""running":true"#), "{}", polled.body);
    }
    done
}

async fn row(start: Start, begin: impl Fn(&Faults), end: impl Fn(&Faults)) {
    let mut app = TestApp::start().await;
    if app.cluster.faults().is_none() {
        return app.end().await;
    }
    for name in ["lab", "gone"] {
        assert_eq!(app.start_service(JUPYTERHUB, name, "s1", RUN).await.status, 201);
        app.cluster.pod_in_phase(&format!("depl-{name}-s1-"), "Running").await;
    }
    let lab = lab_objects(&app).await;

    begin(app.cluster.faults().unwrap());
    let begun = Instant::now();
    let work = join(app.start_service(JUPYTERHUB, "new", "s1", RUN), app.delete(JUPYTERHUB, "gone"));
    let (started, stopped) = polled_during(&app, work).await;
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    stopped.assert(204, "");
    match start {
        Start::Succeeds => assert_eq!(started.status, 201, "{}", started.body),
        Start::Fails => assert_eq!(started.status, 500, "{}", started.body),
        Start::Either => assert!(matches!(started.status, 201 | 500), "{}", started.body),
    }
    if start == Start::Fails {
        // The process is replaced meanwhile: it comes up, and knows what it has to do.
        app.restart().await;
        polled_during(&app, std::future::ready(())).await;
    }
    end(app.cluster.faults().unwrap());
    app.cluster.reconnect().await;

    app.cluster.nothing_of("gone").await;
    if started.status == 201 {
        app.cluster.pod_in_phase("depl-new-s1-", "Running").await;
        eventually("the new one runs", async || {
            app.get(JUPYTERHUB, "new").await.body.ends_with(r#","running":true}"#).then_some(())
        })
        .await;
        let ours: Vec<_> = app.cluster.names().await.into_iter().filter(|it| it.contains("new")).collect();
        assert_eq!(ours.len(), 5, "one object of each: {ours:?}");
        app.delete(JUPYTERHUB, "new").await.assert(204, "");
    }
    app.cluster.nothing_of("new").await;
    // What the API server was asked for and did not confirm is remembered for a minute.
    app.clock.advance(Duration::from_secs(61));
    eventually("only lab is listed", async || (app.list(JUPYTERHUB).await.json().items().len() == 1).then_some(()))
        .await;
    eventually("lab runs, without details", async || {
        app.get(JUPYTERHUB, "lab").await.body.ends_with(r#","running":true}"#).then_some(())
    })
    .await;
    assert_eq!(lab_objects(&app).await, lab, "nothing of lab was touched");
    eventually("all watches work", async || {
        app.app().services.cluster_health().iter().all(|it| it.failure.is_none() && it.is_synced).then_some(())
    })
    .await;
    app.end().await;
}

async fn lab_objects(app: &TestApp) -> Vec<serde_json::Value> {
    let all = app.cluster.snapshot().await;
    all.into_iter().filter(|it| it["metadata"]["name"].as_str().is_some_and(|it| it.contains("lab-s1"))).collect()
}

async fn faulty(start: Start, rules: Vec<FaultRule>) {
    let begin = move |faults: &Faults| {
        for rule in rules.clone() {
            faults.add(rule);
        }
    };
    row(start, begin, |faults| faults.clear()).await;
}

fn refuse(code: u16, reason: &str) -> Fault {
    Fault::Refuse { code, reason: reason.to_owned() }
}

#[tokio::test]
async fn unreachable() {
    row(Start::Fails, |faults| faults.down(true), |faults| faults.down(false)).await;
}

#[tokio::test]
async fn half_open_connections() {
    row(Start::Fails, |faults| faults.silent(true), |faults| faults.silent(false)).await;
}

#[tokio::test]
async fn slow() {
    faulty(Start::Succeeds, vec![FaultRule::new(Fault::Delay(Duration::from_millis(1500)))]).await;
}

#[tokio::test]
async fn half_of_all_calls_are_too_many() {
    let fault = Fault::TooManyRequests { retry_after_seconds: 1 };
    faulty(Start::Succeeds, vec![FaultRule::new(fault).percent(50)]).await;
}

#[tokio::test]
async fn server_errors() {
    let rules = [500, 502, 503, 504].map(|code| FaultRule::new(refuse(code, "InternalError")).percent(10));
    faulty(Start::Succeeds, rules.into()).await;
}

#[tokio::test]
async fn nothing_but_server_errors() {
    faulty(Start::Fails, vec![FaultRule::new(refuse(503, "ServiceUnavailable"))]).await;
}

#[tokio::test]
async fn watches_whose_revision_is_gone() {
    faulty(Start::Succeeds, vec![FaultRule::new(Fault::Gone).verb("watch")]).await;
}

#[tokio::test]
async fn replies_lost_after_the_effect() {
    let rules = ["create", "delete"].map(|verb| FaultRule::new(Fault::DropAfterEffect).verb(verb).percent(50));
    faulty(Start::Succeeds, rules.into()).await;
}

#[tokio::test]
async fn every_reply_lost_after_the_effect() {
    faulty(Start::Either, vec![FaultRule::new(Fault::DropAfterEffect)]).await;
}

#[tokio::test]
async fn garbage() {
    faulty(Start::Succeeds, vec![FaultRule::new(Fault::Garbage).percent(30)]).await;
}

#[tokio::test]
async fn nothing_but_garbage() {
    faulty(Start::Either, vec![FaultRule::new(Fault::Garbage)]).await;
}

#[tokio::test]
async fn a_token_that_is_refused() {
    faulty(Start::Fails, vec![FaultRule::new(refuse(401, "Unauthorized"))]).await;
}

#[tokio::test]
async fn rights_taken_away() {
    faulty(Start::Fails, vec![FaultRule::new(refuse(403, "Forbidden"))]).await;
}

#[tokio::test]
async fn lists_that_lack_almost_everything() {
    let lists = FaultRule::new(Fault::ShortList(0)).verb("list");
    let begin = move |faults: &Faults| {
        faults.add(lists.clone());
        // Everything is listed anew.
        faults.add(FaultRule::new(Fault::Gone).verb("watch").times(4));
    };
    row(Start::Succeeds, begin, |faults| faults.clear()).await;
}
