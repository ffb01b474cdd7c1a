//! The story of a start, as its hub hears it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::app::{JUPYTERHUB, OTHERHUB, TestApp, start_body};
use crate::support::hub_receiver::{Authority, HubReceiver, Told};
use crate::support::outpost_start::{counted_before, counter};
use crate::support::postgres_server::PostgresServer;
use crate::support::turns::alone;
use crate::support::wait::eventually;
use crate::support::wire::Answer;

const TOKEN: &str = "marker-server-token";
const STATUS: &str = "/hub/api/users/progress/status/alice/lab";

/// As EventBackendSpawner asks for it.
fn body(hub: &HubReceiver, service: &str, start_id: &str) -> Value {
    let mut body = start_body(service, start_id);
    body["env"]["JUPYTERHUB_API_URL"] = json!(hub.url("/hub/api"));
    body["env"]["JUPYTERHUB_STATUS_URL"] = json!("users/progress/status/alice/lab");
    body["env"]["JUPYTERHUB_API_TOKEN"] = json!(TOKEN);
    body
}

async fn start(app: &TestApp, hub: &HubReceiver, name: &str, service: &str) -> Answer {
    let answer = app.post(JUPYTERHUB, name, &body(hub, service, "s1")).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer
}

fn messages(told: &[Told]) -> Vec<String> {
    told.iter().map(|it| it.json()["html_message"].as_str().unwrap().to_owned()).collect()
}

/// Waits until something that was told holds this, and gives all that was told.
async fn told(hub: &HubReceiver, part: &str) -> Vec<Told> {
    eventually(&format!("the hub is told {part:?}"), async || {
        let told = hub.told();
        messages(&told).iter().any(|it| it.contains(part)).then_some(told)
    })
    .await
}

fn assert_is_told(told: &[Told], parts: &[&str]) {
    let messages = messages(told);
    let fits = messages.len() == parts.len() && messages.iter().zip(parts).all(|(it, part)| it.contains(part));
    assert!(fits, "{messages:#?} instead of {parts:#?}");
}

/// The pod of a start, once there is one.
async fn pod(app: &TestApp, prefix: &str) -> String {
    eventually("the pod is made", async || app.cluster.pods(prefix).await.into_iter().next()).await
}

/// The watch on events begins with the first start that is told.
async fn warm_up(app: &TestApp) -> HubReceiver {
    let hub = HubReceiver::start().await;
    start(app, &hub, "warm", "JupyterLab/Slow").await;
    told(&hub, "has a place on").await;
    hub
}

const WAY: [&str; 6] = [
    "Your server has a place on ",
    "Fetching the software x/run:1 (",
    "The software is there (",
    "Your server is set up (",
    "Your server runs (",
    "Your server is ready; waiting for it to answer (",
];

#[tokio::test]
async fn the_way_of_a_start_is_told_in_order_and_by_the_server_s_own_token() {
    let hub = HubReceiver::start().await;
    let app = TestApp::start().await;
    let calls = || app.cluster.calls().unwrap_or_default();
    // What a start costs that is not told. The first of all meets what is not known yet.
    warm_up(&app).await;
    for name in ["known", "untold"] {
        assert_eq!(app.start_service(JUPYTERHUB, name, "s1", "JupyterLab/Run").await.status, 201);
        app.cluster.pod_in_phase(&format!("depl-{name}-s1-"), "Running").await;
    }
    let before = calls();
    assert_eq!(app.start_service(JUPYTERHUB, "untold2", "s1", "JupyterLab/Run").await.status, 201);
    let untold = calls() - before;
    let before = calls();
    start(&app, &hub, "lab", "JupyterLab/Run").await;
    let all = told(&hub, "is ready").await;
    let cost = calls() - before;
    assert!(cost <= untold + 1, "{cost} calls, {untold} without being told");

    assert_is_told(&all, &WAY);
    let mut before = 30;
    for it in &all {
        assert_eq!((it.method.as_str(), it.path.as_str()), ("POST", STATUS));
        assert_eq!(it.header("authorization"), Some(&*format!("token {TOKEN}")));
        assert_eq!(it.header("content-type"), Some("application/json"));
        let event = it.json();
        assert_eq!(event.as_object().unwrap().len(), 3, "{event}");
        assert_eq!(event["failed"], false);
        let progress = event["progress"].as_u64().unwrap();
        assert!(progress > before && progress < 100, "{event}");
        before = progress;
    }
    app.end().await;
}

#[tokio::test]
async fn a_server_that_crashes_is_told_at_once_with_its_last_lines_as_a_poll_tells_it() {
    let hub = HubReceiver::start().await;
    let app = TestApp::start().await;
    start(&app, &hub, "lab", "JupyterLab/Crash").await;
    let started = Instant::now();
    let all = told(&hub, "could not be started").await;
    println!("told {:?} after the start; it crashes after 0.25 s", started.elapsed());
    let failures: Vec<_> = all.iter().filter(|it| it.json()["failed"] == true).collect();
    assert_eq!(failures.len(), 1, "{all:?}");
    let last = all.last().unwrap().json();
    assert_eq!((&last["failed"], &last["progress"]), (&json!(true), &json!(100)));
    let polled = app.get(JUPYTERHUB, "lab").await.value();
    assert_eq!(polled["running"], false);
    let (error, explanation) = (polled["details"]["error"].as_str(), polled["details"]["detailed_error"].as_str());
    let message = last["html_message"].as_str().unwrap();
    assert!(message.starts_with("<details><summary>Your server could not be started ("), "{message}");
    assert!(message.contains(&format!("): {} (exit code 3)</summary>", error.unwrap())), "{message}");
    assert!(message.ends_with(&format!("{}</details>", explanation.unwrap())), "{message}");
    assert!(
        message.contains("&lt;script&gt;alert(1)&lt;/script&gt; end") && !message.contains("<script>"),
        "{message}"
    );
    app.end().await;
}

#[tokio::test]
async fn what_holds_a_start_up_is_told_once_escaped_and_in_an_admin_s_words() {
    let hub = HubReceiver::start().await;
    let app = TestApp::builder()
        .edit(|config| {
            config["progress_messages"] = json!({"unschedulable": "<b>No room</b> {message}", "pulling": ""})
        })
        .grace_seconds(3600)
        .start()
        .await;
    warm_up(&app).await;
    start(&app, &hub, "lab", "JupyterLab/PullFail").await;
    let all = told(&hub, "cannot be fetched").await;
    assert_is_told(&all, &["has a place on", "cannot be fetched, trying again ("]);
    let failure = messages(&all).remove(1);
    let (_, rest) = failure.split_once("trying again (").unwrap();
    let (seconds, reason) = rest.split_once(" s): ").unwrap();
    seconds.parse::<u64>().unwrap();
    assert!(reason.starts_with("Failed to pull image: rpc error: &lt;b&gt;not found"), "{failure}");
    let pod = pod(&app, "depl-lab-s1-").await;
    for round in 0..3 {
        let hostile = "<img src=x onerror=alert(1)> {time}";
        app.cluster.add_event(&pod, &format!("room{round}"), "Warning", "FailedScheduling", hostile).await;
    }
    let all = told(&hub, "No room").await;
    assert_is_told(&all[2..], &["<b>No room</b> &lt;img src=x onerror=alert(1)&gt; {time}"]);

    // An end that comes by time: as soon as a poll would tell it.
    app.clock.advance(Duration::from_secs(3600));
    let all = told(&hub, "could not be started").await;
    assert_is_told(&all[3..], &["Service cannot start"]);
    assert_eq!(app.get(JUPYTERHUB, "lab").await.value()["running"], false);
    app.end().await;
}

#[tokio::test]
async fn a_hub_that_refuses_is_left_alone_and_one_that_is_away_is_given_up_and_neither_is_in_the_way() {
    let (refusing, away) = (HubReceiver::start().await, HubReceiver::start().await);
    refusing.answer("/hub/api/", 403);
    away.be_away(true);
    let app = TestApp::start().await;
    warm_up(&app).await;
    start(&app, &refusing, "refused", "JupyterLab/Run").await;
    start(&app, &away, "away", "JupyterLab/Run").await;
    refusing.has(1).await;
    for attempt in 1..=4 {
        eventually("the one that is away is tried again", async || {
            app.clock.advance(Duration::from_secs(1));
            (away.missed() >= attempt).then_some(())
        })
        .await;
    }
    for name in ["refused", "away"] {
        assert_eq!(app.get(JUPYTERHUB, name).await.value()["running"], true);
    }
    // Given up; a start of now is told again.
    away.be_away(false);
    app.clock.advance(Duration::from_secs(30));
    app.post(JUPYTERHUB, "again", &body(&away, "JupyterLab/Run", "s1")).await;
    let all = told(&away, "is ready").await;
    assert_is_told(&all[all.len() - 6..], &WAY);
    assert_eq!(refusing.told().len(), 1);
    for name in ["refused", "away", "again", "warm"] {
        app.delete(JUPYTERHUB, name).await.assert(204, "");
    }
    app.cluster.nothing_of("").await;
    app.end().await;
}

#[tokio::test]
async fn nothing_goes_elsewhere_than_to_the_hub_s_own_api() {
    let (hub, other) = (HubReceiver::start().await, HubReceiver::start().await);
    let own = hub.url("/hub/api");
    let app = TestApp::builder()
        .edit(move |config| {
            config["hubs"] = json!({"jupyterhub": {"api_url": own}, "otherhub": {"progress_events": false}});
        })
        .start()
        .await;
    let with = |api: &str, status: &str| {
        let mut body = body(&hub, "JupyterLab/Run", "s1");
        body["env"]["JUPYTERHUB_API_URL"] = json!(api);
        body["env"]["JUPYTERHUB_STATUS_URL"] = json!(status);
        body
    };
    let path = "users/progress/status/alice/lab";
    for (name, api, status) in [
        ("whole", &other.url("/hub/api"), other.url("/hub/api/x").as_str()),
        ("above", &hub.url("/hub/api"), "../../admin"),
        ("beside", &hub.url("/hub/api"), hub.url("/hub/apix").as_str()),
    ] {
        assert_eq!(app.post(JUPYTERHUB, name, &with(api, status)).await.status, 201, "{name}");
        app.cluster.pod_in_phase(&format!("depl-{name}-s1-"), "Running").await;
    }
    // A path is taken beneath what is configured, whatever the start says of the API.
    assert_eq!(app.post(JUPYTERHUB, "lab", &with(&other.url("/hub/api"), path)).await.status, 201);
    told(&hub, "is ready").await;
    assert!(hub.told().iter().all(|it| it.path == STATUS));
    assert!(other.told().is_empty());
    app.end().await;
}

#[tokio::test]
async fn addresses_that_no_hub_has_are_not_connected_to() {
    let refused = r#"k8smgr_hub_events_total{credential="jupyterhub",outcome="refused"}"#;
    let (_alone, before) = (alone(), counted_before(refused));
    let hub = HubReceiver::start().await;
    let app = TestApp::start().await;
    let mut metadata = body(&hub, "JupyterLab/Run", "s1");
    metadata["env"]["JUPYTERHUB_API_URL"] = json!("http://169.254.169.254/hub/api");
    assert_eq!(app.post(JUPYTERHUB, "lab", &metadata).await.status, 201);
    eventually("the address is refused", async || (counter(&app, refused).await > before).then_some(())).await;
    assert_eq!(app.get(JUPYTERHUB, "lab").await.value()["running"], true);
    app.end().await;
}

#[tokio::test]
async fn a_hub_behind_tls_is_told_where_its_authority_is_configured() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::make(folder.path(), "ca");
    let hub = HubReceiver::with_tls(&authority).await;
    let file = authority.file.clone();
    let app = TestApp::builder()
        .edit(move |config| config["hubs"] = json!({"otherhub": {}, "jupyterhub": {"certificate_path": file}}))
        .start()
        .await;
    let plain = HubReceiver::start().await;
    assert_eq!(app.post(OTHERHUB, "warm", &body(&plain, "JupyterLab/Run", "s1")).await.status, 201);
    told(&plain, "has a place on").await;
    start(&app, &hub, "lab", "JupyterLab/Run").await;
    assert_is_told(&told(&hub, "is ready").await, &WAY);
    // Another hub's login does not trust it.
    assert_eq!(app.post(OTHERHUB, "lab2", &body(&hub, "JupyterLab/Run", "s1")).await.status, 201);
    eventually("it was tried and failed", async || {
        let page = app.send(&crate::support::wire::Request::get("/metrics")).await.body;
        page.contains(r#"k8smgr_hub_events_total{credential="otherhub",outcome="failed"}"#).then_some(())
    })
    .await;
    assert_eq!(hub.told().len(), WAY.len());
    app.end().await;
}

/// What a kubelet reports once it runs.
async fn runs(app: &TestApp, pod: &str) {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    app.cluster
        .set_pod_status(
            pod,
            json!({
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{
                    "name": "main", "image": "x/slow:1", "imageID": "", "ready": true, "restartCount": 0,
                    "state": {"running": {"startedAt": now}},
                }],
            }),
        )
        .await;
}

#[tokio::test]
async fn the_story_goes_on_after_a_restart() {
    let hub = HubReceiver::start().await;
    let mut app = TestApp::start().await;
    warm_up(&app).await;
    start(&app, &hub, "lab", "JupyterLab/Slow").await;
    let pod = pod(&app, "depl-lab-s1-").await;
    told(&hub, "Fetching the software").await;
    app.stop_process().await;
    let before = hub.told().len();
    app.start_process().await;
    hub.has(before + 1).await;
    runs(&app, &pod).await;
    let all = told(&hub, "is ready").await;
    assert_is_told(&all[before..], &["has a place on", "Your server runs (", "is ready"]);
    assert!(all.iter().all(|it| it.header("authorization") == Some(&*format!("token {TOKEN}"))));
    app.end().await;
}

#[tokio::test]
async fn of_several_replicas_one_tells_and_another_goes_on_when_it_is_gone() {
    let server = PostgresServer::start().await;
    let url = server.create_database("k8smgr").await;
    let hub = HubReceiver::start().await;
    let mut app = TestApp::builder()
        .database(&url)
        .edit(|config| {
            config["leader_election"] = json!({"lease_seconds": 2});
            config["http"]["shutdown_delay_seconds"] = json!(0);
        })
        .start()
        .await;
    let other = k8smgr::app::App::start(app.settings()).await.unwrap();
    warm_up(&app).await;
    start(&app, &hub, "lab", "JupyterLab/Run").await;
    assert_is_told(&told(&hub, "is ready").await, &WAY);
    // Nobody else begins, however long it takes.
    start(&app, &hub, "slow", "JupyterLab/Slow").await;
    let slow = pod(&app, "depl-slow-s1-").await;
    eventually("it is fetched", async || {
        (messages(&hub.told()).iter().filter(|it| it.contains("Fetching")).count() == 2).then_some(())
    })
    .await;
    let before = hub.told().len();
    for _ in 0..4 {
        app.clock.advance(Duration::from_secs(4));
        let beat = other.store.tellers().await.unwrap();
        eventually("whoever tells says so", async || (other.store.tellers().await.unwrap() != beat).then_some(()))
            .await;
    }
    assert_eq!(hub.told().len(), before, "{:?}", messages(&hub.told()));

    app.stop_process().await;
    let taken = async || {
        app.clock.advance(Duration::from_secs(4));
        (hub.told().len() > before).then_some(())
    };
    eventually("the other one goes on", taken).await;
    runs(&app, &slow).await;
    let all = eventually("it is told to the end", async || {
        let all = hub.told();
        (messages(&all).iter().filter(|it| it.contains("is ready")).count() == 2).then_some(all)
    })
    .await;
    assert_is_told(&all[before..], &["has a place on", "Your server runs (", "is ready"]);
    other.shut_down().await.unwrap();
    app.end().await;
}
