//! Names as users choose them: empty, odd, percent-encoded; beneath the base path, too.

use serde_json::json;

use crate::support::app::basic;
use crate::support::wire::send_raw;
use crate::{ALIVE, GONE, HUB1, body, hubs, nothing_is_left, poll, post, start, start_server, stop};

#[tokio::test]
async fn the_default_server_has_an_empty_name_and_is_polled_and_stopped() {
    let app = start(hubs()).await;
    let started = start_server(&app, HUB1, "", "s", json!({})).await;
    assert_eq!(started.status, 200, "{}", started.body);
    assert!(started.body.contains("http://jupyter-alice."), "{}", started.body);
    for path in ["/s", "/s/"] {
        poll(&app, HUB1, path).await.assert(200, ALIVE);
    }
    // Without its start id nothing is meant by it.
    poll(&app, HUB1, "/").await.assert(404, GONE);
    stop(&app, HUB1, "/").await.assert(404, GONE);
    poll(&app, HUB1, "/s").await.assert(200, ALIVE);
    stop(&app, HUB1, "/s").await.assert(200, r#"{"logs":[]}"#);
    poll(&app, HUB1, "/s").await.assert(404, GONE);
    nothing_is_left(&app).await;
    app.end().await;
}

#[tokio::test]
async fn odd_names_are_started_polled_and_stopped() {
    let app = start(hubs()).await;
    for (name, path, pod) in [
        ("Weird Name", "Weird%20Name/s", "jupyter-alice---57eird-20-4eame"),
        ("ümlaut", "%C3%BCmlaut/s", "jupyter-alice---c3-bcmlaut"),
        ("a.b+c", "a.b%2Bc/s", "jupyter-alice--a-2eb-2bc"),
        ("..", "%2E%2E/s", "jupyter-alice---2e-2e"),
        ("<id>", "%3Cid%3E/s", "jupyter-alice---3cid-3e"),
    ] {
        let started = start_server(&app, HUB1, name, "s", json!({})).await;
        assert_eq!(started.status, 200, "{name}: {}", started.body);
        assert!(started.body.contains(&format!("http://{pod}.")), "{name}: {}", started.body);
        poll(&app, HUB1, path).await.assert(200, ALIVE);
        stop(&app, HUB1, path).await.assert(200, r#"{"logs":[]}"#);
        poll(&app, HUB1, path).await.assert(404, GONE);
        nothing_is_left(&app).await;
    }
    app.end().await;
}

#[tokio::test]
async fn a_raw_name_is_read_where_its_request_line_can_be() {
    let app = start(hubs()).await;
    assert_eq!(start_server(&app, HUB1, "ümlaut", "s", json!({})).await.status, 200);
    let request = |path: &str| {
        let authorization = basic(HUB1);
        format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\nConnection: close\r\n\r\n")
            .into_bytes()
    };
    send_raw(app.address(), &request("/services/ümlaut/s")).await.assert(200, ALIVE);
    assert_eq!(send_raw(app.address(), &request("/services/Weird Name/s")).await.status, 400);
    app.end().await;
}

#[tokio::test]
async fn names_that_no_path_can_hold_are_refused_at_the_start() {
    let app = start(hubs()).await;
    for name in ["a/b", "a\nb", "a\u{0}b", " ", &"x".repeat(256)] {
        let refused = start_server(&app, HUB1, name, "s", json!({})).await;
        assert_eq!(refused.status, 422, "{name:?}: {}", refused.body);
        let detail = &refused.value()["detail"][0];
        assert_eq!((&detail["type"], &detail["loc"]), (&json!("value_error"), &json!(["body", "name"])), "{name:?}");
    }
    nothing_is_left(&app).await;
    app.end().await;
}

#[tokio::test]
async fn a_start_without_a_start_id_is_number_nought_and_long_names_are_shortened() {
    let app = start(hubs()).await;
    let mut wanted = body("lab", "", &json!({}));
    wanted["user_options"] = json!({});
    assert_eq!(app.send_as(HUB1, post(&wanted)).await.status, 200);
    for path in ["lab", "lab/", "lab/0"] {
        poll(&app, HUB1, path).await.assert(200, ALIVE);
    }
    stop(&app, HUB1, "lab/").await.assert(200, r#"{"logs":[]}"#);
    let long = "l".repeat(200);
    let started = start_server(&app, HUB1, &long, "s", json!({})).await;
    assert_eq!(started.status, 200, "{}", started.body);
    poll(&app, HUB1, &format!("{long}/s")).await.assert(200, ALIVE);
    stop(&app, HUB1, &format!("{long}/s")).await.assert(200, r#"{"logs":[]}"#);
    nothing_is_left(&app).await;
    app.end().await;
}
