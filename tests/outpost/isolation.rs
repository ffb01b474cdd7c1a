//! Hubs do not see each other's services, and neither do the two protocols.

use serde_json::json;

use crate::support::app::JUPYTERHUB;
use crate::support::wire::Request;
use crate::{ALIVE, GONE, HUB1, HUB2, hubs, list, nothing_is_left, poll, start, start_server, stop};

#[tokio::test]
async fn each_hub_has_its_own_services_of_the_same_name_and_start_id() {
    let app = start(hubs()).await;
    assert_eq!(start_server(&app, HUB1, "lab", "s", json!({})).await.status, 200);
    poll(&app, HUB2, "lab/s").await.assert(404, GONE);
    stop(&app, HUB2, "lab/s").await.assert(404, GONE);
    assert_eq!(list(&app, HUB2).await, json!([]));
    assert_eq!(start_server(&app, HUB2, "lab", "s", json!({})).await.status, 200);
    stop(&app, HUB1, "lab/s").await.assert(200, r#"{"logs":[]}"#);
    poll(&app, HUB1, "lab/s").await.assert(404, GONE);
    poll(&app, HUB2, "lab/s").await.assert(200, ALIVE);
    assert_eq!(list(&app, HUB2).await.as_array().unwrap().len(), 1);
    stop(&app, HUB2, "lab/s").await.assert(200, r#"{"logs":[]}"#);
    nothing_is_left(&app).await;
    app.end().await;
}

#[tokio::test]
async fn neither_protocol_lists_or_reaches_services_of_the_other() {
    let app = start(hubs()).await;
    // The same login in both protocols.
    let mut wanted = crate::body("lab", "s1", &json!({}));
    wanted["user_options"]["service"] = json!("JupyterLab/Run");
    assert_eq!(app.send_as(JUPYTERHUB, crate::post(&wanted)).await.status, 200);
    assert_eq!(app.start_service(JUPYTERHUB, "lab", "s1", "JupyterLab/Run").await.status, 201);
    assert_eq!(app.list(JUPYTERHUB).await.json().items().len(), 1);
    assert_eq!(list(&app, JUPYTERHUB).await.as_array().unwrap().len(), 1);
    for name in ["lab%2Fs1", "lab/s1"] {
        for method in ["GET", "PUT", "DELETE"] {
            let answer = app.send_as(JUPYTERHUB, Request::new(method, &format!("/api/services/{name}/"))).await;
            assert_eq!(answer.status, 404, "{method} {name}: {}", answer.body);
        }
    }
    poll(&app, JUPYTERHUB, "lab").await.assert(404, GONE);
    app.delete(JUPYTERHUB, "lab").await.assert(204, "");
    poll(&app, JUPYTERHUB, "lab/s1").await.assert(200, ALIVE);
    assert_eq!(app.start_service(JUPYTERHUB, "lab", "s1", "JupyterLab/Run").await.status, 201);
    stop(&app, JUPYTERHUB, "lab/s1").await.assert(200, r#"{"logs":[]}"#);
    assert!(app.get(JUPYTERHUB, "lab").await.body.contains(r#""running":true"#));
    app.end().await;
}

#[tokio::test]
async fn only_who_may_start_services_is_let_in() {
    let app = start(hubs()).await;
    let refused = app.send_as("logonly:logpw", Request::get("/services/")).await;
    assert_eq!(refused.status, 403, "{}", refused.body);
    for method in ["PUT", "PATCH", "DELETE", "OPTIONS"] {
        let answer = app.send_as(HUB1, Request::new(method, "/services")).await;
        answer.assert(405, r#"{"detail":"Method Not Allowed"}"#);
        assert_eq!(answer.header("allow"), Some("GET, HEAD, POST"));
    }
    for method in ["POST", "PUT", "PATCH", "OPTIONS"] {
        let answer = app.send_as(HUB1, Request::new(method, "/services/lab/s")).await;
        answer.assert(405, r#"{"detail":"Method Not Allowed"}"#);
        assert_eq!(answer.header("allow"), Some("DELETE, GET, HEAD"));
    }
    app.send(&Request::new("POST", "/ping")).await.assert(405, r#"{"detail":"Method Not Allowed"}"#);
    app.send(&Request::new("HEAD", "/ping")).await.assert(200, "");
    app.end().await;
}
