//! What handlers may not write to.

use serde_json::json;

use crate::support::app::TestApp;
use crate::support::wait::eventually;
use crate::support::wire::{Answer, Request};
use crate::{add, app, change, told};

/// A list of one text that says what and why.
fn assert_refused(answer: &Answer, what: &str) {
    assert_eq!(answer.status, 400, "{}", answer.body);
    let told = answer.value();
    let texts = told.as_array().unwrap();
    assert!(texts.len() == 1 && texts[0].as_str().unwrap().contains(what), "{}", answer.body);
}

#[tokio::test]
async fn a_file_stays_in_the_configured_folders() {
    let app = app().await;
    std::os::unix::fs::symlink(app.path("config.json"), app.path("link.log")).unwrap();
    let config = std::fs::read_to_string(app.path("config.json")).unwrap();
    for (name, why) in [
        ("services/k.log", "logs.directories"),
        ("services/../../k.log", "logs.directories"),
        ("/etc/k.log", "logs.directories"),
        ("nowhere/k.log", "no folder"),
        ("services", "is a directory"),
        ("link.log", "failed to open"),
        ("k.log/", "not the path of a file"),
    ] {
        let path =
            format!("{}{name}", if name.starts_with('/') { String::new() } else { app.path("").display().to_string() });
        assert_refused(&add(&app, "file", json!({ "filename": path })).await, why);
    }
    assert_eq!(add(&app, "file", json!({"filename": app.path("k.log")})).await.status, 201);
    assert_refused(&change(&app, "file", json!({"filename": "/etc/k.log"})).await, "logs.directories");
    assert_eq!(told(&app, "file").await["configuration"]["filename"], json!(app.path("k.log")));
    assert_eq!(std::fs::read_to_string(app.path("config.json")).unwrap(), config);
    app.end().await;
}

#[tokio::test]
async fn only_listed_and_public_targets_are_sent_to() {
    let app = crate::LogApp::start(TestApp::builder()).await;
    for host in ["127.0.0.1", "localhost", "127.1", "::1", "10.0.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0"] {
        assert_refused(&add(&app, "syslog", json!({"address": [host, 514]})).await, "logs.targets");
        let mail = json!({"mailhost": host, "fromaddr": "a@b", "toaddrs": ["c@d"]});
        assert_refused(&add(&app, "smtp", mail).await, "logs.targets");
    }
    assert_refused(&add(&app, "syslog", json!({"address": ["nobody.invalid", 514]})).await, "not known");
    let mail = json!({"mailhost": "127.0.0.1", "fromaddr": "a b", "toaddrs": ["c@d"]});
    assert_refused(&add(&app, "smtp", mail).await, "not a mail address");
    app.end().await;
}

#[tokio::test]
async fn a_handler_that_may_not_write_any_more_is_told() {
    let mut app = app().await;
    assert_eq!(add(&app, "file", json!({"filename": app.path("k.log")})).await.status, 201);
    app.edit_config(|config| config["logs"]["directories"] = json!([]));
    app.restart().await;
    let told = told(&app, "file").await;
    assert!(told["failing"].as_str().unwrap().contains("logs.directories (none)"), "{told}");
    app.end().await;
}

#[tokio::test]
async fn a_folder_that_is_taken_back_is_left_at_once_and_told_everywhere() {
    let app = app().await;
    let number = async |metric: &str| {
        let page = app.send(&Request::get("/metrics")).await.body;
        let line = page.lines().find_map(|it| it.strip_prefix(metric).map(str::to_owned));
        line.map_or(0.0, |it| it.trim().parse::<f64>().unwrap())
    };
    assert_eq!(add(&app, "file", json!({"filename": app.path("k.log"), "level": "INFO"})).await.status, 201);
    assert_eq!(number(r#"k8smgr_log_handler_failing{handler="file"}"#).await, 0.0);
    let dropped = r#"k8smgr_log_records_dropped_total{handler="file"}"#;
    let before = number(dropped).await;
    app.edit_config(|config| config["logs"]["directories"] = json!([]));
    eventually("told as failing", async || {
        let told = told(&app, "file").await;
        told["failing"].as_str().is_some_and(|it| it.contains("logs.directories (none)")).then_some(())
    })
    .await;
    assert_eq!(number(r#"k8smgr_log_handler_failing{handler="file"}"#).await, 1.0);
    let ready = app.send(&Request::get("/readyz?verbose")).await;
    assert!(ready.status == 200 && ready.body.contains("[!]log-handlers failed: since "), "{}", ready.body);
    crate::log_test(&app).await;
    crate::remove(&app, "file").await;
    eventually("what it could not write is counted", async || (number(dropped).await > before).then_some(())).await;
    assert_eq!(number(r#"k8smgr_log_handler_failing{handler="file"}"#).await, 0.0);
    app.end().await;
}
