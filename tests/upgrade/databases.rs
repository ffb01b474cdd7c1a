//! Databases of earlier versions, as text, and what becomes of them.

use std::path::Path;

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use serde_json::{Value, json};
use tokio_postgres::NoTls;

use crate::support::app::{JUPYTERHUB, OTHERHUB, TestApp};
use crate::support::postgres_server::PostgresServer;
use crate::support::wire::Request;

/// The last migration of the fixtures, to see one really run: its `down.sql` makes the database of the version before.
const LAST: &str = "2026-11-20-000040_adopted_services";
const LAST_VERSION: &str = "20261120000040";

fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What ended is looked at long after that: the dumps are old.
fn keep_what_ended(config: &mut Value) {
    config["services"]["ended_ttl_seconds"] = json!(1_000_000_000);
}

fn without_the_last_migration(database: &str) -> String {
    let down = text(&format!("migrations/{database}/{LAST}/down.sql"));
    format!("{down}\nDELETE FROM __diesel_schema_migrations WHERE version = '{LAST_VERSION}';")
}

pub async fn execute_postgres(url: &str, sql: &str) {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute(sql).await.unwrap();
}

pub async fn load_postgres(url: &str) {
    execute_postgres(url, &text("tests/upgrade/fixtures/febab5a.postgres.sql")).await;
}

fn execute_sqlite(file: &Path, sql: &str) {
    SqliteConnection::establish(file.to_str().unwrap()).unwrap().batch_execute(sql).unwrap();
}

pub fn load_sqlite(file: &Path) {
    // Tables are in the order of their names.
    let dump = text("tests/upgrade/fixtures/febab5a.sqlite.sql");
    execute_sqlite(file, &format!("PRAGMA foreign_keys = OFF;\n{dump}"));
}

/// The lists of both hubs are what the earlier version said, token and log handler are there.
async fn is_intact(app: &TestApp, database: &str) {
    let expected: Value =
        serde_json::from_str(&text(&format!("tests/upgrade/fixtures/febab5a.{database}.json"))).unwrap();
    for (hub, login) in [("jupyterhub", JUPYTERHUB), ("otherhub", OTHERHUB)] {
        let list = app.list(login).await;
        assert_eq!((list.status, list.value()), (200, expected[hub].clone()), "{hub}");
    }
    // The end of a server that ended is still explained.
    let name = format!("{}ended", &database[..1]);
    let ended = app.get(JUPYTERHUB, &name).await.value();
    assert_eq!(ended["running"], false, "{ended}");
    assert_eq!(ended["details"]["error"], "Service is gone", "{ended}");
    let handlers = app.send_as(crate::support::app::ADMIN, Request::get("/api/logs/handler/")).await;
    assert!(handlers.body.contains("\"handler\":\"stream\""), "{}", handlers.body);
    let tokens = app.send_as(crate::support::app::ADMIN, Request::get("/api/users/jupyterhub/tokens/")).await;
    assert!(tokens.body.contains("\"ci\""), "{}", tokens.body);
    // What an object was made of is what it is removed by.
    for (hub, login) in [("jupyterhub", JUPYTERHUB), ("otherhub", OTHERHUB)] {
        for service in expected[hub].as_array().unwrap() {
            app.delete(login, service["servername"].as_str().unwrap()).await.assert(204, "");
        }
        assert_eq!(app.list(login).await.body, "[]");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sqlite_database_of_an_earlier_version_is_migrated_with_its_services() {
    for is_older in [false, true] {
        let mut app = TestApp::builder().edit(keep_what_ended).prepare().await;
        load_sqlite(&app.path("k8smgr.sqlite3"));
        if is_older {
            execute_sqlite(&app.path("k8smgr.sqlite3"), &without_the_last_migration("sqlite"));
        }
        app.start_process().await;
        is_intact(&app, "sqlite").await;
        app.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgresql_database_of_an_earlier_version_is_migrated_with_its_services() {
    let server = PostgresServer::start().await;
    for is_older in [false, true] {
        let url = server.create_database(if is_older { "older" } else { "old" }).await;
        load_postgres(&url).await;
        if is_older {
            execute_postgres(&url, &without_the_last_migration("postgres")).await;
        }
        let mut app = TestApp::builder().database(&url).edit(keep_what_ended).prepare().await;
        app.start_process().await;
        is_intact(&app, "postgres").await;
        app.end().await;
    }
}
