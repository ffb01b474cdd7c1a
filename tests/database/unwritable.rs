//! Nothing can be written to disk: the process is a real one, whose files may not grow (RLIMIT_FSIZE), as on a full or
//! read-only disk. Reading goes on, as it does there.

use std::process::Command;

use crate::support::app::{JUPYTERHUB, TestApp, basic, start_body};
use crate::support::processes::Process;
use crate::support::wait::eventually;
use crate::support::wire::{Answer, Request};
use crate::{RUN, running};

/// Sends to the process, not to the one that the test has of its own.
struct Client(std::net::SocketAddr);

impl Client {
    async fn send(&self, request: Request) -> Answer {
        request.header("Authorization", &basic(JUPYTERHUB)).send(self.0).await
    }

    async fn get(&self, name: &str) -> Answer {
        self.send(Request::get(&format!("/api/services/{name}/"))).await
    }

    async fn start(&self, name: &str) -> Answer {
        let request = Request::new("POST", "/api/services/").header("uuidcode", name);
        self.send(request.json(&start_body(RUN, "s1"))).await
    }

    async fn delete(&self, name: &str) -> Answer {
        self.send(Request::new("DELETE", &format!("/api/services/{name}/"))).await
    }
}

/// A write beyond the limit is an error to whoever ignores the signal that comes with it.
fn serve(app: &TestApp, database_url: &str) -> Process {
    let kubeconfig = app.path("kubeconfig");
    std::fs::write(&kubeconfig, &app.cluster.kubeconfig).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_k8smgr")]);
    command.args(["serve", "--listen", "127.0.0.1:0", "--database-url", database_url]);
    command.arg("--config").arg(app.path("config.json")).current_dir(app.path(""));
    command.env_clear().envs(&app.environment).env("PATH", std::env::var("PATH").unwrap());
    command.env("KUBECONFIG", kubeconfig);
    Process::spawn(command)
}

fn limit_files(process: &Process, limit: &str) {
    let mut command = Command::new("prlimit");
    command.args(["--pid", &process.id().to_string()]).arg(format!("--fsize={limit}"));
    assert!(command.status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn while_nothing_can_be_written_polls_are_right_and_stops_are_carried_out() {
    let app = TestApp::builder().prepare().await;
    let url = format!("sqlite://{}", app.path("k8smgr.sqlite3").display());
    let process = serve(&app, &url);
    let client = Client(process.address().await);
    for name in ["lab", "stopped"] {
        let started = client.start(name).await;
        assert_eq!(started.status, 201, "{}", started.body);
        app.cluster.pod_in_phase(&format!("depl-{name}-s1-"), "Running").await;
    }
    let told = client.get("lab").await;
    assert!(running(&told));

    limit_files(&process, "0:unlimited");
    for _ in 0..10 {
        client.get("lab").await.assert(200, &told.body);
    }
    client.get("nobody").await.assert(404, r#"{"detail":"Not found."}"#);
    let refused = client.start("new").await;
    assert_eq!(refused.status, 500, "{}", refused.body);
    assert_eq!(refused.json().member("error").text(), "Custom start error");
    assert_eq!(refused.json().member("detailed_error").text(), "the database failed");
    app.cluster.nothing_of("new").await;
    client.delete("stopped").await.assert(204, "");
    app.cluster.nothing_of("stopped").await;

    limit_files(&process, "unlimited:unlimited");
    eventually("the stop is written down and done", async || (client.get("stopped").await.status == 404).then_some(()))
        .await;
    client.get("lab").await.assert(200, &told.body);
    assert_eq!(client.start("new").await.status, 201);
    app.end().await;
}
