//! The files: followed, and kept out while they are bad.

use std::os::unix::fs::symlink;

use crate::support::turns::alone;
use crate::*;

async fn readyz(app: &TestApp) -> String {
    app.send(&Request::get("/readyz?verbose")).await.body
}

#[tokio::test]
async fn a_changed_file_applies_by_itself_and_a_bad_one_is_told_and_kept_out() {
    let _alone = alone();
    let app = start(hubs(), Some("flavors: {a: {max: 1}}")).await;
    let figures = async |expected: &str| {
        eventually(&format!("the figures are {expected}"), async || {
            (ask(&app, HUB1, "/flavors").await.body == expected).then_some(())
        })
        .await;
    };
    figures(r#"{"a":{"max":1,"current":0}}"#).await;
    std::fs::write(app.path("flavors.yaml"), "flavors: {b: {}}").unwrap();
    figures(r#"{"b":{"current":0}}"#).await;
    for bad in ["flavors: [", "flavors: {b: }", "hubs: {}", "flavors: {b: {max: '3'}}"] {
        assert!(!set_flavors(&app, bad), "{bad}");
        ask(&app, HUB1, "/flavors").await.assert(200, r#"{"b":{"current":0}}"#);
    }
    let text = readyz(&app).await;
    assert!(text.contains("[!]flavors failed") && text.contains("bad: flavors_file; the log says why"), "{text}");
    let page = app.send(&Request::get("/metrics")).await.body;
    assert!(page.contains("k8smgr_rules_last_reload_success{file=\"flavors\"} 0"), "{page}");
    assert_eq!(start_server(&app, HUB1, "lab", "b", 7).await.status, 200, "the last good file is in force");
    // What it was before is good again, and no file at all limits nothing.
    assert!(set_flavors(&app, "flavors: {b: {}}"));
    assert!(readyz(&app).await.contains("[+]flavors ok"));
    std::fs::remove_file(app.path("flavors.yaml")).unwrap();
    figures("{}").await;
    assert_eq!(start_server(&app, HUB1, "lab2", "whatever", 7).await.status, 200);
    stop_all(&app).await;
    app.end().await;
}

#[tokio::test]
async fn the_exchange_of_a_configmap_is_seen() {
    let mut app = prepare(hubs(), None).await;
    let mount = app.path("mount");
    for (version, text) in [("..one", "flavors: {one: {}}"), ("..two", "flavors: {two: {}}")] {
        std::fs::create_dir_all(mount.join(version)).unwrap();
        std::fs::write(mount.join(version).join("flavors.yaml"), text).unwrap();
    }
    symlink("..one", mount.join("..data")).unwrap();
    symlink("..data/flavors.yaml", mount.join("flavors.yaml")).unwrap();
    // The environment comes before the configuration.
    app.set_variable("OUTPOST_FLAVORS_PATH", mount.join("flavors.yaml").to_str().unwrap());
    app.start_process().await;
    ask(&app, HUB1, "/flavors").await.assert(200, r#"{"one":{"current":0}}"#);
    symlink("..two", mount.join("..data_tmp")).unwrap();
    std::fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    eventually("the new version is in force", async || {
        (ask(&app, HUB1, "/flavors").await.body == r#"{"two":{"current":0}}"#).then_some(())
    })
    .await;
    app.end().await;
}

#[tokio::test]
async fn with_a_file_that_is_bad_from_the_beginning_nothing_is_started_and_all_else_goes_on() {
    let mut app = start(hubs(), Some("flavors: {a: {}}")).await;
    assert_eq!(start_server(&app, HUB1, "lab", "a", 7).await.status, 200);
    app.stop_process().await;
    std::fs::write(app.path("flavors.yaml"), "flavors: [").unwrap();
    app.start_process().await;
    let refused = refusal(&start_server(&app, HUB1, "lab2", "a", 7).await);
    assert!(
        refused.starts_with("lab2 - Start not allowed for now: the flavors of K8s Manager cannot be read."),
        "{refused}"
    );
    assert_eq!(ask(&app, HUB1, "/flavors").await.status, 500);
    ask(&app, HUB1, "/services/lab/s").await.assert(200, r#"{"status":null,"logs":[]}"#);
    assert_eq!(start_server(&app, HUB1, "lab", "a", 7).await.status, 200, "it runs already");
    assert!(set_flavors(&app, "flavors: {a: {}}"));
    assert_eq!(start_server(&app, HUB1, "lab2", "a", 7).await.status, 200);
    stop_all(&app).await;
    app.end().await;
}
