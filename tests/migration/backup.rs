//! Backup while the service runs; restore only while it does not.

use std::os::unix::fs::PermissionsExt;

use k8smgr::store::ProcessLock;

use crate::commands::{k8smgr, stop};
use crate::support::app::{JUPYTERHUB, TestApp};

const RUN: &str = "JupyterLab/Run";

#[tokio::test]
async fn a_backup_is_taken_while_the_service_runs_and_a_restore_is_refused_meanwhile() {
    let mut app = TestApp::start().await;
    assert_eq!(app.start_service(JUPYTERHUB, "lab", "s1", RUN).await.status, 201);
    let backup = app.path("backup.sqlite3");
    let name = backup.display().to_string();
    k8smgr(&app, &["backup", &name]).await.succeeded();
    assert_eq!(backup.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let (_, error) = k8smgr(&app, &["backup", &name]).await.failed();
    assert!(error.contains("is there already; give another name"), "{error}");

    let before = app.list(JUPYTERHUB).await.body;
    let (_, error) = k8smgr(&app, &["restore", &name]).await.failed();
    assert!(error.contains("a process has the database") && error.contains("stop every `k8smgr serve`"), "{error}");
    app.list(JUPYTERHUB).await.assert(200, &before);
    app.delete(JUPYTERHUB, "lab").await.assert(204, "");
    stop(&mut app).await;

    k8smgr(&app, &["restore", &name]).await.succeeded();
    app.start_process().await;
    app.list(JUPYTERHUB).await.assert(200, &before);
    // It is known again, and gone for good with the next DELETE.
    app.delete(JUPYTERHUB, "lab").await.assert(204, "");
    app.list(JUPYTERHUB).await.assert(200, "[]");
    let left: Vec<String> = app.names_in("").into_iter().filter(|it| it.contains("partial")).collect();
    assert!(left.is_empty(), "{left:?}");
    app.end().await;
}

#[tokio::test]
async fn only_a_backup_is_restored() {
    let mut app = TestApp::start().await;
    stop(&mut app).await;
    let database = std::fs::read(app.path("k8smgr.sqlite3")).unwrap();
    std::fs::write(app.path("notes.txt"), "not a database, ".repeat(100)).unwrap();
    std::fs::copy(crate::reference::database(&app), app.path("other.sqlite3")).unwrap();
    for name in ["notes.txt", "other.sqlite3", "nothing"] {
        let file = app.path(name).display().to_string();
        let (_, error) = k8smgr(&app, &["restore", &file]).await.failed();
        assert!(error.contains("is no backup of a database of K8s Manager"), "{name}: {error}");
    }
    let is_same = std::fs::read(app.path("k8smgr.sqlite3")).unwrap() == database;
    assert!(is_same, "the database was touched");
    let postgres = ["backup", "x", "--database-url", "postgres://k8smgr:s3cret@db/k8smgr"];
    let (_, error) = k8smgr(&app, &postgres).await.failed();
    assert!(error.contains("use pg_dump and pg_restore") && !error.contains("s3cret"), "{error}");
    app.end().await;
}

#[tokio::test]
async fn a_damaged_database_is_replaced_and_kept() {
    let mut app = TestApp::start().await;
    assert_eq!(app.start_service(JUPYTERHUB, "lab", "s1", RUN).await.status, 201);
    let listed = app.list(JUPYTERHUB).await.body;
    let backup = app.path("backup.sqlite3").display().to_string();
    k8smgr(&app, &["backup", &backup]).await.succeeded();
    stop(&mut app).await;
    let damaged = "damaged ".repeat(1000);
    std::fs::write(app.path("k8smgr.sqlite3"), &damaged).unwrap();
    let text = k8smgr(&app, &["restore", &backup]).await.succeeded();
    let kept = text.lines().find_map(|it| it.strip_prefix("The database before it is kept as ")).unwrap();
    assert_eq!(std::fs::read_to_string(kept).unwrap(), damaged);
    app.start_process().await;
    app.list(JUPYTERHUB).await.assert(200, &listed);
    app.end().await;
}

#[tokio::test]
async fn no_records_are_exchanged_under_a_process_that_is_starting_or_ending() {
    let mut app = TestApp::start().await;
    let backup = app.path("backup.sqlite3").display().to_string();
    k8smgr(&app, &["backup", &backup]).await.succeeded();
    stop(&mut app).await;
    // It has not opened the database yet, or has closed it already.
    let lock = ProcessLock::take(&app.database_url()).unwrap();
    let (_, error) = k8smgr(&app, &["restore", &backup]).await.failed();
    assert!(error.contains("stop every `k8smgr serve`"), "{error}");
    let (_, error) = k8smgr(&app, &["rebuild"]).await.failed();
    assert!(error.contains("serves the database") && error.contains("end it first"), "{error}");
    drop(lock);
    k8smgr(&app, &["restore", &backup]).await.succeeded();
    app.end().await;
}
