//! The pods of adopted services: their template does not carry our marks, so a new pod begins without.

use serde_json::json;

use crate::reference::{import, new_installation, put_in_place};
use crate::support::app::{JUPYTERHUB, TestApp};
use crate::support::json::Json;
use crate::support::wait::eventually;

const MAIN: &str = "depl-imp01-a0000001-";
const DEPLOYMENT: &str = "depl-imp01-a0000001";

async fn adopted() -> TestApp {
    let mut app = new_installation().await;
    put_in_place(&app).await;
    import(&app, &[]).await.succeeded();
    app.start_process().await;
    eventually("imp01 is seen", async || (!polled(&app).await.contains("details")).then_some(())).await;
    app
}

/// The answer of a poll, which says that imp01 runs.
async fn polled(app: &TestApp) -> String {
    let answer = app.get(JUPYTERHUB, "imp01").await;
    assert_eq!((answer.status, answer.json().member("running")), (200, &Json::Bool(true)), "{}", answer.body);
    answer.body
}

async fn ends(app: &TestApp) -> String {
    eventually("imp01 says running: false", async || {
        let answer = app.get(JUPYTERHUB, "imp01").await;
        let error = || answer.json().member("details").member("error").text().to_owned();
        (answer.json().member("running") == &Json::Bool(false)).then(error)
    })
    .await
}

/// The name of the pod that runs beside `old`, once it carries our mark.
async fn marked_successor(app: &TestApp, old: &str) -> String {
    eventually("the new pod is marked", async || {
        polled(app).await;
        let objects = app.cluster.objects().await;
        let pod = objects.iter().find(|it| {
            let name = it["metadata"]["name"].as_str().unwrap();
            it["kind"] == "Pod" && name.starts_with(MAIN) && name != old
        })?;
        let is_marked = pod["metadata"]["labels"]["k8smgr.io/role"] == "main";
        is_marked.then(|| pod["metadata"]["name"].as_str().unwrap().to_owned())
    })
    .await
}

#[tokio::test]
async fn the_successor_of_a_deleted_pod_is_watched() {
    let app = adopted().await;
    let old = app.cluster.pod_in_phase(MAIN, "Running").await;
    app.cluster.delete("Pod", &old).await;
    let successor = marked_successor(&app, &old).await;
    // Watched, and so its end is seen.
    app.cluster.set_pod_status(&successor, terminated()).await;
    assert_eq!(ends(&app).await, "Service status is in state terminated");
    app.end().await;
}

#[tokio::test]
async fn an_evicted_pod_is_no_end_while_its_successor_runs() {
    let app = adopted().await;
    let old = app.cluster.pod_in_phase(MAIN, "Running").await;
    app.cluster.set_pod_status(&old, json!({"phase": "Failed", "reason": "Evicted"})).await;
    marked_successor(&app, &old).await;
    polled(&app).await;
    app.end().await;
}

#[tokio::test]
async fn a_deployment_that_is_deleted_or_scaled_to_zero_is_the_end() {
    for is_deleted in [true, false] {
        let app = adopted().await;
        match is_deleted {
            true => app.cluster.delete("Deployment", DEPLOYMENT).await,
            false => app.cluster.scale(DEPLOYMENT, 0).await,
        }
        assert_eq!(ends(&app).await, "Service is gone");
        app.delete(JUPYTERHUB, "imp01").await.assert(204, "");
        app.cluster.nothing_of("imp01").await;
        app.end().await;
    }
}

fn terminated() -> serde_json::Value {
    let state = json!({"terminated": {"exitCode": 1, "reason": "Error"}});
    json!({"containerStatuses": [{
        "name": "main", "image": "x/run:1", "imageID": "", "ready": false, "restartCount": 0, "state": state,
    }]})
}
