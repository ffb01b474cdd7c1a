//! An installation of the reference is taken over while its services run.

use k8smgr::store::Store;
use serde_json::{Value, json};

use crate::reference::{CRASHED, RUNNING, import, new_installation, put_in_place};
use crate::support::app::{ADMIN, JUPYTERHUB, OTHERHUB, TestApp};
use crate::support::json::Json;
use crate::support::wait::eventually;
use crate::support::wire::Request;

/// Made by the reference for `jupyterhub`.
const TOKEN: &str = "token 6aaf7be9a8bb39921f67504e2a381d30cba5ddbf";
const START_DATES: [&str; 3] =
    ["2026-11-20T11:36:30.415840Z", "2026-11-20T11:36:30.601701Z", "2026-11-20T11:36:30.943721Z"];

fn plain(index: usize) -> String {
    let (number, date) = (index + 1, START_DATES[index]);
    format!(
        r#"{{"servername":"imp0{number}","start_id":"a000000{number}","user_options":{{"service":"JupyterLab/Run"}},"jhub_user_id":{number},"jhub_credential":"jupyterhub","start_date":"{date}","stop_pending":false"#
    )
}

/// Everything that says whether a pod is the one it was.
async fn specs(app: &TestApp) -> Vec<Value> {
    let of = |it: &Value| json!([it["kind"], it["metadata"]["name"], it["metadata"]["uid"], it["spec"], it["data"]]);
    app.cluster.objects().await.iter().map(of).collect()
}

async fn runs(app: &TestApp, index: usize) {
    eventually(&format!("imp0{} runs", index + 1), async || {
        let answer = app.get(JUPYTERHUB, &format!("imp0{}", index + 1)).await;
        assert_eq!(answer.json().member("running"), &Json::Bool(true), "{}", answer.body);
        // The first polls may come before the cluster was seen.
        (answer.body == format!(r#"{},"running":true}}"#, plain(index))).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_services_of_the_reference_are_polled_explained_updated_and_stopped_without_a_trace() {
    let mut app = new_installation().await;
    put_in_place(&app).await;
    let before = specs(&app).await;
    import(&app, &[]).await.succeeded();
    assert_eq!(specs(&app).await, before, "nothing is restarted or changed");

    app.start_process().await;
    for index in 0..RUNNING.len() {
        runs(&app, index).await;
    }
    let list: Vec<String> = (0..3).map(|index| format!("{}}}", plain(index))).collect();
    app.list(JUPYTERHUB).await.assert(200, &format!("[{}]", list.join(",")));

    let explained = eventually("imp04 says running: false", async || {
        let answer = app.get(OTHERHUB, "imp04").await;
        (answer.json().member("running") == &Json::Bool(false)).then_some(answer)
    })
    .await;
    let details = explained.json().member("details").clone();
    assert_eq!(details.member("error").text(), "Service status is Failed");
    let logs = details.member("detailed_error").text().to_owned();
    assert!(logs.contains("20 the &lt;script&gt;alert(1)&lt;/script&gt; end"), "{logs}");
    assert_eq!(specs_of(&specs(&app).await, "imp01"), specs_of(&before, "imp01"), "also now nothing is restarted");

    let updated = app.put(JUPYTERHUB, "imp01").await;
    assert_eq!((updated.status, updated.json().member("running")), (200, &Json::Bool(true)), "{}", updated.body);
    assert!(app.cluster.get("Service", "svc-update-imp01-a0000001").await.is_some());
    // The same start again is answered, not made anew.
    let repeated = app.start_service(JUPYTERHUB, "imp02", "a0000002", "JupyterLab/Run").await;
    repeated.assert(201, &format!("{}}}", plain(1)));

    for name in ["imp01", "imp02", "imp03"] {
        app.get(OTHERHUB, name).await.assert(404, r#"{"detail":"Not found."}"#);
        app.delete(JUPYTERHUB, name).await.assert(204, "");
    }
    app.delete(OTHERHUB, "imp04").await.assert(204, "");
    app.cluster.nothing_of("").await;
    app.list(JUPYTERHUB).await.assert(200, "[]");
    app.list(OTHERHUB).await.assert(200, "[]");
    assert!(app.names_in("services").is_empty());
    app.end().await;
}

fn specs_of(specs: &[Value], name: &str) -> Vec<Value> {
    specs.iter().filter(|it| it[1].as_str().unwrap().contains(name)).cloned().collect()
}

#[tokio::test]
async fn a_dry_run_changes_nothing_and_a_second_import_neither() {
    let app = new_installation().await;
    put_in_place(&app).await;
    let before = app.cluster.snapshot().await;
    let dry = import(&app, &["--dry-run"]).await.succeeded();
    insta::assert_snapshot!(dry, @r"
    KIND         NAME                         OUTCOME         NOTE
    user         admin                        would be taken
    user         jupyterhub                   would be taken
    user         otherhub                     would be taken
    user         nogroup                      would be taken
    user         webonly                      would be taken
    user         logonly                      would be taken
    token        of jupyterhub                would be taken
    service      jupyterhub imp01 (a0000001)  would be taken  4 objects
    service      jupyterhub imp02 (a0000002)  would be taken  4 objects
    service      jupyterhub imp03 (a0000003)  would be taken  4 objects
    service      otherhub imp04 (a0000004)    would be taken  5 objects
    log handler  stream                       there already
    log handler  file                         would be taken

    12 would be taken, 1 there already, 0 not taken
    ");
    assert_eq!(app.cluster.snapshot().await, before);

    let done = import(&app, &[]).await.succeeded();
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(words(&done), words(&dry).replace("would be taken", "taken"));
    let after = app.cluster.snapshot().await;
    assert_ne!(after, before);
    let store = Store::connect(&app.settings().database_url).await.unwrap();
    let records = format!("{:?}", store.adopted_services().await.unwrap());

    let again = import(&app, &[]).await.succeeded();
    assert!(again.ends_with("\n0 taken, 13 there already, 0 not taken\n"), "{again}");
    assert_eq!(app.cluster.snapshot().await, after);
    assert_eq!(format!("{:?}", store.adopted_services().await.unwrap()), records);
    app.end().await;
}

#[tokio::test]
async fn everybody_logs_in_as_before_and_is_hashed_anew() {
    let mut app = new_installation().await;
    put_in_place(&app).await;
    import(&app, &[]).await.succeeded();
    app.start_process().await;
    let hash = async |name: &str| app.app().store.user(name).await.unwrap().unwrap().password_hash.unwrap();
    let before = hash("jupyterhub").await;
    let wrong = app.list(&format!("{JUPYTERHUB}x")).await;
    wrong.assert(401, r#"{"detail":"Invalid username/password."}"#);
    assert_eq!(hash("jupyterhub").await, before);
    let logins = [
        (JUPYTERHUB, 200, 200),
        (OTHERHUB, 200, 200),
        (ADMIN, 200, 200),
        ("webonly:webpw", 200, 403),
        ("logonly:logpw", 403, 200),
        ("nogroup:nogrouppw", 403, 403),
    ];
    for (user, services, logs) in logins {
        let name = user.split(':').next().unwrap();
        let imported = hash(name).await;
        assert!(imported.starts_with("pbkdf2_sha256$260000$"), "{name}");
        assert_eq!(app.list(user).await.status, services, "{user}");
        let anew = hash(name).await;
        assert!(anew.starts_with("$argon2id$"), "{name}");
        assert_eq!(app.send_as(user, Request::get("/api/logs/handler/")).await.status, logs, "{user}");
        assert_eq!(hash(name).await, anew);
    }
    app.restart().await;
    for (user, services, _) in logins {
        assert_eq!(app.list(user).await.status, services, "{user}");
    }
    let by_token = app.send(&Request::get("/api/services/").header("Authorization", TOKEN)).await;
    assert_eq!((by_token.status, by_token.json().items().len()), (200, 3), "{}", by_token.body);
    app.end().await;
}

#[tokio::test]
async fn the_log_handlers_of_the_reference_are_taken() {
    let mut app = new_installation().await;
    put_in_place(&app).await;
    import(&app, &[]).await.succeeded();
    app.start_process().await;
    let listed = app.send_as(ADMIN, Request::get("/api/logs/handler/")).await;
    assert_eq!(listed.status, 200, "{}", listed.body);
    let handlers = listed.json();
    let names: Vec<_> = handlers.items().iter().map(|it| it.member("handler").text().to_owned()).collect();
    assert_eq!(names, ["stream", "file"]);
    let configuration = handlers.items()[1].member("configuration").to_text();
    assert!(configuration.contains("/var/log/k8smgr/k8smgr.log"), "{configuration}");
    app.end().await;
}

#[tokio::test]
async fn a_service_that_the_reference_was_stopping_is_stopped() {
    let mut app = new_installation().await;
    put_in_place(&app).await;
    crate::reference::change_database(
        &app,
        "UPDATE services_servicesmodel SET stop_pending = 1 WHERE servername IN ('imp01', 'imp04')",
    );
    import(&app, &[]).await.succeeded();
    app.start_process().await;
    app.cluster.nothing_of(RUNNING[0]).await;
    app.cluster.nothing_of(CRASHED).await;
    eventually("the other hub has none", async || (app.list(OTHERHUB).await.body == "[]").then_some(())).await;
    runs(&app, 1).await;
    app.end().await;
}
