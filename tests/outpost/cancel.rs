//! A start that is stopped while it is waited for, or whose hub hangs up.

use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::support::app::basic;
use crate::support::wait::eventually;
use crate::{ALIVE, HUB1, body, failure, hubs, list, nothing_is_left, poll, post, start, start_server, stop};

#[tokio::test]
async fn a_stop_ends_a_start_that_is_waited_for() {
    let app = start(hubs()).await;
    let started = start_server(&app, HUB1, "lab", "s", json!({"image": "x/slow:1", "start_timeout": 600}));
    let stopped = async {
        app.cluster.pod_in_phase("jupyter-alice--lab", "Pending").await;
        poll(&app, HUB1, "lab/s").await.assert(200, ALIVE);
        assert_eq!(list(&app, HUB1).await[0]["start_pending"], true);
        stop(&app, HUB1, "lab/s").await
    };
    let (started, stopped) = futures::join!(started, stopped);
    stopped.assert(200, r#"{"logs":[]}"#);
    assert_eq!(failure(&started, "RuntimeError"), "the service was stopped while it started");
    nothing_is_left(&app).await;
    app.end().await;
}

#[tokio::test]
async fn an_async_stop_of_a_start_that_is_waited_for_is_answered_at_once() {
    let app = start(hubs()).await;
    let slow = json!({"image": "x/slow:1", "start_timeout": 600});
    let request = post(&body("lab", "s", &slow)).header("execution-type", "async");
    app.send_as(HUB1, request).await.assert(202, r#"{"service":""}"#);
    let stopped = crate::support::wire::Request::new("DELETE", "/services/lab/s").header("execution-type", "async");
    app.send_as(HUB1, stopped).await.assert(202, "{}");
    nothing_is_left(&app).await;
    app.end().await;
}

#[tokio::test]
async fn a_hub_that_hangs_up_finds_its_start_alive_and_can_stop_it() {
    let app = start(hubs()).await;
    let text = body("lab", "s", &json!({"image": "x/slow:1", "start_timeout": 600})).to_string();
    let mut stream = tokio::net::TcpStream::connect(app.address()).await.unwrap();
    let head = format!(
        "POST /services HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        basic(HUB1),
        text.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    app.cluster.pod_in_phase("jupyter-alice--lab", "Pending").await;
    drop(stream);
    poll(&app, HUB1, "lab/s").await.assert(200, ALIVE);
    stop(&app, HUB1, "lab/s").await.assert(200, r#"{"logs":[]}"#);
    nothing_is_left(&app).await;
    app.end().await;
}

#[tokio::test]
async fn the_end_of_the_process_answers_a_start_that_is_waited_for() {
    let mut app = start(hubs()).await;
    let address = app.address();
    let request = post(&body("lab", "s", &json!({"image": "x/slow:1", "start_timeout": 600})));
    let request = request.header("Authorization", &basic(HUB1));
    let waiting = tokio::spawn(async move { request.send(address).await });
    app.cluster.pod_in_phase("jupyter-alice--lab", "Pending").await;
    eventually("it is waited for", async || (list(&app, HUB1).await[0]["state_stored"] == true).then_some(())).await;
    app.stop_process().await;
    // The hub goes on to look for the server by itself, at the address.
    let answer = waiting.await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    app.start_process().await;
    poll(&app, HUB1, "lab/s").await.assert(200, ALIVE);
    stop(&app, HUB1, "lab/s").await.assert(200, r#"{"logs":[]}"#);
    nothing_is_left(&app).await;
    app.end().await;
}
