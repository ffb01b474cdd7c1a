//! What an old installation may hold that cannot be taken as it is: it is told, and the rest is taken.

use k8smgr::store::Store;
use serde_json::json;

use crate::commands::k8smgr;
use crate::reference::{change_database, database, import, new_installation, put_in_place};
use crate::support::app::{JUPYTERHUB, TestApp};
use crate::support::json::Json;
use crate::support::wait::eventually;

/// The line of the table about one thing.
fn line<'a>(table: &'a str, part: &str) -> &'a str {
    table.lines().find(|it| it.contains(part)).unwrap_or_else(|| panic!("no line with {part} in {table}"))
}

fn assert_not_taken(table: &str, part: &str, reason: &str) {
    let line = line(table, part);
    assert!(line.contains("NOT TAKEN") && line.contains(reason), "{line}");
}

async fn runs_and_stops(app: &TestApp, name: &str) {
    eventually(&format!("{name} is seen"), async || {
        let answer = app.get(JUPYTERHUB, name).await;
        assert_eq!(answer.json().member("running"), &Json::Bool(true), "{}", answer.body);
        (answer.json().get("details").is_none()).then_some(())
    })
    .await;
    app.delete(JUPYTERHUB, name).await.assert(204, "");
    app.cluster.nothing_of(name).await;
}

#[tokio::test]
async fn what_cannot_be_taken_is_told_and_the_rest_is_taken() {
    let mut app = new_installation().await;
    put_in_place(&app).await;
    change_database(
        &app,
        r#"
        UPDATE auth_user SET password = 'bcrypt_sha256$$2b$12$hunter2hunter2' WHERE username = 'webonly';
        UPDATE auth_user SET password = '!unusable', is_active = 0 WHERE username = 'nogroup';
        UPDATE auth_user SET username = 'log only' WHERE username = 'logonly';
        INSERT INTO authtoken_token VALUES ('short', '2026-11-20 11:36:34', 1);
        UPDATE services_servicesmodel SET user_options = '{}' WHERE servername = 'imp02';
        INSERT INTO services_servicesmodel (servername, start_date, user_options, jhub_user_id, jhub_credential, stop_pending, start_id)
        VALUES ('gone', '2026-11-20 11:36:31', '{"service": "JupyterLab/Run"}', 9, 'jupyterhub', 0, 'a0000009'),
               ('imp05', '2026-11-20 11:36:31', '{"service": "JupyterLab/Run"}', 9, 'nobody', 0, 'a0000005');
        INSERT INTO logs_handlermodel VALUES ('syslog', '{"level": 7}'), ('carrier-pigeon', '{}');
        INSERT INTO services_userjobsmodel (jhub_credential, hostname, target_node, used_ports, service)
        VALUES ('jupyterhub', 'hpc1', 'node7', '{"8080": 12345}', 'imp01-job'),
               ('jupyterhub', 'hpc2', 'node8', '{"8080": 12346}', 'imp01-job');
        "#,
    );
    let (table, error) = import(&app, &[]).await.failed();
    assert!(error.contains("8 things were not taken; the table says why"), "{error}");
    assert!(line(&table, "user         webonly").contains("its password cannot be taken (hashed by bcrypt_sha256)"));
    assert!(line(&table, "user         nogroup").contains("taken") && !table.contains("hunter2"), "{table}");
    assert_not_taken(&table, "user         log only", "a user's name is letters, digits");
    assert_not_taken(&table, "of admin", "a token is 32 to 255 characters");
    assert_not_taken(&table, "imp02", "user_options has no service");
    assert_not_taken(&table, "gone", "nothing of it is left in the cluster");
    assert_not_taken(&table, "imp05", "there is no user `nobody`");
    assert_not_taken(&table, "syslog", "level");
    assert_not_taken(&table, "carrier-pigeon", "there are the handlers");
    let jobs: Vec<&str> = table.lines().filter(|it| it.contains("imp01-job")).collect();
    assert!(!jobs[0].contains("NOT") && jobs[0].contains("its forwards are made when the service runs"), "{jobs:?}");
    assert!(jobs[1].contains("NOT TAKEN") && jobs[1].contains("there is another job"), "{jobs:?}");

    let store = Store::connect(&app.settings().database_url).await.unwrap();
    let kept = store.user_jobs().await.unwrap();
    assert_eq!(
        (kept.len(), kept[0].hostname.as_str(), (kept[0].ports[0].wanted, kept[0].ports[0].remote)),
        (1, "hpc1", (8080, 12345))
    );
    let nogroup = store.user("nogroup").await.unwrap().unwrap();
    assert_eq!((nogroup.is_active, nogroup.password_hash), (false, None));
    app.start_process().await;
    runs_and_stops(&app, "imp01").await;
    // What was not taken is left alone.
    assert!(app.cluster.get("Deployment", "depl-imp02-a0000002").await.is_some());

    // Put right, it is taken by a second run; what was stopped meanwhile does not come back.
    change_database(
        &app,
        r#"UPDATE services_servicesmodel SET user_options = '{"service": "JupyterLab/Run"}' WHERE servername = 'imp02'"#,
    );
    let (table, _) = import(&app, &[]).await.failed();
    assert_not_taken(&table, "imp01 (", "nothing of it is left in the cluster");
    runs_and_stops(&app, "imp02").await;
    app.end().await;
}

#[tokio::test]
async fn what_is_here_already_is_not_changed() {
    let app = new_installation().await;
    put_in_place(&app).await;
    let add = ["user", "add", "jupyterhub", "--no-password"];
    k8smgr(&app, &add).await.succeeded();
    change_database(&app, r#"UPDATE logs_handlermodel SET configuration = '{"level": 30}' WHERE handler = 'stream'"#);
    let table = import(&app, &[]).await.succeeded();
    assert!(line(&table, "user         jupyterhub").contains("there already"));
    // The default was nobody's choice.
    assert!(line(&table, "stream").contains("taken"), "{table}");
    let store = Store::connect(&app.settings().database_url).await.unwrap();
    assert_eq!(store.user("jupyterhub").await.unwrap().unwrap().password_hash, None);
    change_database(&app, r#"UPDATE logs_handlermodel SET configuration = '{"level": 40}' WHERE handler = 'stream'"#);
    let (table, _) = import(&app, &[]).await.failed();
    assert_not_taken(&table, "stream", "it is configured otherwise here");
    app.end().await;
}

#[tokio::test]
async fn without_the_rendered_files_objects_are_found_by_name() {
    let mut app = new_installation().await;
    put_in_place(&app).await;
    std::fs::remove_dir_all(app.path("services/imp01-a0000001")).unwrap();
    // A claim holds a user's data; by its name alone it is not ours to delete.
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "imp01-a0000001-data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    });
    app.cluster.create("PersistentVolumeClaim", claim).await;
    let table = import(&app, &[]).await.succeeded();
    assert!(line(&table, "imp01").contains("4 objects; its rendered files are missing"), "{table}");
    app.start_process().await;
    eventually("imp01 is seen", async || {
        let answer = app.get(JUPYTERHUB, "imp01").await;
        assert_eq!(answer.json().member("running"), &Json::Bool(true), "{}", answer.body);
        (answer.json().get("details").is_none()).then_some(())
    })
    .await;
    app.delete(JUPYTERHUB, "imp01").await.assert(204, "");
    eventually("the claim is left alone", async || {
        let names = app.cluster.names().await;
        let left: Vec<_> = names.iter().filter(|it| it.contains("imp01")).collect();
        (left == ["PersistentVolumeClaim/imp01-a0000001-data"]).then_some(())
    })
    .await;
    app.end().await;
}

#[tokio::test]
async fn objects_of_another_installation_are_left_alone() {
    let app = new_installation().await;
    put_in_place(&app).await;
    let patch = kube::api::Patch::Merge(json!({"metadata": {"labels": {"k8smgr.io/installation": "another"}}}));
    app.cluster.api("ConfigMap").patch("cm-imp01-a0000001", &Default::default(), &patch).await.unwrap();
    let before = app.cluster.snapshot().await;
    let (table, _) = import(&app, &[]).await.failed();
    assert_not_taken(&table, "imp01", "ConfigMap cm-imp01-a0000001 belongs to another service or installation");
    let of_imp01 = |objects: Vec<serde_json::Value>| -> Vec<_> {
        objects.into_iter().filter(|it| it["metadata"]["name"].as_str().unwrap().contains("imp01")).collect()
    };
    assert_eq!(of_imp01(app.cluster.snapshot().await), of_imp01(before));
    app.end().await;
}

#[tokio::test]
async fn nothing_is_done_without_a_cluster_or_a_database_of_the_reference() {
    let app = new_installation().await;
    put_in_place(&app).await;
    let (_, error) = k8smgr(&app, &["import", "--from", "/nowhere/reference.sqlite3"]).await.failed();
    assert!(error.contains("there is no file /nowhere/reference.sqlite3"), "{error}");
    let own = crate::commands::database(&app);
    let (_, error) = k8smgr(&app, &["import", "--from", &own]).await.failed();
    assert!(
        error.contains("is no database of the Python K8s Manager, it has no table auth_user; nor one of"),
        "{error}"
    );
    if let Some(faults) = app.cluster.faults() {
        faults.down(true);
        let (_, error) = import(&app, &[]).await.failed();
        assert!(error.contains("Kubernetes API server"), "{error}");
        faults.down(false);
    }
    let store = Store::connect(&app.settings().database_url).await.unwrap();
    assert!(store.users().await.unwrap().is_empty());
    assert!(database(&app).exists());
    app.end().await;
}
