//! Every recorded exchange of JupyterHub Outpost, or the reason why it is shown elsewhere.

use serde_json::{Value, json};

use crate::support::app::{TestApp, basic};
use crate::support::records::{self, Claims, Record, Scenario, claim_strength};
use crate::support::wait::eventually;
use crate::support::wire::{Answer, Request, send_raw};
use crate::{ALIVE, GONE, HUB1, ends_with, failure, hubs, list, nothing_is_left, poll, start, stop};

const FILE: &str = "outpost/transcripts.jsonl";

/// Who replays which records: an id, or a prefix that ends in `*`. The longest claim wins.
const SCENARIOS: &[(&str, Claims)] = &[
    ("paths", &["ping.*", "root", "doc/*", "auth.*", "services.*", "cors.*", "head.ping", "nousers", "basepath/*"]),
    ("bodies", &["post.*", "services.list.after422", "body.*"]),
    (
        "starts",
        &[
            "start.*",
            "poll.wrong.startid",
            "poll.unknown",
            "list.otherhub",
            "stop.minimal",
            "stop.unknown",
            "poll.after.stop",
            "poll.full*",
            "poll.sid2.afterstop",
            "stop.certs",
            "stop.async*",
            "poll.dup2",
            "stop.dup2.*",
            "poll.sid2.afterstop2",
            "stop.sid2.2",
            "sanitize",
            "poll.requires_state",
            "enddate.client*",
        ],
    ),
    ("failures", &["startfail.*"]),
    ("cancelled", &["stop.pending", "start.cancelled", "start.pend2", "stop.pend2"]),
    (
        "polls",
        &[
            "poll.running",
            "poll.terminated*",
            "poll.crashloop",
            "poll.podgone",
            "poll.pullfail",
            "poll.crashed.during.start",
            "logs.*",
        ],
    ),
    ("names", &["poll.name.*", "stop.name.*", "body.name.*", "name.*", "path.*", "raw.*"]),
    ("restarts", &["restart.poll*", "restart.stop*"]),
    ("a hub that takes no events", &["events.*"]),
    // Each is shown by the tests of what it is about.
    (
        "flavors and credits",
        &[
            "flavor.*",
            "flavors.*",
            "userflavors.*",
            "users.*",
            "hubs.*",
            "credits.*",
            "usercredits.*",
            "maxperuser.*",
            "enddate.set",
            "enddate.stopped",
            "basepath.redirect",
        ],
    ),
    ("what hubs are told", &["flavorsupdate.*", "restart.tunnels*", "restart.default"]),
    ("clean-up against hubs", &["cleanup.*"]),
];

fn owner(id: &str) -> &'static str {
    let strength = |claims: Claims| claims.iter().filter_map(|it| claim_strength(it, id)).max();
    let strongest = SCENARIOS.iter().filter_map(|(_, claims)| strength(claims)).max();
    let owners: Vec<_> = SCENARIOS.iter().filter(|(_, it)| strength(it) == strongest && strongest.is_some()).collect();
    assert_eq!(owners.len(), 1, "{id}: {owners:?}");
    owners[0].0
}

fn scenario(name: &'static str) -> Scenario {
    Scenario::of(FILE, |id| owner(id) == name)
}

#[test]
fn every_record_belongs_to_one_scenario() {
    let all = records::all_of(FILE);
    assert_eq!(all.len(), 221);
    all.iter().for_each(|it| assert!(!owner(&it.id).is_empty()));
    let is_idle = |(_, claims): &&(&str, Claims)| {
        claims.iter().any(|claim| !all.iter().any(|it| claim_strength(claim, &it.id).is_some()))
    };
    let idle: Vec<_> = SCENARIOS.iter().filter(is_idle).map(|(name, _)| name).collect();
    assert!(idle.is_empty(), "claim what was not recorded: {idle:?}");
}

async fn sent(app: &TestApp, record: &Record) -> Answer {
    app.send(&record.plain_request()).await
}

/// Sends what was recorded; status and body are those of the reference.
async fn same(app: &TestApp, record: &Record) {
    assert!(record.is_same(), "{} differs", record.id);
    let answer = sent(app, record).await;
    let recorded = record.get("response").unwrap();
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (record.status(), recorded.member("body").text()),
        "{}",
        record.id
    );
    for name in ["www-authenticate", "content-type"] {
        let expected = recorded.member("headers").get(name).map(|it| it.text());
        assert_eq!(answer.header(name), expected, "{}: {name}", record.id);
    }
}

/// Sends what was recorded; ours is another answer on purpose.
async fn differs(app: &TestApp, record: &Record, status: u16, body: &str) {
    assert!(!record.is_same(), "{} is the same", record.id);
    let answer = sent(app, record).await;
    assert_eq!((answer.status, answer.body.as_str()), (status, body), "{}", record.id);
}

fn address(app: &TestApp, scheme: &str, pod: &str, port: u16) -> String {
    json!({"service": format!("{scheme}://{pod}.{}.svc.cluster.local:{port}", app.cluster.namespace)}).to_string()
}

#[tokio::test]
async fn paths_and_logins_answer_as_recorded() {
    let app = start(hubs()).await;
    let records = scenario("paths");
    differs(&app, records.record("ping.slash"), 200, r#"{"ping":"pong!"}"#).await;
    differs(&app, records.record("head.ping"), 200, "").await;
    differs(&app, records.record("root"), 404, r#"{"detail":"Not found."}"#).await;
    for id in ["doc/openapi.json", "doc/docs", "basepath/openapi.json", "basepath/outpost/openapi.json"] {
        assert_eq!(sent(&app, records.record(id)).await.status, 200, "{id}");
    }
    assert_eq!(sent(&app, records.record("doc/redoc")).await.status, 404);
    differs(&app, records.record("services.list.noslash"), 200, "[]").await;
    let put = sent(&app, records.record("services.put")).await;
    put.assert(405, r#"{"detail":"Method Not Allowed"}"#);
    for id in ["cors.preflight", "cors.simple"] {
        let answer = sent(&app, records.record(id)).await;
        assert!(answer.headers.iter().all(|(name, _)| !name.starts_with("access-control")), "{id}");
    }
    let (posted, polled) = (records.record("services.post.slash"), records.record("services.trailing"));
    let started = sent(&app, posted).await;
    assert_eq!(started.status, 200, "{}", started.body);
    differs(&app, polled, 200, ALIVE).await;
    stop(&app, HUB1, "x").await.assert(200, r#"{"logs":[]}"#);
    let without_users = records.record("nousers").clone();
    for record in records.rest() {
        same(&app, record).await;
    }
    app.end().await;

    let app = TestApp::start().await;
    same(&app, &without_users).await;
    app.end().await;
}

#[tokio::test]
async fn wrong_bodies_are_refused_with_their_places_and_without_an_echo() {
    let app = start(hubs()).await;
    let records = scenario("bodies");
    let ours = |id: &str| match id {
        "post.422.env.string" | "post.422.env.null" | "post.422.env.list" => Some(vec![json!(["body", "env"])]),
        "post.422.uo.null" | "post.422.uo.list" | "post.422.uo.string" => Some(vec![json!(["body", "user_options"])]),
        "post.badjson" => Some(vec![json!(["body"])]),
        _ => None,
    };
    let (ignored, after) = (records.record("body.enddate.past"), records.record("services.list.after422"));
    for record in records.rest() {
        let answer = sent(&app, record).await;
        assert_eq!(answer.status, 422, "{}: {}", record.id, answer.body);
        let detail = answer.value()["detail"].as_array().unwrap().clone();
        let places: Vec<_> = detail.iter().map(|it| it["loc"].clone()).collect();
        let recorded =
            || -> Value { serde_json::from_str(record.get("response").unwrap().member("body").text()).unwrap() };
        let expected = ours(&record.id).unwrap_or_else(|| {
            let kinds = |all: &[Value]| all.iter().map(|it| it["type"].clone()).collect::<Vec<_>>();
            let recorded = recorded()["detail"].as_array().unwrap().clone();
            assert_eq!(kinds(&detail), kinds(&recorded), "{}", record.id);
            recorded.iter().map(|it| it["loc"].clone()).collect()
        });
        assert_eq!(places, expected, "{}", record.id);
        for it in &detail {
            let keys: Vec<_> = it.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(keys, ["loc", "msg", "type"], "{}", record.id);
            assert!(!it["msg"].as_str().unwrap().contains("abc"), "{}: {it}", record.id);
        }
    }
    same(&app, after).await;
    let started = sent(&app, ignored).await;
    assert_eq!(started.status, 200, "{}", started.body);
    let entry = &list(&app, HUB1).await[0];
    assert_eq!((&entry["end_date"], &entry["jupyterhub"]), (&json!("9999-12-31T23:59:59.999999"), &json!("hub1")));
    app.end().await;
}

#[tokio::test]
async fn starts_polls_and_stops_answer_as_recorded() {
    let app = start(hubs()).await;
    let records = scenario("starts");
    let record = |id: &str| records.record(id);
    differs(&app, record("start.minimal"), 200, &address(&app, "http", "jupyter---mini", 8888)).await;
    for id in ["poll.wrong.startid", "poll.unknown", "list.otherhub", "stop.minimal", "stop.unknown", "poll.after.stop"]
    {
        same(&app, record(id)).await;
    }
    nothing_is_left(&app).await;

    let full = address(&app, "http", "jupyter-ann--full1", 8899);
    differs(&app, record("start.full"), 200, &full).await;
    differs(&app, record("poll.full"), 200, ALIVE).await;
    differs(&app, record("poll.full.nosid"), 404, GONE).await;
    let before = app.cluster.snapshot().await;
    differs(&app, record("start.duplicate"), 200, &full).await;
    assert_eq!(app.cluster.snapshot().await, before);
    differs(&app, record("start.same.name.other.sid"), 200, &full).await;
    stop(&app, HUB1, "full1/sid1").await.assert(200, r#"{"logs":[]}"#);
    same(&app, record("poll.sid2.afterstop")).await;
    stop(&app, HUB1, "full1/sid2").await.assert(200, r#"{"logs":[]}"#);

    differs(&app, record("start.certs"), 200, &address(&app, "https", "jupyter-cert1", 8888)).await;
    same(&app, record("stop.certs")).await;
    nothing_is_left(&app).await;
    let expected = address(&app, "https", "jupyter--41nn-2e-42--cert2", 8888);
    differs(&app, record("start.certs.nossl"), 200, &expected).await;
    stop(&app, HUB1, "cert2/s").await.assert(200, r#"{"logs":[]}"#);

    differs(&app, record("start.async"), 202, r#"{"service":""}"#).await;
    poll(&app, HUB1, "as1/s").await.assert(200, ALIVE);
    differs(&app, record("stop.async"), 202, "{}").await;
    eventually("the async stop is carried out", async || {
        let answer = poll(&app, HUB1, "as1/s").await;
        assert!(answer.body == ALIVE || answer.status == 404, "{}", answer.body);
        (answer.status == 404).then_some(())
    })
    .await;
    same(&app, record("stop.async.unknown")).await;
    let expected = address(&app, "http", "jupyter--41nn-2e-42--as2", 8888);
    differs(&app, record("start.async.word"), 200, &expected).await;
    stop(&app, HUB1, "as2/s").await.assert(200, r#"{"logs":[]}"#);

    let full = address(&app, "http", "jupyter-ann--full2", 8899);
    differs(&app, record("start.full2"), 200, &full).await;
    differs(&app, record("start.duplicate2"), 200, &full).await;
    differs(&app, record("poll.dup2"), 200, ALIVE).await;
    assert_eq!(list(&app, HUB1).await.as_array().unwrap().len(), 1);
    differs(&app, record("start.same.name.other.sid2"), 200, &full).await;
    differs(&app, record("stop.dup2.1"), 200, r#"{"logs":[]}"#).await;
    differs(&app, record("stop.dup2.2"), 404, GONE).await;
    differs(&app, record("poll.sid2.afterstop2"), 200, ALIVE).await;
    same(&app, record("stop.sid2.2")).await;
    nothing_is_left(&app).await;

    let sanitized = sent(&app, record("sanitize")).await;
    assert_eq!(sanitized.status, 200, "{}", sanitized.body);
    stop(&app, crate::HUB2, "v1/s").await.assert(200, r#"{"logs":[]}"#);
    let ps = crate::post(&crate::body("ps", "s", &json!({"image": "x/slow:1"}))).header("execution-type", "async");
    app.send_as(HUB1, ps).await.assert(202, r#"{"service":""}"#);
    differs(&app, record("poll.requires_state"), 200, ALIVE).await;
    stop(&app, HUB1, "ps/s").await.assert(200, r#"{"logs":[]}"#);
    let past = sent(&app, record("enddate.client")).await;
    assert_eq!(past.status, 200, "{}", past.body);
    assert!(record("enddate.client.after").get("request").is_none());
    poll(&app, HUB1, "e3/s").await.assert(200, ALIVE);
    assert_eq!(list(&app, HUB1).await[0]["end_date"], "9999-12-31T23:59:59.999999");
    app.end().await;
}

#[tokio::test]
async fn starts_that_fail_are_told_as_soon_as_it_is_certain() {
    let app = start(hubs().grace_seconds(1)).await;
    let records = scenario("failures");
    for (id, class, part) in [
        ("startfail.pullfail", "RuntimeError", "ErrImagePull"),
        ("startfail.crash", "RuntimeError", "(exit code 3)"),
        ("startfail.done", "RuntimeError", "(exit code 0)"),
        ("startfail.slow", "TimeoutError", "6 seconds"),
        ("startfail.badname", "ValueError", "Bad_Name"),
        ("startfail.badns", "RuntimeError", "nope-ns"),
    ] {
        let text = failure(&sent(&app, records.record(id)).await, class);
        assert!(text.contains(part), "{id}: {text}");
        nothing_is_left(&app).await;
    }
    let started = sent(&app, records.record("startfail.badmisc")).await;
    assert_eq!(started.status, 200, "{}", started.body);
    differs(&app, records.record("startfail.async"), 202, r#"{"service":""}"#).await;
    ends_with(&app, HUB1, "asf/s", 3).await;
    app.end().await;
}

#[tokio::test]
async fn starts_that_are_stopped_end_at_once() {
    let app = start(hubs()).await;
    let records = scenario("cancelled");
    let slow = crate::post(&crate::body("pend1", "s", &json!({"image": "x/slow:1", "start_timeout": 600})));
    let started = app.send_as(HUB1, slow);
    let stopped = async {
        app.cluster.pod_in_phase("jupyter-alice--pend1", "Pending").await;
        same(&app, records.record("stop.pending")).await;
    };
    let (started, ()) = futures::join!(started, stopped);
    assert!(!records.record("start.cancelled").is_same());
    failure(&started, "RuntimeError");
    differs(&app, records.record("start.pend2"), 202, r#"{"service":""}"#).await;
    differs(&app, records.record("stop.pend2"), 202, "{}").await;
    nothing_is_left(&app).await;
    app.end().await;
}

#[tokio::test]
async fn polls_tell_how_servers_ended_and_what_they_wrote() {
    let app = start(hubs().grace_seconds(1)).await;
    let records = scenario("polls");
    let started = async |name: &str, image: &str| {
        let request = crate::post(&crate::body(name, "s", &json!({"image": image, "start_timeout": 600})));
        app.send_as(HUB1, request.header("execution-type", "async")).await.assert(202, r#"{"service":""}"#);
    };
    let ended = async |name: &str, state: Value, last: Value| {
        let status = json!({"phase": "Running", "containerStatuses": [{
            "name": "main", "image": "x/run:1", "imageID": "", "ready": false, "restartCount": 1, "state": state,
            "lastState": last,
        }]});
        app.cluster.pod_in_phase(&format!("jupyter-alice--{name}"), "Running").await;
        app.cluster.set_pod_status(&format!("jupyter-alice--{name}"), status).await;
    };
    let terminated = |exit_code: i64| json!({"terminated": {"exitCode": exit_code, "reason": "Error"}});
    started("ok", "x/run:1").await;
    app.cluster.pod_in_phase("jupyter-alice--ok", "Running").await;
    same(&app, records.record("poll.running")).await;
    for (name, exit_code) in [("terminated3", 3), ("terminated0", 0)] {
        started(name, "x/run:1").await;
        ended(name, terminated(exit_code), json!({})).await;
        ends_with(&app, HUB1, &format!("{name}/s"), exit_code).await;
        same(&app, records.record(&format!("poll.{name}"))).await;
        app.cluster.nothing_of(&format!("Pod/jupyter-alice--{name}")).await;
        let body = format!("{{\"status\":{exit_code},\"logs\":[]}}");
        differs(&app, records.record(&format!("poll.{name}.again")), 200, &body).await;
    }
    started("clb", "x/run:1").await;
    ended("clb", json!({"waiting": {"reason": "CrashLoopBackOff"}}), terminated(5)).await;
    ends_with(&app, HUB1, "clb/s", 5).await;
    differs(&app, records.record("poll.crashloop"), 200, r#"{"status":5,"logs":[]}"#).await;
    app.cluster.delete("Pod", "jupyter-alice--ok").await;
    ends_with(&app, HUB1, "ok/s", 1).await;
    differs(&app, records.record("poll.podgone"), 200, r#"{"status":1,"logs":[]}"#).await;
    started("pf", "x/pullfail:1").await;
    ends_with(&app, HUB1, "pf/s", 1).await;
    differs(&app, records.record("poll.pullfail"), 200, r#"{"status":1,"logs":[]}"#).await;
    started("cr", "x/crash:1").await;
    ends_with(&app, HUB1, "cr/s", 3).await;
    differs(&app, records.record("poll.crashed.during.start"), 200, r#"{"status":3,"logs":[]}"#).await;

    for name in ["l1", "l2", "l3"] {
        started(name, "x/run:1").await;
        app.cluster.pod_in_phase(&format!("jupyter-alice--{name}"), "Running").await;
    }
    let last_line = |answer: &Answer| {
        let lines = answer.value()["logs"].as_array().unwrap().clone();
        assert!(lines.iter().all(Value::is_string));
        lines.last().map(|it| it.as_str().unwrap().to_owned())
    };
    let written = Some("20 the <script>alert(1)</script> end".to_owned());
    for (id, expected) in [
        ("logs.poll", &written),
        ("logs.poll.TRUE", &written),
        ("logs.poll.false", &None),
        ("logs.poll.1", &None),
        ("logs.stop", &written),
    ] {
        let answer = sent(&app, records.record(id)).await;
        assert_eq!((answer.status, &last_line(&answer)), (200, expected), "{id}");
    }
    differs(&app, records.record("logs.stop.async"), 202, "{}").await;
    ended("l1", terminated(5), json!({})).await;
    ends_with(&app, HUB1, "l1/s", 5).await;
    differs(&app, records.record("logs.poll.failed"), 200, r#"{"status":5,"logs":[]}"#).await;
    let again = sent(&app, records.record("logs.poll.failed2")).await;
    assert_eq!((&again.value()["status"], last_line(&again)), (&json!(5), written));
    app.end().await;
}

#[tokio::test]
async fn odd_names_are_polled_as_they_were_started() {
    let app = start(hubs()).await;
    let records = scenario("names");
    let refused = sent(&app, records.record("body.name.odd")).await;
    assert_eq!(refused.status, 422, "{}", refused.body);
    for id in ["poll.name.odd", "stop.name.odd"] {
        differs(&app, records.record(id), 404, r#"{"detail":"Not Found"}"#).await;
    }
    differs(&app, records.record("path.double"), 404, GONE).await;
    let started = sent(&app, records.record("body.name.empty")).await;
    assert_eq!(started.status, 200, "{}", started.body);
    differs(&app, records.record("poll.name.empty"), 200, ALIVE).await;
    differs(&app, records.record("stop.name.empty"), 200, r#"{"logs":[]}"#).await;
    for id in ["path.name.slash", "path.name.slash.del", "path.double2", "path.name.slash.q"] {
        differs(&app, records.record(id), 404, GONE).await;
    }
    for name in ["Weird Name", "ümlaut"] {
        assert_eq!(crate::start_server(&app, HUB1, name, "s", json!({})).await.status, 200);
    }
    differs(&app, records.record("name.escaped.space"), 200, ALIVE).await;
    differs(&app, records.record("name.escaped.utf8"), 200, ALIVE).await;
    for (id, status) in [("raw.space", 400), ("raw.utf8", 200)] {
        let line = records.record(id).get("raw_request").unwrap().text().to_owned();
        let request = format!("{line}\r\nHost: x\r\nAuthorization: {}\r\nConnection: close\r\n\r\n", basic(HUB1));
        assert_eq!(send_raw(app.address(), request.as_bytes()).await.status, status, "{id}");
    }
    app.end().await;
}

#[tokio::test]
async fn a_restart_changes_no_answer() {
    let mut app = start(hubs()).await;
    let records = scenario("restarts");
    assert_eq!(crate::start_server(&app, HUB1, "t1", "s", json!({})).await.status, 200);
    let slow = crate::post(&crate::body("t6", "s", &json!({"image": "x/slow:1"}))).header("execution-type", "async");
    app.send_as(HUB1, slow).await.assert(202, r#"{"service":""}"#);
    app.restart().await;
    same(&app, records.record("restart.poll")).await;
    same(&app, records.record("restart.poll.pending")).await;
    differs(&app, records.record("restart.stop.pending"), 200, r#"{"logs":[]}"#).await;
    same(&app, records.record("restart.stop")).await;
    nothing_is_left(&app).await;
    app.end().await;
}

#[tokio::test]
async fn a_hub_that_takes_no_events_fails_no_start() {
    let app = start(hubs()).await;
    let records = scenario("a hub that takes no events");
    for record in records.rest() {
        let answer = sent(&app, record).await;
        assert_eq!(answer.status, 200, "{}: {}", record.id, answer.body);
    }
    app.end().await;
}

#[tokio::test]
async fn everything_is_served_beneath_the_base_path_too() {
    let app = start(hubs()).await;
    let request = crate::post(&crate::body("lab", "s", &json!({})));
    let beneath = Request { path: "/outpost/services".to_owned(), ..request };
    assert_eq!(app.send_as(HUB1, beneath).await.status, 200);
    app.send_as(HUB1, Request::get("/outpost/services/lab/s")).await.assert(200, ALIVE);
    poll(&app, HUB1, "lab/s").await.assert(200, ALIVE);
    app.send_as(HUB1, Request::get("/outpost/nothing")).await.assert(404, r#"{"detail":"Not Found"}"#);
    app.send_as(HUB1, Request::new("DELETE", "/outpost/services/lab/s")).await.assert(200, r#"{"logs":[]}"#);
    nothing_is_left(&app).await;
    app.end().await;
}
