//! The lines of a request: its name on all of them, its secrets on none.

use serde_json::{Value, json};

use crate::support::app::{JUPYTERHUB, start_body};
use crate::support::log_lines::lines_of;
use crate::support::wire::Request;
use crate::{add, app, log_test};

#[tokio::test]
async fn the_uuidcode_is_on_every_line_of_a_request() {
    let app = app().await;
    let mut configuration = crate::file(&app, "k.log", "TRACE");
    configuration["formatter"] = json!("json");
    assert_eq!(add(&app, "file", configuration).await.status, 201);
    let request = Request::get("/api/logs/logtest/").header("uuidcode", "täst");
    app.send_as(JUPYTERHUB, request).await.assert(200, "");
    assert_eq!(app.start_service(JUPYTERHUB, "one", "s1", "JupyterLab/Run").await.status, 201);
    assert_eq!(app.start_service(JUPYTERHUB, "two", "s1", "No/Such").await.status, 500);
    log_test(&app).await;
    // One line of the start, one of the failed start, six of each test, and the handler's first.
    let lines = lines_of(&app.path("k.log"), 15).await;
    let lines: Vec<Value> = lines.iter().map(|it| serde_json::from_str(it).unwrap()).collect();
    let of = |name: &str| lines.iter().filter(|it| it["uuidcode"] == name).map(|it| &it["Message"]).collect::<Vec<_>>();
    assert_eq!(of("two"), ["start failed"]);
    assert!(of("one").contains(&&json!("service started")), "{lines:?}");
    let tests = lines.iter().filter(|it| it["Message"] == "Trace").map(|it| it["uuidcode"].as_str());
    assert_eq!(tests.map(|it| it.is_some()).collect::<Vec<_>>(), [true, false]);
    app.end().await;
}

#[tokio::test]
async fn no_secret_of_a_request_is_logged_on_any_level() {
    let app = app().await;
    assert_eq!(add(&app, "file", crate::file(&app, "k.log", "NOTSET")).await.status, 201);
    let mut body = start_body("JupyterLab/Run", "s1");
    body["env"]["JUPYTERHUB_API_TOKEN"] = json!("5ecret-api");
    body["auth_state"] = json!({"access_token": "5ecret-state"});
    body["certs"] = json!({"keyfile": "5ecret-key", "certfile": "5ecret-cert", "cafile": "5ecret-ca"});
    for service in ["JupyterLab/Run", "No/Such"] {
        body["user_options"]["service"] = json!(service);
        body["start_id"] = json!(format!("s{}", service.len()));
        let request = Request::new("POST", "/api/services/").header("uuidcode", "one").json(&body);
        app.send_as(JUPYTERHUB, request.header("access-token", "5ecret-header")).await;
    }
    app.get(JUPYTERHUB, "one").await;
    app.delete(JUPYTERHUB, "one").await;
    app.send(&Request::get("/api/services/").header("Authorization", "token 5ecret-token-0123456789")).await;
    app.send_as("jupyterhub:5ecret-password", Request::get("/api/services/")).await;
    log_test(&app).await;
    let lines = lines_of(&app.path("k.log"), 9).await.join("\n");
    assert!(!lines.contains("5ecret") && !lines.contains("anVweXRlcmh1Yjp"), "{lines}");
    app.end().await;
}
