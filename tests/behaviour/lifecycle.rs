//! Repeated, parallel and newer starts, stops in between, and services that end by themselves.

use futures::future::join_all;
use serde_json::json;

use crate::support::app::{JUPYTERHUB, TestApp, start_body};
use crate::support::json::Json;
use crate::support::wait::eventually;

const RUN: &str = "JupyterLab/Run";
const CRASH: &str = "JupyterLab/Crash";

async fn ends_by_itself(app: &TestApp, name: &str) {
    eventually(&format!("{name} says running: false"), async || {
        let answer = app.get(JUPYTERHUB, name).await;
        (answer.json().member("running") == &Json::Bool(false)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn parallel_identical_starts_make_one_service() {
    let app = TestApp::start().await;
    let answers = join_all((0..8).map(|_| app.start_service(JUPYTERHUB, "lab", "s1", RUN))).await;
    for answer in &answers {
        assert_eq!((answer.status, &answer.body), (201, &answers[0].body));
    }
    app.cluster.pod_in_phase("depl-lab-s1-", "Running").await;
    assert_eq!(app.cluster.names().await.len(), 5, "ConfigMap, Deployment, Pod, Secret, Service");
    assert_eq!(app.list(JUPYTERHUB).await.json().items().len(), 1);
    app.delete(JUPYTERHUB, "lab").await.assert(204, "");
    app.cluster.nothing_of("").await;
    app.end().await;
}

#[tokio::test]
async fn a_start_and_a_stop_at_the_same_time_leave_a_whole_service_or_none() {
    let app = TestApp::start().await;
    for round in 0..6 {
        let start_id = format!("s{round}");
        let start = app.start_service(JUPYTERHUB, "lab", &start_id, RUN);
        let (started, stopped) = futures::join!(start, app.delete(JUPYTERHUB, "lab"));
        assert!(matches!(started.status, 201 | 500), "{}: {}", started.status, started.body);
        assert!(matches!(stopped.status, 204 | 404), "{}: {}", stopped.status, stopped.body);
        let polled = app.get(JUPYTERHUB, "lab").await;
        if polled.status == 200 && polled.body.ends_with(r#","running":true}"#) {
            app.cluster.pod_in_phase(&format!("depl-lab-{start_id}-"), "Running").await;
            app.delete(JUPYTERHUB, "lab").await.assert(204, "");
        } else {
            assert!(polled.status == 404 || polled.body.contains(r#""stop_pending":true"#), "{}", polled.body);
        }
        app.cluster.nothing_of("").await;
        eventually("the list is empty", async || (app.list(JUPYTERHUB).await.body == "[]").then_some(())).await;
        assert!(app.names_in("services").is_empty());
    }
    app.end().await;
}

#[tokio::test]
async fn a_server_that_is_started_again_right_after_its_stop_was_answered_runs() {
    let app = TestApp::start().await;
    for (before, start_id) in [("s1", "s2"), ("s2", "s2"), ("s2", "s1")] {
        assert_eq!(app.start_service(JUPYTERHUB, "lab", before, RUN).await.status, 201);
        app.ask_to_stop(JUPYTERHUB, "lab").await.assert(204, "");
        let started = app.start_service(JUPYTERHUB, "lab", start_id, RUN).await;
        assert_eq!(started.status, 201, "{}", started.body);
        app.stop_is_carried_out("lab").await;
        app.cluster.pod_in_phase(&format!("depl-lab-{start_id}-"), "Running").await;
        assert!(app.get(JUPYTERHUB, "lab").await.body.ends_with(r#","stop_pending":false,"running":true}"#));
        eventually("only the newest is left", async || {
            (app.list(JUPYTERHUB).await.json().items().len() == 1 && app.cluster.names().await.len() == 5).then_some(())
        })
        .await;
        app.delete(JUPYTERHUB, "lab").await.assert(204, "");
        app.cluster.nothing_of("").await;
    }
    app.end().await;
}

#[tokio::test]
async fn the_newest_start_wins_and_older_ones_are_stopped() {
    let app = TestApp::start().await;
    for start_id in ["s1", "s2", "s3"] {
        assert_eq!(app.start_service(JUPYTERHUB, "lab", start_id, RUN).await.status, 201);
    }
    let polled = app.get(JUPYTERHUB, "lab").await;
    assert_eq!(polled.json().member("start_id").text(), "s3");
    app.cluster.nothing_of("lab-s1").await;
    app.cluster.nothing_of("lab-s2").await;
    app.cluster.pod_in_phase("depl-lab-s3-", "Running").await;
    assert!(app.get(JUPYTERHUB, "lab").await.body.ends_with(r#","running":true}"#));
    eventually("one is listed", async || (app.list(JUPYTERHUB).await.json().items().len() == 1).then_some(())).await;
    assert_eq!(app.names_in("services"), ["lab-s3"]);
    app.end().await;
}

#[tokio::test]
async fn a_stop_reaches_every_start_of_the_name() {
    let app = TestApp::start().await;
    for start_id in ["s1", "s2"] {
        assert_eq!(app.start_service(JUPYTERHUB, "lab", start_id, RUN).await.status, 201);
    }
    app.delete(JUPYTERHUB, "lab").await.assert(204, "");
    app.cluster.nothing_of("").await;
    app.list(JUPYTERHUB).await.assert(200, "[]");
    app.end().await;
}

#[tokio::test]
async fn an_ended_service_is_explained_and_makes_room_for_the_next_start() {
    let app = TestApp::start().await;
    assert_eq!(app.start_service(JUPYTERHUB, "lab", "s1", CRASH).await.status, 201);
    ends_by_itself(&app, "lab").await;
    let explained = app.get(JUPYTERHUB, "lab").await;
    eventually("its workload is gone", async || app.cluster.pods("pod-lab-s1").await.is_empty().then_some(())).await;
    assert_eq!(app.get(JUPYTERHUB, "lab").await.body, explained.body, "the explanation stays");

    // The hub sends no DELETE: it starts the same server again.
    assert_eq!(app.start_service(JUPYTERHUB, "lab", "s2", RUN).await.status, 201);
    app.cluster.nothing_of("lab-s1").await;
    app.cluster.pod_in_phase("depl-lab-s2-", "Running").await;
    assert!(app.get(JUPYTERHUB, "lab").await.body.ends_with(r#","running":true}"#));
    eventually("one is listed", async || (app.list(JUPYTERHUB).await.json().items().len() == 1).then_some(())).await;
    app.end().await;
}

#[tokio::test]
async fn an_ended_service_may_be_started_again_under_the_same_start_id() {
    let app = TestApp::start().await;
    assert_eq!(app.start_service(JUPYTERHUB, "lab", "s1", CRASH).await.status, 201);
    ends_by_itself(&app, "lab").await;
    let again = app.start_service(JUPYTERHUB, "lab", "s1", RUN).await;
    assert_eq!(again.status, 201, "{}", again.body);
    app.cluster.pod_in_phase("depl-lab-s1-", "Running").await;
    assert!(app.get(JUPYTERHUB, "lab").await.body.ends_with(r#","running":true}"#));
    app.end().await;
}

#[tokio::test]
async fn an_ended_service_is_cleaned_up_when_its_time_is_over() {
    let app = TestApp::builder().edit(|it| it["services"]["ended_ttl_seconds"] = json!(1)).start().await;
    assert_eq!(app.start_service(JUPYTERHUB, "lab", "s1", CRASH).await.status, 201);
    ends_by_itself(&app, "lab").await;
    app.cluster.nothing_of("").await;
    eventually("the list is empty", async || (app.list(JUPYTERHUB).await.body == "[]").then_some(())).await;
    assert!(app.names_in("services").is_empty());
    app.end().await;
}

#[tokio::test]
async fn homes_are_made_once_and_never_touched_again() {
    let app = TestApp::start().await;
    assert_eq!(app.start_service(JUPYTERHUB, "lab", "s1", "JupyterLab/Slow").await.status, 201);
    let file = app.path("userhomes/jupyterhub/7/.bashrc");
    std::fs::write(&file, "mine").unwrap();
    std::fs::remove_file(app.path("userhomes/jupyterhub/7/run.sh")).unwrap();
    app.delete(JUPYTERHUB, "lab").await.assert(204, "");
    assert_eq!(app.start_service(JUPYTERHUB, "lab", "s2", "JupyterLab/Slow").await.status, 201);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
    assert!(!app.path("userhomes/jupyterhub/7/run.sh").exists());
    app.end().await;
}

#[tokio::test]
async fn parallel_first_starts_of_a_user_make_one_whole_home() {
    let app = TestApp::start().await;
    let names: Vec<_> = (0..6).map(|it| format!("lab{it}")).collect();
    let body = start_body("JupyterLab/Slow", "s1");
    let answers = join_all(names.iter().map(|name| app.post(JUPYTERHUB, name, &body))).await;
    for answer in answers {
        assert_eq!(answer.status, 201, "{}", answer.body);
    }
    assert_eq!(app.names_in("userhomes/jupyterhub"), ["7"], "no half-made home is left beside it");
    assert_eq!(app.names_in("userhomes/jupyterhub/7"), [".bashrc", "link", "run.sh", "work"]);
    app.end().await;
}

#[tokio::test]
async fn a_newer_start_that_fails_does_not_harm_the_older_one() {
    let app = TestApp::start().await;
    assert_eq!(app.start_service(JUPYTERHUB, "lab", "s1", RUN).await.status, 201);
    app.cluster.pod_in_phase("depl-lab-s1-", "Running").await;
    let before = app.cluster.snapshot().await;
    for service in ["JupyterLab/Invalid", "JupyterLab/NoMain", "Nope"] {
        assert_eq!(app.start_service(JUPYTERHUB, "lab", "s2", service).await.status, 500);
        app.cluster.nothing_of("lab-s2").await;
        let polled = app.get(JUPYTERHUB, "lab").await;
        assert_eq!(polled.json().member("start_id").text(), "s1");
        assert!(polled.body.ends_with(r#","running":true}"#), "{}", polled.body);
    }
    assert_eq!(app.cluster.snapshot().await, before);
    app.end().await;
}
