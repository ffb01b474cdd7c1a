//! A handler that fails is told, counts what it drops, and is felt by nobody else.

use serde_json::json;
use tokio::net::TcpListener;

use crate::support::app::JUPYTERHUB;
use crate::support::log_lines::lines_of;
use crate::support::wait::eventually;
use crate::{add, app, file, log_test, remove, told};

/// Takes connections and never reads, as a firewall that swallows all.
async fn black_hole() -> (u16, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (listener.local_addr().unwrap().port(), listener)
}

#[tokio::test]
async fn black_holes_take_nothing_from_requests_and_healthy_handlers() {
    const REQUESTS: usize = 300;
    let app = app().await;
    let ((syslog_port, _syslog), (mail_port, _mail)) = (black_hole().await, black_hole().await);
    assert_eq!(add(&app, "file", file(&app, "healthy.log", "TRACE")).await.status, 201);
    let configuration = json!({"address": ["127.0.0.1", syslog_port], "level": "TRACE"});
    assert_eq!(add(&app, "syslog", configuration).await.status, 201);
    let mail = json!({
        "mailhost": "127.0.0.1", "port": mail_port, "fromaddr": "a@b", "toaddrs": ["c@d"], "level": "TRACE"
    });
    assert_eq!(add(&app, "smtp", mail).await.status, 201);
    for _ in 0..REQUESTS {
        log_test(&app).await;
        assert_eq!(app.list(JUPYTERHUB).await.status, 200);
    }
    let lines = lines_of(&app.path("healthy.log"), 6 * REQUESTS).await;
    for (level, message) in [
        ("TRACE", "Trace"),
        ("DEBUG", "Debug"),
        ("INFO", "Info"),
        ("WARNING", "Warn"),
        ("ERROR", "Error"),
        ("CRITICAL", "Critical"),
    ] {
        let level = format!(" levelname={level} ");
        let message = format!(" : {message}");
        let count = lines.iter().filter(|it| it.contains(&level) && it.contains(&message)).count();
        assert_eq!(count, REQUESTS, "{message}");
    }
    // A mail takes its time: the queue of 256 is full and counts what it drops.
    assert!(told(&app, "smtp").await["dropped"].as_u64().unwrap() >= 6 * 300 - 257);
    assert!(told(&app, "file").await.get("dropped").is_none());
    remove(&app, "smtp").await;
    remove(&app, "syslog").await;
    app.end().await;
}

#[tokio::test]
async fn a_folder_that_goes_away_is_told_and_found_again() {
    let app = app().await;
    let folder = app.path("services");
    app.edit_config(|config| config["logs"]["directories"] = json!([folder]));
    let mut app = app;
    app.restart().await;
    let configuration = json!({"filename": app.path("services/k.log"), "when": "s", "level": "ERROR"});
    assert_eq!(add(&app, "file", configuration).await.status, 201);
    std::fs::remove_dir_all(&folder).unwrap();
    eventually("told as failing", async || {
        log_test(&app).await;
        told(&app, "file").await["failing"].as_str().is_some_and(|it| it.contains("no such file")).then_some(())
    })
    .await;
    std::fs::create_dir(&folder).unwrap();
    lines_of(&app.path("services/k.log"), 1).await;
    eventually("well again", async || told(&app, "file").await.get("failing").is_none().then_some(())).await;
    app.end().await;
}

#[tokio::test]
async fn handlers_stay_over_a_restart() {
    let mut app = app().await;
    assert_eq!(add(&app, "file", file(&app, "k.log", "ERROR")).await.status, 201);
    remove(&app, "stream").await;
    let before = app.send_as(JUPYTERHUB, crate::Request::get("/api/logs/handler/")).await;
    app.restart().await;
    let after = app.send_as(JUPYTERHUB, crate::Request::get("/api/logs/handler/")).await;
    assert_eq!(after.body, before.body);
    log_test(&app).await;
    lines_of(&app.path("k.log"), 2).await;
    app.end().await;
}
