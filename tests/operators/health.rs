//! `/livez` and `/readyz`, as a kubelet and a person ask them.

use std::time::Duration;

use serde_json::json;

use crate::support::app::{JUPYTERHUB, TestApp};
use crate::support::turns::alone;
use crate::support::wait::eventually;
use crate::support::wire::Request;

async fn ready(app: &TestApp, query: &str) -> (u16, String) {
    let answer = app.send(&Request::get(&format!("/readyz{query}"))).await;
    (answer.status, answer.body)
}

#[tokio::test]
async fn a_service_that_works_is_ready_and_says_what_was_looked_at() {
    let app = TestApp::start().await;
    app.send(&Request::get("/livez")).await.assert(200, "ok");
    app.send(&Request::get("/livez/?verbose")).await.assert(200, "[+]ping ok\nlivez check passed\n");
    eventually("the cluster was seen", async || (ready(&app, "").await == (200, "ok".to_owned())).then_some(())).await;
    // The descriptions of the records are broken on purpose.
    let (status, text) = ready(&app, "?verbose&exclude=descriptions").await;
    let expected = "[+]started ok\n[+]database ok\n[+]cluster ok\n[+]sweep ok\n[+]leader ok\n[+]config ok\n[+]flavors ok\n\
                    [+]descriptions excluded: ok\n[+]skeletons ok\n[+]user-jobs ok\n[+]hubs ok\n[+]log-handlers ok\n[+]shutdown ok\nreadyz check passed\n";
    assert_eq!((status, text.as_str()), (200, expected));
    let head = app.send(&Request::new("HEAD", "/readyz")).await;
    assert_eq!(head.status, 200);
    let refused = app.send(&Request::new("POST", "/readyz")).await;
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD")));
    app.end().await;
}

#[tokio::test]
async fn an_api_server_that_is_away_is_told_and_leaves_the_service_ready() {
    let app = TestApp::start().await;
    let Some(faults) = app.cluster.faults() else { return app.end().await };
    assert_eq!(app.start_service(JUPYTERHUB, "lab", "s1", "JupyterLab/Run").await.status, 201);
    app.cluster.pod_in_phase("depl-lab-s1-", "Running").await;
    faults.down(true);
    let (status, text) = eventually("the outage is told", async || {
        let told = ready(&app, "?verbose").await;
        told.1.contains("[!]cluster failed: since ").then_some(told)
    })
    .await;
    assert_eq!(status, 200, "were no replica ready, every poll would fail: {text}");
    assert!(text.contains("the watch on ") && !text.contains("127.0.0.1"), "{text}");
    assert_eq!(app.get(JUPYTERHUB, "lab").await.status, 200);
    let page = app.send(&Request::get("/metrics")).await.body;
    let ages = page.lines().filter(|it| it.starts_with("k8smgr_watch_failing_seconds{"));
    assert!(ages.filter_map(|it| it.rsplit(' ').next()?.parse::<f64>().ok()).any(|it| it > 0.0), "{page}");
    faults.down(false);
    let back = crate::support::wait::eventually_within(Duration::from_secs(60), "the watches are back", async || {
        ready(&app, "?verbose").await.1.contains("[+]cluster ok").then_some(())
    });
    back.await;
    app.end().await;
}

#[tokio::test]
async fn a_bad_configuration_is_told_without_its_values() {
    let _alone = alone();
    let app = TestApp::start().await;
    app.edit_config(|config| config["services"]["ended_ttl_seconds"] = json!("hunter2"));
    let (status, text) = eventually("it is told", async || {
        let told = ready(&app, "?verbose").await;
        told.1.contains("[!]config failed: since ").then_some(told)
    })
    .await;
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("`services.ended_ttl_seconds` is wrong; the last good one stays"), "{text}");
    assert!(!text.contains("hunter2") && !text.contains(app.path("").to_str().unwrap()), "{text}");
    let page = app.send(&Request::get("/metrics")).await.body;
    assert!(page.contains("\nk8smgr_config_last_reload_success 0\n"), "{page}");
    app.edit_config(|config| config["services"]["ended_ttl_seconds"] = json!(7));
    eventually("it is good again", async || ready(&app, "?verbose").await.1.contains("[+]config ok").then_some(()))
        .await;
    app.end().await;
}
