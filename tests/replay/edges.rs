//! JSON, HTTP and sizes at their edges: `edge.*`.

use crate::coverage::scenario;
use crate::support::app::{JUPYTERHUB, TestApp, basic, start_body};
use crate::support::json::Json;
use crate::support::records::Claims;
use crate::support::wire::{Request, send_raw};

pub const CLAIMS: Claims = &["edge.*"];

#[tokio::test]
async fn edges_of_json_http_and_sizes() {
    let app = TestApp::start().await;
    let records = scenario("edges");

    app.refused(records.record("edge.json.inf")).await;
    app.refused(records.record("edge.json.surrogate")).await;
    app.differs_with(records.record("edge.json.surrogate.list"), 200, "[]").await;
    for id in ["get", "delete"] {
        let record = records.record(&format!("edge.json.surrogate.{id}"));
        app.differs_with(record, 404, r#"{"detail":"Not found."}"#).await;
    }
    let nul = app.refused(records.record("edge.json.nul")).await;
    assert_eq!(nul.body, r#"{"start_id":["Null characters are not allowed."]}"#);
    app.refused(records.record("edge.json.deep")).await;

    // Numbers, texts and keys come back as they were sent: the service that `edge.http10` polls.
    let http10 = records.record("edge.http10");
    let recorded = http10.get("raw_response").unwrap().text();
    let recorded = Json::parse(recorded.split_once("\r\n\r\n").unwrap().1);
    let echoed = recorded.member("user_options").to_text();
    let environment = r#"{"JUPYTERHUB_STATUS_URL":"u","JUPYTERHUB_API_TOKEN":"t","JUPYTERHUB_USER_ID":7}"#;
    let body = format!(r#"{{"env":{environment},"user_options":{echoed},"start_id":"e0000001"}}"#);
    let post = |name: &str, body: String| {
        let request = Request::new("POST", "/api/services/").header("uuidcode", name);
        request.header("Content-Type", "application/json").body(body)
    };
    let started = app.send_as(JUPYTERHUB, post("edge1", body)).await;
    assert_eq!((started.status, started.json().member("user_options").to_text()), (201, echoed.clone()));
    let polled = send_raw(app.address(), &http10.raw_request()).await;
    assert_eq!((polled.status, polled.json().member("user_options").to_text()), (200, echoed));

    // Large, and too large for a Secret.
    let large = start_body("JupyterLab/Run", "e0000007").to_string();
    let filler = "x".repeat(3_000_209 - large.len() - r#","filler":"""#.len());
    assert_eq!(records.record("edge.body.3mb").get("body_length").unwrap().to_text(), "3000209");
    let ignored = large.replacen('{', &format!(r#"{{"filler":"{filler}","#), 1);
    assert_eq!(app.send_as(JUPYTERHUB, post("edge7", ignored)).await.status, 201);
    // What is kept and told in every list has a bound of its own.
    let options = r#""user_options":{"#;
    let kept = large.replacen(options, &format!(r#"{options}"filler":"{filler}","#), 1);
    let refused = app.send_as(JUPYTERHUB, post("edge6", kept)).await;
    refused.assert(400, r#"{"user_options":["Ensure this field has no more than 262144 bytes."]}"#);
    records.record("edge.env.1mb");
    let mut large = start_body("JupyterLab/Run", "e0000008");
    large["env"]["FILLER"] = "x".repeat(1_100_000).into();
    let refused = app.post(JUPYTERHUB, "edge8", &large).await;
    assert!(matches!(refused.status, 400 | 500), "{}", refused.status);
    assert!(refused.body.len() < 4096 && refused.body.contains("1048576"), "says the limit: {}", refused.body);
    app.cluster.nothing_of("edge8").await;

    for (id, status) in [
        ("edge.chunked", 201),
        ("edge.nohost", 200),
        ("edge.twouuid", 400),
        ("edge.badrequest", 400),
        ("edge.headers.0", 200),
        ("edge.headers.1", 401),
        ("edge.headers.2", 404),
        ("edge.headers.3", 200),
        ("edge.headers.4", 401),
        ("edge.headers.5", 204),
    ] {
        let answer = send_raw(app.address(), &records.record(id).raw_request()).await;
        assert_eq!(answer.status, status, "{id}: {}", answer.body);
    }
    // The record cut these two short: a header line of 9000 bytes, a path of 5000.
    records.record("edge.longheader");
    let request = Request::get("/api/health/").header("X-A", &"a".repeat(9000));
    assert_eq!(app.send(&request).await.status, 200);
    records.record("edge.longpath");
    assert_eq!(app.get(JUPYTERHUB, &"a".repeat(5000)).await.status, 404);

    app.stop_is_carried_out("edge1").await;
    let list = app.send(&Request::get("/api/services/").header("Authorization", &basic(JUPYTERHUB))).await;
    let names: Vec<_> = list.json().items().iter().map(|it| it.member("servername").text().to_owned()).collect();
    assert_eq!(names, ["edge7", "edge9"], "the chunked one was started, edge1 was deleted");
    drop(records);
    app.end().await;
}
