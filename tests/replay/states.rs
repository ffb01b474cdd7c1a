//! What a poll says of every state that pods and workloads can be in: `st.*`, but those that wait for nothing.

use serde_json::json;

use crate::coverage::scenario;
use crate::support::app::{JUPYTERHUB, TestApp};
use crate::support::compare::masked;
use crate::support::json::Json;
use crate::support::records::{Claims, Record, Scenario};
use crate::support::wait::eventually;
use crate::support::wire::Answer;

pub const CLAIMS: Claims = &["st.*"];

#[tokio::test]
async fn polls_tell_what_pods_and_workloads_are_in() {
    let app = TestApp::start().await;
    let records = scenario("states");

    running(&app, &records).await;
    for id in ["slow", "crash", "unsched", "tworep", "norep", "wrongname", "emptydoc", "kinds", "failrep", "warn"] {
        app.same(records.record(&format!("st.{id}.post"))).await;
    }
    for id in ["depldel", "scaled", "nofile", "badfile", "crashdepl"] {
        app.same(records.record(&format!("st.{id}.post"))).await;
    }

    app.cluster.pod_in_phase("depl-slow-", "Pending").await;
    app.same(records.record("st.slow.get")).await;
    app.comes_to_same(records.record("st.crash.get")).await;
    app.same(records.record("st.kinds.get")).await;
    // The record ends in a Python error about the empty document, which says nothing about the service.
    let empty_document = records.record("st.emptydoc.get");
    assert_status(empty_document, &app.send(&empty_document.request()).await, true);

    // Not yet scheduled; two replicas; another workload name than the prefix says.
    app.cluster.pod_in_phase("depl-unsched-", "Pending").await;
    for id in ["unsched", "tworep", "wrongname"] {
        let record = records.record(&format!("st.{id}.get"));
        assert_status(record, &app.differs(record, 200).await, true);
    }

    evicted(&app, records.record("st.failrep.get")).await;
    warned(&app, &records).await;

    app.cluster.delete("Deployment", "depl-depldel-s0000001").await;
    app.cluster.scale("depl-scaled-s0000001", 0).await;
    for (id, word) in [("norep", "zero"), ("depldel", "deleted"), ("scaled", "zero")] {
        let answer = comes_to_an_end(&app, records.record(&format!("st.{id}.get"))).await;
        let details = answer.json().member("details").clone();
        assert_eq!(details.member("error").text(), "Service is gone", "{id}");
        assert!(details.member("detailed_error").text().contains(word), "{id}: {}", details.to_text());
    }
    let crashed = comes_to_an_end(&app, records.record("st.crashdepl.get")).await;
    let details = crashed.json().member("details").clone();
    let logs = details.member("detailed_error").text();
    assert!(logs.starts_with("<details><summary>Logs</summary>17 line of main<br>"), "{logs}");

    without_files(&app, &records).await;
    refused(&app, &records).await;
    app.same(records.record("st.crashdepl.delete")).await;
    app.cluster.nothing_of("crashdepl").await;
    app.same(records.record("st.crash.delete")).await;
    app.cluster.nothing_of("-crash-").await;

    listed(&app, records.record("st.list")).await;
    drop(records);
    app.end().await;
}

async fn running(app: &TestApp, records: &Scenario) {
    app.same(records.record("st.running.post")).await;
    app.cluster.pod_in_phase("depl-running-", "Running").await;
    for id in ["get", "get.nouuid", "get.otheruuid", "head"] {
        app.same(records.record(&format!("st.running.{id}"))).await;
    }
    app.differs_with(records.record("st.running.json"), 404, r#"{"detail":"Not found."}"#).await;
    let options = app.differs(records.record("st.running.options"), 200).await;
    assert_eq!(options.header("allow"), Some("GET, PUT, PATCH, DELETE, HEAD, OPTIONS"));
}

/// The object that was recorded, with `running` as we say; without details where it runs.
fn assert_status(record: &Record, answer: &Answer, running: bool) {
    let mut expected = record.get("response").unwrap().member("body").clone();
    expected.set("running", Json::Bool(running));
    let mut found = masked(answer.json());
    for body in [&mut expected, &mut found] {
        if let Json::Object(members) = body {
            members.retain(|(key, _)| key != "details");
        }
    }
    assert_eq!(found.to_text(), masked(expected).to_text(), "{}", record.id);
    assert_eq!(answer.json().get("details").is_some(), !running, "{}: {}", record.id, answer.body);
}

/// Polls until the service does not run, with details.
async fn comes_to_an_end(app: &TestApp, record: &Record) -> Answer {
    assert!(!record.is_same());
    let answer = eventually(&format!("{} says running: false", record.id), async || {
        let answer = app.send(&record.request()).await;
        (answer.json().member("running") == &Json::Bool(false)).then_some(answer)
    })
    .await;
    assert_status(record, &answer, false);
    answer
}

/// A Deployment's pod is evicted; the one that takes its place counts.
async fn evicted(app: &TestApp, record: &Record) {
    let evicted = app.cluster.pod_in_phase("depl-failrep-", "Running").await;
    let status = json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."});
    app.cluster.set_pod_status(&evicted, status).await;
    assert_status(record, &app.differs(record, 200).await, true);
    eventually("a second pod of depl-failrep runs", async || {
        let pods = app.cluster.pods("depl-failrep-").await;
        (pods.len() == 2).then_some(())
    })
    .await;
    app.cluster.pod_in_phase("depl-failrep-", "Running").await;
    assert_status(record, &app.differs(record, 200).await, true);
}

/// One warning among the last events fails nothing, and so it stays when others follow.
async fn warned(app: &TestApp, records: &Scenario) {
    let pod = app.cluster.pod_in_phase("depl-warn-", "Pending").await;
    app.cluster.add_event(&pod, "w1", "Warning", "FailedMount", "MountVolume.SetUp failed").await;
    let record = records.record("st.warn.get");
    assert_status(record, &app.differs(record, 200).await, true);
    app.cluster.add_event(&pod, "w2", "Normal", "Pulling", "Pulling image").await;
    app.cluster.add_event(&pod, "w3", "Normal", "Pulled", "Pulled image").await;
    let record = records.record("st.warn.later");
    assert_status(record, &app.differs(record, 200).await, true);
}

/// The rendered files are for people; polls and stops need none.
async fn without_files(app: &TestApp, records: &Scenario) {
    std::fs::remove_dir_all(app.path("services/nofile-s0000001")).unwrap();
    std::fs::write(app.path("services/badfile-s0000001/service.yaml"), "a: [").unwrap();
    for name in ["nofile", "badfile"] {
        let record = records.record(&format!("st.{name}.get"));
        assert_status(record, &app.differs(record, 200).await, true);
        app.differs_with(records.record(&format!("st.{name}.delete")), 204, "").await;
        app.cluster.nothing_of(name).await;
        assert!(!app.path(format!("services/{name}-s0000001")).exists());
    }
}

/// Descriptions without anything that could run are refused at the start.
async fn refused(app: &TestApp, records: &Scenario) {
    for name in ["nodepl", "nomain"] {
        let answer = app.differs(records.record(&format!("st.{name}.post")), 500).await;
        assert_eq!(answer.json().member("error").text(), "Custom start error");
        assert!(!answer.json().member("detailed_error").text().is_empty());
        app.cluster.nothing_of(name).await;
        app.differs_with(records.record(&format!("st.{name}.get")), 404, r#"{"detail":"Not found."}"#).await;
    }
    stopping(app, records).await;
}

/// While objects cannot be deleted the stop is pending; afterwards it is carried out.
async fn stopping(app: &TestApp, records: &Scenario) {
    let ids = ["get", "delete", "put"].map(|it| records.record(&format!("st.stopping.{it}")));
    app.same(records.record("st.stopping.post")).await;
    let Some(faults) = app.cluster.faults() else { return };
    app.cluster.pod_in_phase("depl-stopping-", "Running").await;
    let refuse = local_cluster::Fault::Refuse { code: 403, reason: "Forbidden".to_owned() };
    faults.add(local_cluster::FaultRule::new(refuse).verb("delete").name_contains("stopping"));

    app.delete(JUPYTERHUB, "stopping").await.assert(204, "");
    app.same(ids[0]).await;
    app.same(ids[1]).await;
    let ours: Vec<_> = app.cluster.names().await.into_iter().filter(|it| it.contains("stopping")).collect();
    assert_eq!(ours.len(), ids[1].get("cluster_names").unwrap().items().len(), "{ours:?}");
    let answer = app.differs(ids[2], 200).await;
    assert!(answer.body.contains(r#""stop_pending":true,"running":false"#), "{}", answer.body);

    faults.clear();
    app.cluster.nothing_of("stopping").await;
    eventually("the record of the stopped service is gone", async || {
        (app.get(JUPYTERHUB, "stopping").await.status == 404).then_some(())
    })
    .await;
}

/// Lists hold no `running`, oldest first; ours lacks what was refused and what was stopped for good.
async fn listed(app: &TestApp, record: &Record) {
    let names = |body: &Json| -> Vec<String> {
        body.items().iter().map(|it| it.member("servername").text().to_owned()).collect()
    };
    let answer = app.send(&record.request()).await;
    let recorded = record.get("response").unwrap().member("body");
    let there = names(&answer.json());
    for service in answer.json().items() {
        let keys: Vec<_> = service.members().iter().map(|(key, _)| key.as_str()).collect();
        let recorded_keys: Vec<_> = recorded.items()[0].members().iter().map(|(key, _)| key.clone()).collect();
        assert_eq!(keys, recorded_keys);
    }
    let dates: Vec<_> = answer.json().items().iter().map(|it| it.member("start_date").text().to_owned()).collect();
    assert!(dates.is_sorted(), "oldest first: {dates:?}");
    let ours_alone: Vec<_> = there.iter().filter(|it| !names(recorded).contains(it)).collect();
    assert!(ours_alone.is_empty(), "{ours_alone:?}");
    assert!(there.contains(&"running".to_owned()) && !there.contains(&"crash".to_owned()), "{there:?}");
}
