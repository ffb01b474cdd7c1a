//! User jobs over a real sshd on loopback, to real servers behind it; with stand-ins for ssh where it must hang.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod failures;
mod forwards;
mod hostile;
mod imported;
mod replicas;
mod with_services;

use std::path::Path;

use serde_json::{Value, json};
use support::app::{JUPYTERHUB, TestApp, TestAppBuilder};
use support::ssh_server::{SshServer, ask};
use support::wait::eventually;
use support::wire::{Answer, Request};

/// With the ssh configuration of a server; loopback is what is behind it.
fn builder(config_file: &Path) -> TestAppBuilder {
    TestApp::builder().variable("SSHCONFIGFILE", config_file.to_str().unwrap()).edit(|config| {
        config["userjobs"] = json!({"allowed_target_nodes": ["*", "127.0.0.1"], "bind_address": "127.0.0.1"});
    })
}

async fn app_with(ssh: &SshServer) -> TestApp {
    builder(&ssh.config_file()).start().await
}

fn job(service: &str, ports: &[(u16, u16)]) -> Value {
    let ports: serde_json::Map<_, _> = ports.iter().map(|(wanted, it)| (wanted.to_string(), json!(it))).collect();
    json!({"service": service, "ports": ports, "hostname": "login01", "target_node": "127.0.0.1"})
}

fn post_of(body: &Value) -> Request {
    Request::new("POST", "/api/userjobs/").json(body)
}

async fn post(app: &TestApp, body: &Value) -> Answer {
    app.send_as(JUPYTERHUB, post_of(body)).await
}

async fn get(app: &TestApp, service: &str) -> Answer {
    app.send_as(JUPYTERHUB, Request::get(&format!("/api/userjobs/{service}/"))).await
}

async fn delete(app: &TestApp, service: &str) -> Answer {
    app.send_as(JUPYTERHUB, Request::new("DELETE", &format!("/api/userjobs/{service}/"))).await
}

/// The local ports of a job, as its Service has them.
async fn local_ports(app: &TestApp, service: &str) -> Vec<u16> {
    let object = app.cluster.get("Service", service).await.expect("the Service");
    let ports = object["spec"]["ports"].as_array().unwrap();
    ports.iter().map(|it| u16::try_from(it["targetPort"].as_u64().unwrap()).unwrap()).collect()
}

/// Waits until traffic goes through a port again.
async fn answers(port: u16, expected: &str) {
    eventually(&format!("{port} answers"), async || {
        (ask(port, "hello").await.as_deref() == Some(expected)).then_some(())
    })
    .await;
}

/// The installation's masters: their sockets' folder stands in their arguments.
async fn masters(app: &TestApp) -> Vec<(i32, String)> {
    let installation = app.app().store.installation_id().await.unwrap();
    let mut found = support::ssh_server::processes_with(&format!("/k8smgr-{installation}/"));
    found.retain(|it| it.1.contains("ControlMaster=yes"));
    found
}
