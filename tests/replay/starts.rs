//! What a start answers and makes: `post.*`.

use serde_json::Value;

use crate::coverage::scenario;
use crate::support::app::{JUPYTERHUB, TestApp};
use crate::support::compare::masked;
use crate::support::json::Json;
use crate::support::records::{Claims, Record, Scenario};
use crate::support::wait::eventually;

pub const CLAIMS: Claims = &["post.*"];

#[tokio::test]
async fn starts_answer_and_make_what_was_recorded() {
    let app = TestApp::start().await;
    let records = scenario("starts");

    let minimal = records.record("post.min");
    app.same(minimal).await;
    app.cluster.pod_in_phase("depl-aa01-", "Running").await;
    app.assert_cluster(minimal, "aa01").await;
    app.assert_folder(minimal, "disk");
    app.assert_folder(minimal, "userhome");
    app.same(records.record("post.min.get")).await;
    stop(&app, "aa01").await;

    let full = records.record("post.full");
    app.same(full).await;
    app.cluster.pod_in_phase("depl-aa02-", "Running").await;
    app.assert_cluster(full, "aa02").await;
    app.assert_folder(full, "disk");
    stop(&app, "aa02").await;

    without_a_name(&app, records.record("post.nouuid")).await;

    let underscore = records.record("post.underscoreheader");
    app.same(underscore).await;
    app.assert_objects(underscore, "secret", |kind, name| kind == "Secret" && name.contains("aa04")).await;
    stop(&app, "aa04").await;

    wrong_values(&app, &records).await;
    // JupyterHub sends null for a user without one.
    let without_state = records.record("post.access_token.in.log");
    app.differs(without_state, 201).await;
    stop(&app, "aa15").await;

    descriptions(&app, &records).await;
    app.end().await;
}

async fn stop(app: &TestApp, name: &str) {
    app.delete(JUPYTERHUB, name).await.assert(204, "");
    app.cluster.nothing_of(name).await;
    assert!(app.names_in("services").is_empty(), "rendered files go too");
}

/// The name that the server makes up is random; all the rest is as recorded with another one.
async fn without_a_name(app: &TestApp, record: &Record) {
    let recorded = record.get("response").unwrap().member("body");
    let recorded_name = recorded.member("servername").text();
    let answer = app.send(&record.request()).await;
    let name = answer.json().member("servername").text().to_owned();
    assert!(name.len() == 32 && name.chars().all(|c| "0123456789abcdef".contains(c)), "{name}");
    let expected = masked(recorded.clone()).to_text().replace(recorded_name, &name);
    assert_eq!((answer.status, masked(answer.json()).to_text()), (201, expected));
    app.cluster.pod_in_phase(&format!("depl-{name}-"), "Running").await;
    let mut renamed = record.clone();
    renamed.whole = Json::parse(&record.whole.to_text().replace(recorded_name, &name));
    app.assert_cluster_names(&renamed).await;
    stop(app, &name).await;
}

async fn wrong_values(app: &TestApp, records: &Scenario) {
    for (id, named) in [
        ("post.certs.partial", "cafile"),
        ("post.certs.null", "certs"),
        ("post.certs.empty", "keyfile"),
        ("post.env.badkey", "bad key"),
        ("post.auth_state.str", "auth_state"),
        ("post.service._otherhub_OnlyOther_Run25", "service"),
        ("post.service.empty0", "service"),
        ("post.service._1", "service"),
        ("post.servicetype.number", "service"),
        ("post.servicetype.null", "service"),
        ("post.servicetype.list", "service"),
        ("post.servicetype.bool", "service"),
        ("post.servicetype.dict", "service"),
    ] {
        let answer = app.refused(records.record(id)).await;
        assert!(answer.body.contains(named), "{id}: {named} is named: {}", answer.body);
    }
}

/// `post.service.*`: every description of the fixtures that is odd.
async fn descriptions(app: &TestApp, records: &Scenario) {
    let before = app.everything().await;
    for id in ["JupyterLab_Nope15", "JupyterLab10", "JupyterLab_NoServiceYaml24", "OnlyOther_Run13"] {
        app.same(records.record(&format!("post.service.{id}"))).await;
        assert_eq!(app.everything().await, before, "{id}: nothing is made, also not in the descriptions");
    }
    for (id, reason) in [
        ("JupyterLab_BadYaml18", "service.yaml"),
        ("JupyterLab_Invalid18", "replicas"),
        ("JupyterLab_BadKind18", "workload"),
    ] {
        let record = records.record(&format!("post.service.{id}"));
        let answer = app.differs(record, 500).await;
        assert_eq!(answer.json().member("error").text(), "Custom start error", "{id}");
        let detailed = answer.json().member("detailed_error").text().to_owned();
        assert!(detailed.contains(reason), "{id}: {detailed}");
        assert!(!detailed.contains(app.path("").to_str().unwrap()), "{id}: no path of the server: {detailed}");
        // A roll-back that takes long goes on after the answer.
        app.cluster.nothing_of("").await;
        eventually(&format!("{id}: it is forgotten"), async || {
            let is_forgotten = app.list(JUPYTERHUB).await.body == "[]" && app.names_in("services").is_empty();
            is_forgotten.then_some(())
        })
        .await;
    }

    let unknown_keyword = records.record("post.service.JupyterLab_BadTemplate22");
    app.differs(unknown_keyword, 201).await;
    app.cluster.pod_in_phase("depl-svjupyterlabbadtemplate-", "Running").await;
    app.assert_cluster_names(unknown_keyword).await;
    stop(app, "svjupyterlabbadtemplate").await;

    let empty_document = records.record("post.service.JupyterLab_EmptyDoc19");
    app.same(empty_document).await;
    app.cluster.pod_in_phase("depl-svjupyterlabemptydoc-", "Running").await;
    app.assert_cluster_names(empty_document).await;
    stop(app, "svjupyterlabemptydoc").await;

    let no_namespace = records.record("post.service.JupyterLab_NoNamespace22");
    app.differs(no_namespace, 201).await;
    app.cluster.pod_in_phase("depl-svjupyterlabnonamespace-", "Running").await;
    app.assert_cluster_names(no_namespace).await;
    stop(app, "svjupyterlabnonamespace").await;
    let left = &app.everything().await;
    assert_eq!(left["cluster"], Value::Array(Vec::new()));
    assert_eq!(left["descriptions"], before["descriptions"]);
}
