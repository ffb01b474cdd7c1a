//! The database when a process starts: one process on SQLite, waiting for PostgreSQL, clear refusals.

use std::process::Command;

use crate::support::app::{ADMIN, JUPYTERHUB, TestApp};
use crate::support::ports::ReservedPort;
use crate::support::postgres_server::PostgresServer;
use crate::support::processes::Process;
use crate::*;

const ANY: &str = "127.0.0.1:0";

#[tokio::test]
async fn a_second_process_on_sqlite_refuses_until_the_first_is_gone() {
    let app = TestApp::builder().prepare().await;
    let url = app.database_url().to_string();
    let mut first = Process::serve(&app, &url, ANY);
    let address = first.address().await;
    let mut second = Process::serve(&app, &url, ANY);
    assert_eq!(second.ended().await.code(), Some(1), "{}", second.output());
    let told = second.output();
    assert!(told.contains(&format!("another K8s Manager (process {}) serves the database", first.id())), "{told}");
    assert!(told.contains("use PostgreSQL for several replicas"), "{told}");

    // The first goes on, and users are changed beside it.
    let users = Command::new(env!("CARGO_BIN_EXE_k8smgr"))
        .args(["user", "--database-url", &url, "list"])
        .current_dir(app.path(""))
        .output()
        .unwrap();
    assert!(users.status.success() && String::from_utf8_lossy(&users.stdout).contains("jupyterhub"), "{users:?}");
    assert_eq!(list(address, JUPYTERHUB).await.status, 200);

    first.kill();
    let third = Process::serve(&app, &url, ANY);
    assert_eq!(list(third.address().await, ADMIN).await.status, 200);
    drop(third);
    app.end().await;
}

#[tokio::test]
async fn a_process_waits_for_its_database_and_is_alive_meanwhile() {
    let mut server = PostgresServer::start().await;
    let url = server.create_database("k8smgr").await;
    server.kill();
    let app = replica(&url).prepare().await;
    let reserved = ReservedPort::take();
    let free = reserved.address;
    let mut process = Process::serve(&app, &url, &free.to_string());
    process.writes("waiting for the database").await;
    eventually_alive(free).await;
    for path in ["/api/health/", "/readyz", "/api/services/lab/"] {
        let answer = Request::get(path).send(free).await;
        answer.assert(503, r#"{"detail":"K8s Manager starts: it waits for its database."}"#);
    }
    assert!(!process.output().contains("listening on"), "{}", process.output());

    server.restart().await;
    let address = process.address().await;
    assert_eq!(list(address, JUPYTERHUB).await.status, 200);
    process.signal("TERM");
    assert!(process.ended().await.success(), "{}", process.output());

    // One that waits is ended by a signal like any other.
    server.kill();
    let mut process = Process::serve(&app, &url, ANY);
    process.writes("waiting for the database").await;
    process.signal("TERM");
    assert!(process.ended().await.success(), "{}", process.output());
    app.end().await;
}

async fn eventually_alive(address: SocketAddr) {
    use crate::support::wait::eventually;
    eventually("it listens", async || tokio::net::TcpStream::connect(address).await.ok().map(|_| ())).await;
    assert_eq!(Request::get("/livez").send(address).await.status, 200);
}

#[tokio::test]
async fn a_database_that_refuses_ends_the_process_with_the_reason() {
    let server = PostgresServer::start().await;
    let app = replica(&server.url("nothing")).prepare().await;
    let mut process = Process::serve(&app, &server.url("nothing"), ANY);
    assert_eq!(process.ended().await.code(), Some(1));
    let told = process.output();
    assert!(told.contains("check user, password, name and TLS options in the database URL"), "{told}");
    assert!(told.contains("database \"nothing\" does not exist"), "{told}");
    app.end().await;
}

#[tokio::test]
async fn a_damaged_file_ends_the_process_and_says_what_to_do() {
    let app = TestApp::builder().prepare().await;
    std::fs::write(app.path("k8smgr.sqlite3"), "this was a database once").unwrap();
    let mut process = Process::serve(&app, &app.database_url().to_string(), ANY);
    assert_eq!(process.ended().await.code(), Some(1));
    let told = process.output();
    assert!(told.contains("k8smgr restore") && told.contains("k8smgr rebuild"), "{told}");
    app.end().await;
}
