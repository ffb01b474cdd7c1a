//! Changes that nobody announces: the kernel tells of them, as a ConfigMap volume, git-sync, editors and SIGHUP cause
//! them.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::{Value, json};

use crate::marked::{SERVICE, files, mark_config, own_descriptions, start, write_files};
use crate::support::app::{ADMIN, JUPYTERHUB, TestApp};
use crate::support::turns::alone;
use crate::support::wait::{eventually, eventually_within};
use crate::support::wire::{Answer, Request};

/// The headline of a start that fails, which the configuration says.
async fn headline(app: &TestApp, start_id: &str) -> String {
    let failed = app.start_service(JUPYTERHUB, "none", start_id, "Nothing").await;
    assert_eq!(failed.status, 500);
    failed.json().member("error").text().to_owned()
}

fn set_headline(config: &mut Value, text: &str) {
    config["error_messages"]["services.utils.common.start_service_2"] = json!(text);
}

fn config(app: &TestApp) -> Value {
    serde_json::from_str(&std::fs::read_to_string(app.path("config.json")).unwrap()).unwrap()
}

#[tokio::test]
async fn an_editor_that_writes_in_place_or_exchanges_the_file_is_seen() {
    let app = TestApp::start().await;
    assert_eq!(headline(&app, "s0").await, "Custom start error");
    app.edit_config(|config| set_headline(config, "In place"));
    eventually("the change applies", async || (headline(&app, "s1").await == "In place").then_some(())).await;

    let mut config = config(&app);
    set_headline(&mut config, "Exchanged");
    std::fs::write(app.path("config.json.tmp"), config.to_string()).unwrap();
    std::fs::rename(app.path("config.json.tmp"), app.path("config.json")).unwrap();
    eventually("the change applies", async || (headline(&app, "s2").await == "Exchanged").then_some(())).await;
    app.end().await;
}

/// Config and descriptions of one version in a folder of their own, which a link is exchanged for.
fn publish(app: &TestApp, config: &mut Value, version: u64) {
    let folder = app.path(format!("git/v{version}"));
    write_files(&folder.join("descriptions/jupyterhub").join(SERVICE), &files(version));
    mark_config(config, version);
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    exchange(&format!("v{version}"), &app.path("git/current"));
    if version > 0 {
        std::fs::remove_dir_all(app.path(format!("git/v{}", version - 1))).unwrap();
    }
}

fn exchange(target: &str, link: &Path) {
    let new = link.with_file_name("exchanged-soon");
    symlink(target, &new).unwrap();
    std::fs::rename(new, link).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn hundreds_of_exchanged_checkouts_are_seen_whole() {
    const BURSTS: u64 = 40;
    const EACH: u64 = 8;
    let mut app = TestApp::start().await;
    app.stop_process().await;
    let mut config = config(&app);
    config["services"]["descriptions"] = json!(app.path("git/current/descriptions"));
    std::fs::create_dir(app.path("git")).unwrap();
    publish(&app, &mut config, 0);
    std::fs::remove_file(app.path("config.json")).unwrap();
    symlink("git/current/config.json", app.path("config.json")).unwrap();
    app.start_process().await;
    for burst in 1..=BURSTS {
        for version in (burst - 1) * EACH + 1..=burst * EACH {
            publish(&app, &mut config, version);
        }
        let last = burst * EACH;
        let number = std::cell::Cell::new(0);
        eventually(&format!("v{last} is started"), async || {
            number.set(number.get() + 1);
            let name = format!("b{burst}n{}", number.get());
            let versions = start(&app, &name).await;
            assert_eq!(versions.len(), 1, "a mixture: {versions:?}");
            app.delete(JUPYTERHUB, &name).await.assert(204, "");
            (versions == BTreeSet::from([format!("v{last}")])).then_some(())
        })
        .await;
    }
    app.end().await;
}

#[tokio::test]
async fn the_exchange_of_a_mounted_configmap_is_seen() {
    let mut app = TestApp::start().await;
    app.stop_process().await;
    let mount = app.path("mount");
    let mut config = config(&app);
    let publish = |config: &mut Value, version: u64| {
        set_headline(config, &format!("Headline {version}"));
        let data = mount.join(format!("..2026_{version}"));
        std::fs::create_dir_all(&data).unwrap();
        std::fs::write(data.join("config.json"), config.to_string()).unwrap();
        exchange(&format!("..2026_{version}"), &mount.join("..data"));
    };
    publish(&mut config, 1);
    symlink("..data/config.json", mount.join("config.json")).unwrap();
    std::fs::remove_file(app.path("config.json")).unwrap();
    symlink("mount/config.json", app.path("config.json")).unwrap();
    app.start_process().await;
    assert_eq!(headline(&app, "s1").await, "Headline 1");
    for version in 2..5 {
        publish(&mut config, version);
        std::fs::remove_dir_all(mount.join(format!("..2026_{}", version - 1))).unwrap();
        let expected = format!("Headline {version}");
        eventually("the change applies", async || (headline(&app, "s2").await == expected).then_some(())).await;
    }
    app.end().await;
}

#[tokio::test]
async fn a_broken_description_goes_on_in_its_last_good_version_and_is_told() {
    let _alone = alone();
    let app = TestApp::builder().edit(own_descriptions).edit(|config| mark_config(config, 1)).start().await;
    // At once: a look between its files would find a description that is good, and another.
    write_files(&app.path("new").join(SERVICE), &files(1));
    std::fs::rename(app.path("new"), app.path("own/jupyterhub")).unwrap();
    let folder = app.path("own/jupyterhub").join(SERVICE);
    let ready = async || app.send(&Request::get("/readyz?verbose")).await;
    eventually("the description is known", async || {
        let page = app.send(&Request::get("/metrics")).await.body;
        page.contains("\nk8smgr_descriptions{state=\"good\"} 1\n").then_some(())
    })
    .await;
    let before = ready().await;
    assert!(before.body.contains("[+]descriptions ok"), "{}", before.body);

    std::fs::write(app.path("broken.yaml"), "apiVersion: v1\nkind: {").unwrap();
    std::fs::rename(app.path("broken.yaml"), folder.join("service.yaml")).unwrap();
    let told = eventually("it is told", async || {
        let told = ready().await;
        told.body.contains("[!]descriptions failed: since ").then_some(told)
    })
    .await;
    assert_eq!(told.status, 200, "nobody would do better");
    assert!(told.body.contains("jupyterhub/Marked") && told.body.contains("readyz check passed"), "{}", told.body);
    assert_eq!(start(&app, "lab").await, BTreeSet::from(["v1".to_owned()]));

    std::fs::remove_dir_all(&folder).unwrap();
    let number = std::cell::Cell::new(0);
    let failed = eventually("it is gone", async || {
        number.set(number.get() + 1);
        let failed = app.start_service(JUPYTERHUB, "gone", &format!("s{}", number.get()), SERVICE).await;
        (failed.status == 500).then_some(failed)
    })
    .await;
    assert!(failed.body.contains("Couldn't find service yaml file."), "{}", failed.body);
    app.end().await;
}

#[tokio::test]
async fn a_sighup_reloads_and_is_answered_in_the_log() {
    let _alone = alone();
    let app = TestApp::builder().edit(|config| config["logs"] = json!({"directories": ["/tmp"]})).start().await;
    let folder = app.path("").canonicalize().unwrap();
    app.edit_config(|config| config["logs"] = json!({"directories": [folder]}));
    eventually("the folder is allowed", async || (add_file_handler(&app).await.status == 201).then_some(())).await;
    // Only the signal makes it look now.
    let sent = std::process::Command::new("kill").args(["-HUP", &std::process::id().to_string()]).status().unwrap();
    assert!(sent.success());
    eventually("the log says so", async || {
        let log = std::fs::read_to_string(app.path("k.log")).unwrap_or_default();
        log.lines().any(|it| it.contains("reloaded, as SIGHUP asked")).then_some(())
    })
    .await;
    app.end().await;
}

async fn add_file_handler(app: &TestApp) -> Answer {
    let configuration = json!({"filename": app.path("k.log"), "level": "INFO"});
    let body = json!({"handler": "file", "configuration": configuration});
    app.send_as(ADMIN, Request::new("POST", "/api/logs/handler/").json(&body)).await
}

#[tokio::test]
async fn what_log_handlers_may_write_to_follows_a_reload() {
    let _alone = alone();
    let app = TestApp::builder().edit(|config| config["logs"] = json!({"directories": []})).start().await;
    let refused = add_file_handler(&app).await;
    assert!(refused.status == 400 && refused.body.contains("logs.directories"), "{}", refused.body);
    let folder = app.path("").canonicalize().unwrap();
    app.edit_config(|config| config["logs"] = json!({"directories": [folder]}));
    eventually("the folder is allowed", async || (add_file_handler(&app).await.status == 201).then_some(())).await;
    app.end().await;
}

#[tokio::test]
async fn an_address_that_changed_waits_for_the_next_start() {
    let app = TestApp::start().await;
    app.edit_config(|config| {
        set_headline(config, "Changed with it");
        config["listen"] = json!("127.0.0.1:1");
        config["metrics"] = json!({"listen": "127.0.0.1:2"});
    });
    eventually("the rest applies", async || (headline(&app, "s1").await == "Changed with it").then_some(())).await;
    assert_eq!(app.send(&Request::get("/metrics")).await.status, 200, "where it was");
    app.end().await;
}

#[tokio::test]
async fn a_skeleton_that_cannot_be_copied_is_told_until_it_can() {
    let app = TestApp::start().await;
    let within = std::time::Duration::from_secs(60);
    let skeletons = async |expected: &str| {
        eventually_within(within, expected, async || {
            let ready = app.send(&Request::get("/readyz?verbose")).await;
            assert!(!ready.body.contains(app.path("").to_str().unwrap()), "{}", ready.body);
            let page = app.send(&Request::get("/metrics")).await.body;
            let number = if expected.starts_with("[!]") { 1 } else { 0 };
            (ready.status == 200
                && ready.body.lines().any(|it| it.starts_with(expected))
                && page.contains(&format!("\nk8smgr_skeletons_broken {number}\n")))
            .then_some(ready.body)
        })
        .await
    };
    skeletons("[+]skeletons ok").await;
    symlink(".", app.path("skel/jupyterhub/turns")).unwrap();
    let told = skeletons("[!]skeletons failed: since ").await;
    assert!(told.contains(", broken: jupyterhub; the log says why"), "{told}");
    std::fs::remove_file(app.path("skel/jupyterhub/turns")).unwrap();
    skeletons("[+]skeletons ok").await;
    app.end().await;
}
