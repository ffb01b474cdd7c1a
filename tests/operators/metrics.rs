//! `/metrics`, read as Prometheus reads it.

use std::collections::BTreeMap;

use k8smgr::metrics::table::{Kind, METRICS};
use openmetrics_parser::prometheus::parse_prometheus;
use openmetrics_parser::{MetricNumber, PrometheusType, PrometheusValue};
use serde_json::json;

use crate::support::app::{JUPYTERHUB, OTHERHUB, TestApp, start_body};
use crate::support::turns::alone;
use crate::support::wait::eventually;
use crate::support::wire::Request;

/// Every sample of the page by name and labels: its value, or how many a histogram holds.
async fn samples(app: &TestApp) -> BTreeMap<String, f64> {
    let answer = app.send(&Request::get("/metrics")).await;
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    read(&answer.body)
}

fn read(page: &str) -> BTreeMap<String, f64> {
    let page = parse_prometheus(page).unwrap_or_else(|error| panic!("{error}: {page}"));
    let number = |it: MetricNumber| it.as_f64();
    let mut found = BTreeMap::new();
    for (name, family) in &page.families {
        for sample in family.iter_samples() {
            let labels = sample.get_labelset().unwrap();
            let mut labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
            labels.sort();
            let value = match &sample.value {
                PrometheusValue::Gauge(it) | PrometheusValue::Unknown(it) => number(*it),
                PrometheusValue::Counter(it) => number(it.value),
                PrometheusValue::Histogram(it) => it.count.unwrap_or_default() as f64,
                PrometheusValue::Summary(_) => panic!("{name} is a summary"),
            };
            let before = found.insert(format!("{name}{{{}}}", labels.join(",")), value);
            assert_eq!(before, None, "{name} twice");
        }
    }
    found
}

#[tokio::test]
async fn the_page_is_clean_and_counts_what_happens() {
    let _alone = alone();
    let app = TestApp::start().await;
    eventually("the first look is done", async || {
        samples(&app).await.contains_key("k8smgr_config_generation{}").then_some(())
    })
    .await;
    let before = samples(&app).await;
    assert_eq!(app.start_service(JUPYTERHUB, "lab", "s1", "JupyterLab/Run").await.status, 201);
    assert_eq!(app.start_service(JUPYTERHUB, "lab", "s1", "JupyterLab/Run").await.status, 201);
    assert_eq!(app.start_service(OTHERHUB, "none", "s1", "Nothing").await.status, 500);
    app.cluster.pod_in_phase("depl-lab-s1-", "Running").await;
    for _ in 0..5 {
        assert_eq!(app.get(JUPYTERHUB, "lab").await.status, 200);
    }
    assert_eq!(app.get(JUPYTERHUB, "none").await.status, 404);
    let running = eventually("the pod was seen to run", async || {
        let now = samples(&app).await;
        (now.get("k8smgr_start_running_seconds{}") > before.get("k8smgr_start_running_seconds{}")).then_some(now)
    })
    .await;
    assert_eq!(running["k8smgr_services{credential=jupyterhub,state=running}"], 1.0);
    app.delete(JUPYTERHUB, "lab").await.assert(204, "");
    app.cluster.nothing_of("").await;

    let after = samples(&app).await;
    let grown = |name: &str| {
        after.get(name).unwrap_or_else(|| panic!("no {name} in {after:?}")) - before.get(name).unwrap_or(&0.0)
    };
    for (name, by) in [
        ("k8smgr_starts_total{outcome=started,reason=}", 1.0),
        ("k8smgr_starts_total{outcome=repeated,reason=}", 1.0),
        ("k8smgr_starts_total{outcome=failed,reason=description}", 1.0),
        ("k8smgr_start_duration_seconds{outcome=started}", 1.0),
        ("k8smgr_polls_total{answer=running}", 5.0),
        ("k8smgr_polls_total{answer=not_found}", 1.0),
        ("k8smgr_polls_total{answer=stopped}", 0.0),
        ("k8smgr_stops_total{outcome=stopped}", 1.0),
        ("k8smgr_requests_total{method=GET,route=/api/services/{name}/,status=200}", 5.0),
        ("k8smgr_requests_total{method=GET,route=/api/services/{name}/,status=404}", 1.0),
        ("k8smgr_requests_total{method=POST,route=/api/services/,status=201}", 2.0),
        ("k8smgr_request_duration_seconds{method=POST,route=/api/services/}", 3.0),
        ("k8smgr_api_requests_total{code=201,resource=deployments,verb=create}", 1.0),
    ] {
        assert_eq!(grown(name), by, "{name}");
    }
    assert_eq!(after["k8smgr_services{credential=jupyterhub,state=running}"], 0.0, "told as none, not left out");
    assert_eq!(after["k8smgr_database_up{}"], 1.0);
    assert!(after["process_resident_memory_bytes{}"] > 1e6);
    app.end().await;
}

#[tokio::test]
async fn a_server_that_is_stopped_before_it_ran_is_not_waited_for() {
    let _alone = alone();
    let app = TestApp::start().await;
    let not_running = async || samples(&app).await["k8smgr_starts_not_running{}"];
    let before = not_running().await;
    assert_eq!(app.start_service(JUPYTERHUB, "lab", "s1", "JupyterLab/Slow").await.status, 201);
    assert_eq!(not_running().await, before + 1.0);
    app.delete(JUPYTERHUB, "lab").await.assert(204, "");
    eventually("it is forgotten", async || (not_running().await == before).then_some(())).await;
    app.end().await;
}

#[tokio::test]
async fn every_family_is_described_as_the_documentation_has_it() {
    let app = TestApp::start().await;
    let mut body = start_body("JupyterLab/Run", "s1");
    body["env"]["JUPYTERHUB_API_TOKEN"] = json!("5ecret");
    assert_eq!(app.post(JUPYTERHUB, "wunderlab", &body).await.status, 201);
    let page = app.send(&Request::get("/metrics")).await.body;
    let parsed = parse_prometheus(&page).unwrap();
    for (name, family) in parsed.families.iter().filter(|(name, _)| !name.starts_with("process_")) {
        let metric = METRICS.iter().find(|it| it.name == name).unwrap_or_else(|| panic!("{name} is not documented"));
        assert_eq!(family.help, metric.help, "{name}");
        let expected = match metric.kind {
            Kind::Counter => PrometheusType::Counter,
            Kind::Gauge => PrometheusType::Gauge,
            Kind::Histogram(_) => PrometheusType::Histogram,
        };
        assert_eq!(family.family_type, expected, "{name}");
        let mut labels = family.get_label_names().to_vec();
        labels.sort();
        let mut documented = metric.labels.to_vec();
        documented.sort_unstable();
        assert_eq!(labels, documented, "{name}");
    }
    for line in ["# HELP ", "# TYPE "] {
        let mut names: Vec<_> = page.lines().filter_map(|it| it.strip_prefix(line)?.split(' ').next()).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!((names.len(), all), (parsed.families.len(), parsed.families.len()), "{line}once a family");
    }
    assert!(page.contains("k8smgr_start_duration_seconds_bucket{outcome=\"started\",le=\"0.5\"}"), "{page}");
    assert!(page.contains("k8smgr_start_duration_seconds_bucket{outcome=\"started\",le=\"120\"}"), "{page}");
    assert!(!page.contains("5ecret") && !page.contains("wunderlab"), "no user's name and no token: {page}");
    app.end().await;
}

#[tokio::test]
async fn metrics_may_have_an_address_of_their_own_or_none() {
    let app = TestApp::builder().edit(|config| config["metrics"] = json!({"listen": "127.0.0.1:0"})).start().await;
    assert_eq!(app.send(&Request::get("/metrics")).await.status, 404);
    let own = app.app().operators_address().expect("an address");
    let page = Request::get("/metrics").send(own).await;
    assert!(page.status == 200 && !read(&page.body).is_empty());
    Request::get("/livez").send(own).await.assert(200, "ok");
    assert_eq!(Request::get("/api/services/").send(own).await.status, 404, "nothing of the API");
    app.edit_config(|config| config["metrics"]["enabled"] = json!(false));
    eventually("it is switched off", async || (Request::get("/metrics").send(own).await.status == 404).then_some(()))
        .await;
    app.end().await;
}
