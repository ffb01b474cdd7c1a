//! Other configurations than the main one: `mini.*` (built-in defaults), `badreplace.post`, `noconfig.list`.

use std::process::Command;

use serde_json::Value;

use crate::coverage::scenario;
use crate::support::app::{JUPYTERHUB, TestApp};
use crate::support::records::{Claims, contract_folder};

pub const CLAIMS: Claims = &["mini.*", "badreplace.post", "noconfig.list"];

#[tokio::test]
async fn configurations_without_most_keys_work_as_recorded() {
    let records = scenario("configurations");
    let fixture = std::fs::read_to_string(contract_folder().join("fixtures/configs/mini.json")).unwrap();
    let recorded = records.record("mini.config").get("config").unwrap().to_value();
    assert_eq!(serde_json::from_str::<Value>(&fixture).unwrap(), recorded);

    let app = TestApp::builder().config("mini.json").stage(None).start().await;
    let post = records.record("mini.post");
    let started = app.same(post).await;
    app.cluster.pod_in_phase("depl-mn1-", "Running").await;
    let was_recorded = |kind: &str, name: &str| name.contains("mn1") && matches!(kind, "ConfigMap" | "Secret");
    app.assert_objects(post, "cluster", was_recorded).await;
    app.assert_folder(post, "disk");
    app.assert_folder(post, "userhomes");
    let running = format!(r#"{},"running":true}}"#, started.body.trim_end_matches('}'));
    app.differs_with(records.record("mini.get"), 200, &running).await;
    app.delete(JUPYTERHUB, "mn1").await.assert(204, "");
    app.cluster.nothing_of("mn1").await;

    app.same(records.record("mini.fail")).await;

    app.same(records.record("mini.certs")).await;
    app.cluster.pod_in_phase("depl-mn3-", "Running").await;
    app.assert_cluster_names(records.record("mini.certs")).await;
    app.differs_with(records.record("mini.certs.delete"), 204, "").await;
    app.cluster.nothing_of("").await;
    app.end().await;

    let app = TestApp::builder().config("badreplace.json").start().await;
    app.differs(records.record("badreplace.post"), 201).await;
    let config_map = app.cluster.get("ConfigMap", "cm-br1-s0000001").await.expect("the ConfigMap");
    let replaced = config_map["data"]["replaced"].as_str().unwrap();
    assert!(replaced.contains("\ncredential_only=7\n"), "{replaced}");
    app.end().await;

    let missing = records.record("noconfig.list");
    assert!(!missing.is_same());
    let folder = tempfile::TempDir::new().unwrap();
    let ended = Command::new(env!("CARGO_BIN_EXE_k8smgr"))
        .args(["serve", "--listen", "127.0.0.1:0", "--config", "missing.json"])
        .current_dir(folder.path())
        .env_clear()
        .output()
        .unwrap();
    assert!(!ended.status.success());
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.contains("missing.json"), "{said}");
}
