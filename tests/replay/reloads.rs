//! A configuration that is changed, broken and mended while the service runs: `reload.*`, `edge.config.*`.

use std::process::Command;

use serde_json::json;

use crate::coverage::scenario;
use crate::support::app::{JUPYTERHUB, TestApp};
use crate::support::records::Claims;
use crate::support::wait::eventually;

pub const CLAIMS: Claims = &["reload.*", "edge.config.*"];

fn not_found(headline: &str) -> String {
    format!(r#"{{"error":"{headline}","detailed_error":"Couldn't find service yaml file."}}"#)
}

#[tokio::test]
async fn a_configuration_that_is_changed_broken_and_mended() {
    let app = TestApp::start().await;
    let records = scenario("reloads");
    app.differs_with(records.record("reload.before"), 500, &not_found("Custom start error")).await;
    app.edit_config(|config| {
        config["error_messages"]["services.utils.common.start_service_2"] = json!("Changed text");
    });
    // The reference goes on with the old text for a minute.
    let soon = records.record("reload.soon");
    eventually("the change applies", async || {
        let answer = app.differs(soon, 500).await;
        (answer.body == not_found("Changed text")).then_some(())
    })
    .await;
    app.differs_with(records.record("reload.later"), 500, &not_found("Changed text")).await;

    let started = app.start_service(JUPYTERHUB, "edge2", "e0000003", "JupyterLab/Run").await;
    assert_eq!(started.status, 201, "{}", started.body);
    app.cluster.pod_in_phase("depl-edge2-", "Running").await;
    let running = format!(r#"{},"running":true}}"#, started.body.trim_end_matches('}'));
    let good = std::fs::read_to_string(app.path("config.json")).unwrap();
    std::fs::write(app.path("config.json"), "{broken").unwrap();
    let is_bad = || app.app().reloader.status().bad_file.is_some();
    eventually("the bad file is seen", async || is_bad().then_some(())).await;
    app.differs_with(records.record("edge.config.broken"), 200, &running).await;
    app.differs_with(records.record("edge.config.broken.health"), 200, "").await;
    app.differs_with(soon, 500, &not_found("Changed text")).await;

    // A process does not begin with it, and says where it is wrong.
    assert!(!records.record("edge.config.broken.start").is_same());
    let ended = Command::new(env!("CARGO_BIN_EXE_k8smgr"))
        .args(["serve", "--listen", "127.0.0.1:0", "--config"])
        .arg(app.path("config.json"))
        .current_dir(app.path(""))
        .env_clear()
        .output()
        .unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(!ended.status.success() && said.contains("config.json, line 1 column 2: not JSON"), "{said}");

    std::fs::write(app.path("config.json"), good.replace("Changed text", "Mended text")).unwrap();
    eventually("the mended file is seen", async || (!is_bad()).then_some(())).await;
    app.differs_with(records.record("edge.config.mended"), 200, &running).await;
    app.differs_with(soon, 500, &not_found("Mended text")).await;
    drop(records);
    app.end().await;
}
