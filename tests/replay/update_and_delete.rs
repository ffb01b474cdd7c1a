//! `put.*`, `patch.again` and `del.*`: updates may be repeated, and a DELETE leaves nothing.

use crate::coverage::scenario;
use crate::support::app::{JUPYTERHUB, TestApp};
use crate::support::records::{Claims, Scenario};
use crate::support::wait::eventually;

pub const CLAIMS: Claims = &["put.*", "patch.again", "del.*"];

#[tokio::test]
async fn updates_may_be_repeated_and_deletes_leave_nothing() {
    let app = TestApp::start().await;
    let records = scenario("update_and_delete");

    let started = app.same(records.record("put.upd.post")).await;
    app.cluster.pod_in_phase("depl-upd-", "Running").await;
    let running = format!(r#"{},"running":true}}"#, started.body.trim_end_matches('}'));
    app.put(JUPYTERHUB, "upd").await.assert(200, &running);
    app.differs_with(records.record("put.second"), 200, &running).await;
    app.assert_cluster_names(records.record("put.second")).await;
    app.differs_with(records.record("patch.again"), 200, &running).await;
    let updated = app.cluster.get("Service", "svc-update-upd-s0000001").await.expect("what update.yaml describes");
    assert_eq!(updated["metadata"]["labels"]["stage-only"], "prod");
    app.same(records.record("put.nobody")).await;
    app.differs_with(records.record("put.badjson"), 200, &running).await;
    app.same(records.record("put.text")).await;

    let failing = app.same(records.record("put.updfail.post")).await;
    app.cluster.pod_in_phase("depl-updfail-", "Pending").await;
    // As any poll of it: the grace period is not over.
    let waiting = format!(r#"{},"running":true}}"#, failing.body.trim_end_matches('}'));
    app.differs_with(records.record("put.pullfail"), 200, &waiting).await;
    assert!(app.cluster.get("Service", "svc-update-updfail-s0000001").await.is_some());

    app.same(records.record("put.plain.post")).await;
    let without = app.differs(records.record("put.noupdate"), 500).await;
    let (error, detailed) = (without.json().member("error").clone(), without.json().member("detailed_error").clone());
    assert_eq!(error.text(), "Could not update service.");
    assert!(detailed.text().contains("update.yaml") && !detailed.text().contains('/'), "{}", detailed.text());
    for name in ["updfail", "plain"] {
        app.delete(JUPYTERHUB, name).await.assert(204, "");
    }

    app.differs_with(records.record("del.known"), 204, "").await;
    nothing_is_left(&app).await;
    assert_eq!(app.names_in("userhomes"), ["jupyterhub", "jupyterhub_suffix"], "homes stay");
    app.same(records.record("del.twice")).await;
    app.same(records.record("del.get")).await;
    for (name, id) in [
        ("delbody", "body"),
        ("delkinds", "kinds"),
        ("delnons", "nonamespace"),
        ("delempty", "emptydoc"),
        ("delgone", "gone"),
    ] {
        start_and_delete(&app, &records, name, id).await;
    }
    drop(records);
    app.end().await;
}

async fn start_and_delete(app: &TestApp, records: &Scenario, name: &str, id: &str) {
    app.same(records.record(&format!("del.{name}.post"))).await;
    app.cluster.pod_in_phase(&format!("depl-{name}-"), "Running").await;
    if id == "gone" {
        for (kind, prefix) in [("Deployment", "depl"), ("Service", "svc"), ("ConfigMap", "cm"), ("Secret", "secret")] {
            let end = if kind == "Secret" { "-k8smgr" } else { "" };
            if app.cluster.get(kind, &format!("{prefix}-{name}-s0000001{end}")).await.is_some() {
                app.cluster.delete(kind, &format!("{prefix}-{name}-s0000001{end}")).await;
            }
        }
    }
    app.differs_with(records.record(&format!("del.{id}")), 204, "").await;
    nothing_is_left(app).await;
}

async fn nothing_is_left(app: &TestApp) {
    app.cluster.nothing_of("").await;
    assert!(app.names_in("services").is_empty());
    eventually("the list is empty", async || (app.list(JUPYTERHUB).await.body == "[]").then_some(())).await;
}
