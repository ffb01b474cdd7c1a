//! The same names twice: by one hub (`dup*`), by two (`iso.*`), and by a stranger in the cluster (`conflict.post`).

use serde_json::json;

use crate::coverage::scenario;
use crate::support::app::{OTHERHUB, TestApp};
use crate::support::cluster::comparable;
use crate::support::compare::masked;
use crate::support::records::Claims;
use crate::support::wait::eventually;

pub const CLAIMS: Claims = &["dup.*", "dup2.*", "iso.*", "conflict.post"];

#[tokio::test]
async fn equal_names_never_harm_what_runs() {
    let app = TestApp::start().await;
    let records = scenario("conflicts");

    // One hub, the same start again.
    let first = app.same(records.record("dup.first")).await;
    app.cluster.pod_in_phase("depl-dup1-", "Running").await;
    app.assert_cluster_names(records.record("dup.first")).await;
    let before = app.everything().await;
    for id in ["dup.same", "dup.same.again"] {
        app.differs_with(records.record(id), 201, &first.body).await;
        let polled = app.differs(records.record(&format!("{id}.get")), 200).await;
        let unchanged = first.body.trim_end_matches('}');
        assert_eq!(polled.body, format!(r#"{unchanged},"running":true}}"#));
        assert_eq!(app.everything().await, before, "{id}: nothing is touched");
    }
    let deleted = records.record("dup.same.delete");
    app.same(deleted).await;
    app.cluster.nothing_of("dup1").await;
    app.assert_cluster_names(deleted).await;

    // One hub, the same server with another start id.
    app.same(records.record("dup2.first")).await;
    app.same(records.record("dup2.second")).await;
    app.cluster.pod_in_phase("depl-dup2-older001-", "Running").await;
    app.cluster.pod_in_phase("depl-dup2-newer001-", "Running").await;
    app.assert_cluster_names(records.record("dup2.second")).await;
    app.same(records.record("dup2.list")).await;
    app.same(records.record("dup2.get")).await;
    app.cluster.nothing_of("older001").await;
    app.assert_cluster_names(records.record("dup2.get")).await;
    // After the objects.
    eventually("the older one's files are gone", async || {
        (app.names_in("services") == ["dup2-newer001"]).then_some(())
    })
    .await;
    app.same(records.record("dup2.delete")).await;
    app.cluster.nothing_of("dup2").await;

    app.differs(records.record("dup2.reuse"), 201).await;
    let config_map = app.cluster.get("ConfigMap", "cm-dup2-newer001").await.expect("the ConfigMap");
    assert!(config_map["data"]["replaced"].as_str().unwrap().contains("\nuser_id=99\nunique_user_id=jupyterhub_99\n"));
    let secret = comparable(&app.cluster.get("Secret", "secret-dup2-newer001-k8smgr").await.expect("the Secret"));
    assert_eq!(secret["decoded"]["JUPYTERHUB_USER_ID"], "99");
    app.same(records.record("dup2.reuse.delete")).await;
    app.cluster.nothing_of("dup2").await;

    // Two hubs.
    let post = records.record("iso.post");
    app.same(post).await;
    app.cluster.pod_in_phase("depl-iso1-", "Running").await;
    // Of the stage's and the credential's nested.txt the reference takes what the folder lists last; we the stage's.
    let ours = r#""size":18,"content":"production nested\n""#;
    app.assert_cluster(&post.with(r#""size":16,"content":"otherhub nested\n""#, ours), "iso1").await;
    app.assert_folder(post, "disk");
    app.assert_folder(post, "userhome");
    let before = app.everything().await;
    for id in
        ["get.own", "GET.foreign", "DELETE.foreign", "list.jupyterhub", "list.otherhub", "list.admin", "get.admin"]
    {
        app.same(records.record(&format!("iso.{id}"))).await;
    }
    let collision = app.differs(records.record("iso.collision"), 500).await;
    assert_eq!(collision.json().member("error").text(), "Custom start error");
    assert!(collision.json().member("detailed_error").text().contains("iso1-o0000001"), "{}", collision.body);
    assert_eq!(app.everything().await, before, "the other hub's service is as it was");
    assert!(app.get(OTHERHUB, "iso1").await.body.ends_with(r#","running":true}"#));

    // A stranger's object.
    let stranger = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "svc-fixed"},
        "spec": {"ports": [{"port": 1}], "selector": {"a": "b"}},
    });
    app.cluster.create("Service", stranger).await;
    let before = app.cluster.snapshot().await;
    let conflict = app.differs(records.record("conflict.post"), 500).await;
    assert_eq!(conflict.json().member("error").text(), "Custom start error");
    assert!(conflict.json().member("detailed_error").text().contains("svc-fixed"), "{}", conflict.body);
    app.cluster.nothing_of("conf1").await;
    eventually("the foreign Service is as it was", async || (app.cluster.snapshot().await == before).then_some(()))
        .await;
    assert_eq!(masked(app.list(OTHERHUB).await.json()).items().len(), 1);
    drop(records);
    app.end().await;
}
