//! Several K8s Managers on one database, the database at their start, and how a process ends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod arrivals;
mod changes;
mod election;
mod kills;
mod shutdown;
mod startup;

use std::net::SocketAddr;

use serde_json::{Value, json};
use support::app::{TestApp, TestAppBuilder, basic, start_body};
use support::wire::{Answer, Request};

const RUN: &str = "JupyterLab/Run";

/// On a database that others may use, too, with a leader that is followed soon.
fn replica(database_url: &str) -> TestAppBuilder {
    TestApp::builder().database(database_url).edit(|config: &mut Value| {
        config["leader_election"] = json!({"lease_seconds": 2});
        config["http"]["shutdown_delay_seconds"] = json!(0);
    })
}

async fn send(address: SocketAddr, user: &str, request: Request) -> Answer {
    request.header("Authorization", &basic(user)).send(address).await
}

async fn start(address: SocketAddr, user: &str, name: &str, start_id: &str) -> Answer {
    start_of(address, user, name, start_id, RUN).await
}

async fn start_of(address: SocketAddr, user: &str, name: &str, start_id: &str, service: &str) -> Answer {
    let request = Request::new("POST", "/api/services/").header("uuidcode", name).json(&start_body(service, start_id));
    send(address, user, request).await
}

async fn poll(address: SocketAddr, user: &str, name: &str) -> Answer {
    send(address, user, Request::get(&format!("/api/services/{name}/"))).await
}

async fn stop(address: SocketAddr, user: &str, name: &str) -> Answer {
    send(address, user, Request::new("DELETE", &format!("/api/services/{name}/"))).await
}

async fn list(address: SocketAddr, user: &str) -> Answer {
    send(address, user, Request::get("/api/services/")).await
}
