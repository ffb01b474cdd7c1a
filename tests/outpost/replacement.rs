//! A newer start of a server takes the place of an older one. Late requests about the older one never touch it.

use serde_json::json;

use crate::support::wait::eventually;
use crate::{ALIVE, HUB1, HUB2, body, failure, hubs, list, nothing_is_left, poll, post, start, start_server, stop};

#[tokio::test]
async fn a_newer_start_replaces_an_older_one_whose_objects_have_its_names() {
    let app = start(hubs()).await;
    let first = start_server(&app, HUB1, "lab", "s1", json!({})).await;
    assert_eq!(first.status, 200);
    let uid = async || app.cluster.get("Pod", "jupyter-alice--lab").await.unwrap()["metadata"]["uid"].clone();
    let before = uid().await;
    let second = start_server(&app, HUB1, "lab", "s2", json!({})).await;
    second.assert(200, &first.body);
    assert_ne!(uid().await, before);
    poll(&app, HUB1, "lab/s1").await.assert(200, r#"{"status":1,"logs":[]}"#);
    poll(&app, HUB1, "lab/s2").await.assert(200, ALIVE);
    assert_eq!(list(&app, HUB1).await.as_array().unwrap().len(), 2);
    // What its hub sends late ends what is left of it, and nothing else.
    let running = uid().await;
    stop(&app, HUB1, "lab/s1").await.assert(200, r#"{"logs":[]}"#);
    stop(&app, HUB1, "lab/s1").await.assert(404, crate::GONE);
    poll(&app, HUB1, "lab/s2").await.assert(200, ALIVE);
    assert_eq!(uid().await, running);
    stop(&app, HUB1, "lab/s2").await.assert(200, r#"{"logs":[]}"#);
    nothing_is_left(&app).await;
    app.end().await;
}

#[tokio::test]
async fn a_start_that_is_still_waited_for_is_replaced_and_told_so() {
    let app = start(hubs()).await;
    let slow = json!({"image": "x/slow:1", "start_timeout": 600});
    let first = start_server(&app, HUB1, "lab", "s1", slow);
    let second = async {
        app.cluster.pod_in_phase("jupyter-alice--lab", "Pending").await;
        start_server(&app, HUB1, "lab", "s2", json!({})).await
    };
    let (first, second) = futures::join!(first, second);
    assert!(failure(&first, "RuntimeError").contains("replaced by a newer start"), "{}", first.body);
    assert_eq!(second.status, 200, "{}", second.body);
    poll(&app, HUB1, "lab/s2").await.assert(200, ALIVE);
    stop(&app, HUB1, "lab/s2").await.assert(200, r#"{"logs":[]}"#);
    nothing_is_left(&app).await;
    app.end().await;
}

#[tokio::test]
async fn a_server_that_is_started_again_while_it_is_stopped_runs() {
    let app = start(hubs()).await;
    for round in 0..3 {
        let path = format!("lab/s{round}");
        let started = start_server(&app, HUB1, "lab", &format!("s{round}"), json!({})).await;
        assert_eq!(started.status, 200, "{}", started.body);
        let stopped = crate::support::wire::Request::new("DELETE", &format!("/services/{path}"));
        app.send_as(HUB1, stopped.header("execution-type", "async")).await.assert(202, "{}");
    }
    nothing_is_left(&app).await;
    app.end().await;
}

#[tokio::test]
async fn starts_whose_names_do_not_meet_run_beside_each_other() {
    let app = start(hubs()).await;
    for id in ["s1", "s2"] {
        assert_eq!(start_server(&app, HUB2, "lab", id, json!({})).await.status, 200);
    }
    for path in ["lab/s1", "lab/s2"] {
        poll(&app, HUB2, path).await.assert(200, ALIVE);
    }
    app.end().await;
}

#[tokio::test]
async fn another_users_server_is_never_replaced() {
    let app = start(hubs()).await;
    let same = json!({"pod_name_template": "jupyter-same"});
    assert_eq!(start_server(&app, HUB1, "lab", "s1", same.clone()).await.status, 200);
    let mut other = body("lab", "s2", &same);
    other["env"]["JUPYTERHUB_USER_ID"] = json!(8);
    let text = failure(&app.send_as(HUB1, post(&other)).await, "RuntimeError");
    assert!(text.contains("jupyter-same"), "{text}");
    poll(&app, HUB1, "lab/s1").await.assert(200, ALIVE);
    assert_eq!(poll(&app, HUB1, "lab/s2").await.status, 404);
    eventually("what failed is gone", async || (list(&app, HUB1).await.as_array()?.len() == 1).then_some(())).await;
    app.end().await;
}
