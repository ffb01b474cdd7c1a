//! Servers that do not come up, and servers that end: exit codes, logs, and that nothing is left.

use serde_json::json;

use crate::support::wait::eventually;
use crate::support::wire::Request;
use crate::{
    ALIVE, HUB1, body, ends_with, failure, hubs, list, nothing_is_left, poll, post, start, start_server, stop,
};

#[tokio::test]
async fn a_start_that_certainly_failed_is_told_at_once_with_exit_code_and_log() {
    let app = start(hubs()).await;
    for (image, exit_code) in [("x/crash:1", 3), ("x/done:1", 0)] {
        let misc = json!({"image": image, "start_timeout": 600});
        let text = failure(&start_server(&app, HUB1, "lab", "s1", misc).await, "RuntimeError");
        assert!(text.contains(&format!("(exit code {exit_code})")), "{text}");
        // What hubs show as HTML is none.
        assert!(text.contains("19 line of main") && text.contains("&lt;script&gt;") && !text.contains('<'), "{text}");
        nothing_is_left(&app).await;
        assert_eq!(list(&app, HUB1).await, json!([]));
        assert_eq!(poll(&app, HUB1, "lab/s1").await.status, 404);
    }
    app.end().await;
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_fails_a_start_after_the_grace_period() {
    let app = start(hubs().grace_seconds(1)).await;
    let misc = json!({"image": "x/pullfail:1", "start_timeout": 600});
    let text = failure(&start_server(&app, HUB1, "lab", "s1", misc).await, "RuntimeError");
    assert!(text.starts_with("Service cannot start") && text.contains("ErrImagePull"), "{text}");
    nothing_is_left(&app).await;
    app.end().await;
}

#[tokio::test]
async fn a_server_that_is_not_up_in_time_has_failed() {
    let app = start(hubs()).await;
    let misc = json!({"image": "x/slow:1", "start_timeout": 1});
    let text = failure(&start_server(&app, HUB1, "lab", "s1", misc.clone()).await, "TimeoutError");
    assert!(text.starts_with("The server did not come up in 1 seconds"), "{text}");
    nothing_is_left(&app).await;
    let request = post(&body("lab", "s2", &misc)).header("execution-type", "async");
    app.send_as(HUB1, request).await.assert(202, r#"{"service":""}"#);
    ends_with(&app, HUB1, "lab/s2", 1).await;
    stop(&app, HUB1, "lab/s2").await.assert(200, r#"{"logs":[]}"#);
    nothing_is_left(&app).await;
    app.end().await;
}

#[tokio::test]
async fn an_async_start_that_failed_is_told_by_polls_with_its_exit_code_and_log() {
    let app = start(hubs()).await;
    let request = post(&body("lab", "s1", &json!({"image": "x/crash:1"}))).header("execution-type", "async");
    app.send_as(HUB1, request).await.assert(202, r#"{"service":""}"#);
    ends_with(&app, HUB1, "lab/s1", 3).await;
    // The same until it is removed, also when nothing of it is left in the cluster.
    app.cluster.nothing_of("Pod/jupyter-alice--lab").await;
    for _ in 0..3 {
        poll(&app, HUB1, "lab/s1").await.assert(200, r#"{"status":3,"logs":[]}"#);
    }
    let logs = poll(&app, HUB1, "lab/s1?collect_logs=TRUE").await.value();
    assert_eq!(logs["status"], 3);
    let lines: Vec<_> = logs["logs"].as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect();
    assert_eq!(lines[lines.len() - 2..], ["19 line of main", "20 the <script>alert(1)</script> end"]);
    stop(&app, HUB1, "lab/s1").await.assert(200, r#"{"logs":[]}"#);
    assert_eq!(poll(&app, HUB1, "lab/s1").await.status, 404);
    nothing_is_left(&app).await;
    app.end().await;
}

#[tokio::test]
async fn a_server_that_ends_keeps_its_exit_code_and_one_that_was_deleted_has_one() {
    let app = start(hubs()).await;
    for (name, exit_code) in [("three", 3), ("nought", 0)] {
        assert_eq!(start_server(&app, HUB1, name, "s", json!({})).await.status, 200);
        let pod = format!("jupyter-alice--{name}");
        let ended = json!({"phase": "Running", "containerStatuses": [{
            "name": "main", "image": "x/run:1", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": exit_code, "reason": "Error"}},
        }]});
        app.cluster.set_pod_status(&pod, ended).await;
        ends_with(&app, HUB1, &format!("{name}/s"), exit_code).await;
        app.cluster.nothing_of(&format!("Pod/{pod}")).await;
        poll(&app, HUB1, &format!("{name}/s")).await.assert(200, &format!("{{\"status\":{exit_code},\"logs\":[]}}"));
    }
    assert_eq!(start_server(&app, HUB1, "gone", "s", json!({})).await.status, 200);
    app.cluster.delete("Pod", "jupyter-alice--gone").await;
    ends_with(&app, HUB1, "gone/s", 1).await;
    assert_eq!(list(&app, HUB1).await.as_array().unwrap().len(), 3);
    app.end().await;
}

#[tokio::test]
async fn logs_of_a_running_server_are_lines_and_come_with_a_stop_too() {
    let app = start(hubs()).await;
    assert_eq!(start_server(&app, HUB1, "lab", "s", json!({})).await.status, 200);
    let read =
        |value: &serde_json::Value| value["logs"].as_array().unwrap().last().unwrap().as_str().unwrap().to_owned();
    let polled = poll(&app, HUB1, "lab/s?collect_logs=true").await.value();
    assert_eq!((&polled["status"], read(&polled).as_str()), (&json!(null), "20 the <script>alert(1)</script> end"));
    poll(&app, HUB1, "lab/s?collect_logs=false").await.assert(200, ALIVE);
    let stopped = stop(&app, HUB1, "lab/s?collect_logs=true").await;
    assert_eq!((stopped.status, read(&stopped.value()).as_str()), (200, "20 the <script>alert(1)</script> end"));
    nothing_is_left(&app).await;
    app.end().await;
}

#[tokio::test]
async fn a_server_that_crashes_again_and_again_before_it_was_up_has_failed() {
    let app = start(hubs()).await;
    let started = start_server(&app, HUB1, "lab", "s", json!({"image": "x/slow:1", "start_timeout": 600}));
    let crashing = async {
        let pod = app.cluster.pod_in_phase("jupyter-alice--lab", "Pending").await;
        let status = json!({"phase": "Running", "containerStatuses": [{
            "name": "main", "image": "x/slow:1", "imageID": "", "ready": false, "restartCount": 1,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": 7, "reason": "Error"}},
        }]});
        app.cluster.set_pod_status(&pod, status).await;
    };
    let (answer, ()) = futures::join!(started, crashing);
    let text = failure(&answer, "RuntimeError");
    assert!(text.contains("(exit code 7)"), "{text}");
    nothing_is_left(&app).await;
    app.end().await;
}

#[tokio::test]
async fn a_stop_of_what_was_never_started_is_told_and_harmless() {
    let app = start(hubs()).await;
    for path in ["nobody", "nobody/", "nobody/s", "/", "/s"] {
        let answer = app.send_as(HUB1, Request::new("DELETE", &format!("/services/{path}"))).await;
        answer.assert(404, crate::GONE);
    }
    eventually("nothing is there", async || app.cluster.names().await.is_empty().then_some(())).await;
    app.end().await;
}
