//! Hubs, strangers and other servers: nobody's objects are touched by somebody else's requests.

use serde_json::{Value, json};

use crate::support::app::{JUPYTERHUB, OTHERHUB, TestApp};
use crate::support::cluster::name_of;
use crate::support::wait::eventually;
use crate::support::wire::Request;

const RUN: &str = "JupyterLab/Run";
const NOT_FOUND: &str = r#"{"detail":"Not found."}"#;

/// The objects whose names hold `part`, as they must stay.
async fn objects_of(app: &TestApp, part: &str) -> Vec<Value> {
    let all = app.cluster.snapshot().await;
    all.into_iter().filter(|it| name_of(it).contains(part)).collect()
}

async fn started(app: &TestApp, user: &str, name: &str, start_id: &str) {
    let answer = app.start_service(user, name, start_id, RUN).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    app.cluster.pod_in_phase(&format!("depl-{name}-{start_id}-"), "Running").await;
}

#[tokio::test]
async fn another_hub_s_services_can_be_neither_seen_nor_touched() {
    let app = TestApp::start().await;
    started(&app, OTHERHUB, "lab", "a1").await;
    let before = app.everything().await;

    for method in ["GET", "PUT", "PATCH", "DELETE"] {
        for path in ["/api/services/lab/", "/api/services/lab"] {
            app.send_as(JUPYTERHUB, Request::new(method, path)).await.assert(404, NOT_FOUND);
        }
    }
    app.send_as(JUPYTERHUB, Request::new("HEAD", "/api/services/lab/")).await.assert(404, "");
    app.list(JUPYTERHUB).await.assert(200, "[]");
    assert_eq!(app.everything().await, before);

    // The same server name is each hub's own.
    started(&app, JUPYTERHUB, "lab", "b1").await;
    app.put(JUPYTERHUB, "lab").await;
    app.delete(JUPYTERHUB, "lab").await.assert(204, "");
    app.cluster.nothing_of("lab-b1").await;
    assert_eq!(app.cluster.snapshot().await, before["cluster"].as_array().unwrap().clone());
    assert!(app.get(OTHERHUB, "lab").await.body.ends_with(r#","running":true}"#));
    app.end().await;
}

#[tokio::test]
async fn the_same_name_and_start_of_two_hubs_is_refused_until_it_is_free() {
    let app = TestApp::start().await;
    started(&app, OTHERHUB, "lab", "s1").await;
    let before = app.everything().await;
    let refused = app.start_service(JUPYTERHUB, "lab", "s1", RUN).await;
    assert_eq!(refused.status, 500, "{}", refused.body);
    assert!(refused.json().member("detailed_error").text().contains("in use"), "{}", refused.body);
    assert_eq!(app.everything().await, before);
    // What a hub does after a start that failed.
    app.delete(JUPYTERHUB, "lab").await.assert(404, NOT_FOUND);
    assert_eq!(app.everything().await, before);

    app.delete(OTHERHUB, "lab").await.assert(204, "");
    app.cluster.nothing_of("lab").await;
    started(&app, JUPYTERHUB, "lab", "s1").await;
    app.end().await;
}

#[tokio::test]
async fn two_servers_of_one_hub_whose_ids_read_alike_do_not_meet() {
    let app = TestApp::start().await;
    started(&app, JUPYTERHUB, "a-b", "c").await;
    let before = app.everything().await;
    let refused = app.start_service(JUPYTERHUB, "a", "b-c", RUN).await;
    assert_eq!(refused.status, 500, "{}", refused.body);
    assert_eq!(app.everything().await, before);
    assert_eq!(app.delete(JUPYTERHUB, "a").await.status, 404);
    assert_eq!(app.everything().await, before);
    app.end().await;
}

#[tokio::test]
async fn a_stranger_s_object_of_the_same_name_is_left_alone() {
    let app = TestApp::start().await;
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "depl-x1-s1"},
        "spec": {
            "replicas": 0, "selector": {"matchLabels": {"a": "b"}},
            "template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{"name": "main", "image": "x/run:1"}]},
            },
        },
    });
    app.cluster.create("Deployment", deployment).await;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "secret-x2-s1-k8smgr"}, "data": {"a": "Yg=="},
    });
    app.cluster.create("Secret", secret).await;
    let before = app.cluster.snapshot().await;

    for (name, taken) in [("x1", "depl-x1-s1"), ("x2", "secret-x2-s1-k8smgr")] {
        let refused = app.start_service(JUPYTERHUB, name, "s1", RUN).await;
        assert_eq!(refused.status, 500, "{}", refused.body);
        assert!(refused.json().member("detailed_error").text().contains(taken), "{}", refused.body);
        app.delete(JUPYTERHUB, name).await.assert(404, NOT_FOUND);
        eventually(&format!("only the stranger's objects are left of {name}"), async || {
            (app.cluster.snapshot().await == before).then_some(())
        })
        .await;
        assert!(app.names_in("services").is_empty());
    }
    app.end().await;
}

#[tokio::test]
async fn an_object_that_a_stranger_made_in_the_place_of_ours_outlives_the_stop() {
    let app = TestApp::start().await;
    started(&app, JUPYTERHUB, "lab", "s1").await;
    app.cluster.delete("Service", "svc-lab-s1").await;
    eventually("our Service is gone", async || app.cluster.get("Service", "svc-lab-s1").await.is_none().then_some(()))
        .await;
    let stranger = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "svc-lab-s1"},
        "spec": {"ports": [{"port": 1}], "selector": {"a": "b"}},
    });
    app.cluster.create("Service", stranger).await;
    let before = objects_of(&app, "svc-lab-s1").await;

    app.delete(JUPYTERHUB, "lab").await.assert(204, "");
    eventually("only the stranger's Service is left", async || (app.cluster.snapshot().await == before).then_some(()))
        .await;
    app.end().await;
}

#[tokio::test]
async fn hubs_with_the_same_server_name_at_the_same_time() {
    let app = TestApp::start().await;
    let users = [JUPYTERHUB, OTHERHUB, "webonly:webpw"];
    // `webonly` has no descriptions of its own, so only two of them can start.
    let answers = futures::future::join_all(users.iter().enumerate().map(|(index, user)| {
        let start_id = format!("s{index}");
        let app = &app;
        async move { app.start_service(user, "lab", &start_id, RUN).await.status }
    }))
    .await;
    assert_eq!(answers, [201, 201, 500]);
    app.cluster.pod_in_phase("depl-lab-s0-", "Running").await;
    app.cluster.pod_in_phase("depl-lab-s1-", "Running").await;
    let other = objects_of(&app, "lab-s1").await;
    app.delete(JUPYTERHUB, "lab").await.assert(204, "");
    app.cluster.nothing_of("lab-s0").await;
    assert_eq!(objects_of(&app, "lab-s1").await, other);
    assert!(app.get(OTHERHUB, "lab").await.body.ends_with(r#","running":true}"#));
    app.end().await;
}
