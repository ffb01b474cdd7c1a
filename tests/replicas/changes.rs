//! What is changed at one replica, or by the command line, counts at all of them.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::support::app::{ADMIN, JUPYTERHUB, TestApp};
use crate::support::postgres_server::PostgresServer;
use crate::support::processes::Process;
use crate::support::wait::eventually;
use crate::*;

struct Two {
    app: TestApp,
    url: String,
    addresses: [SocketAddr; 2],
    _processes: [Process; 2],
    _server: PostgresServer,
}

async fn two() -> Two {
    let server = PostgresServer::start().await;
    let url = server.create_database("k8smgr").await;
    let app = replica(&url).prepare().await;
    app.edit_config(|config| config["logs"]["directories"] = json!([app.path("")]));
    let processes = [Process::serve(&app, &url, "127.0.0.1:0"), Process::serve(&app, &url, "127.0.0.1:0")];
    let addresses = [processes[0].address().await, processes[1].address().await];
    Two { app, url, addresses, _processes: processes, _server: server }
}

#[tokio::test]
async fn a_log_handler_made_at_one_replica_is_at_work_at_the_other() {
    let Two { app, addresses: [one, other], .. } = &two().await;
    let log = app.path("changed.log");
    let handler = json!({"handler": "file", "configuration": {"filename": log, "level": 10}});
    let made = send(*one, ADMIN, Request::new("POST", "/api/logs/handler/").json(&handler)).await;
    assert_eq!(made.status, 201, "{}", made.body);
    eventually("the other one writes to the new handler", async || {
        assert_eq!(send(*other, ADMIN, Request::get("/api/logs/logtest/")).await.status, 200);
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        text.contains("mesg=msg1").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_password_changed_by_the_command_line_counts_at_every_replica() {
    let Two { app, url, addresses, .. } = &two().await;
    // Both remember the login.
    for address in addresses {
        assert_eq!(list(*address, JUPYTERHUB).await.status, 200);
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_k8smgr"))
        .args(["user", "--database-url", url, "passwd", "jupyterhub"])
        .current_dir(app.path(""))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    command.stdin.take().unwrap().write_all(b"changed-password\n").unwrap();
    assert!(command.wait().unwrap().success());
    for address in addresses {
        eventually("the old password lets nobody in", async || {
            (list(*address, JUPYTERHUB).await.status == 401).then_some(())
        })
        .await;
        assert_eq!(list(*address, "jupyterhub:changed-password").await.status, 200);
    }
}
