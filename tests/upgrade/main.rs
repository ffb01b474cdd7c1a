//! From one version to the next: the database of the version before, two versions beside each other, and no poll that fails.
//!
//! `fixtures/` holds databases as earlier versions left them (`febab5a`: by commit), with the lists that they gave of their
//! services. A version that adds migrations gets its own pair before them, and stays for ever.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod additive;
mod databases;
mod recreate;
mod rolling;

use std::net::SocketAddr;

use serde_json::json;
use support::app::{JUPYTERHUB, basic, start_body};
use support::wire::{Answer, Request};

const SERVICES: usize = 100;
const RUN: &str = "JupyterLab/Run";

fn name(number: usize) -> String {
    format!("lab{number}")
}

async fn poll(address: SocketAddr, name: &str) -> Answer {
    let request = Request::get(&format!("/api/services/{name}/"));
    request.header("Authorization", &basic(JUPYTERHUB)).send(address).await
}

fn is_running(answer: &Answer) -> bool {
    answer.status == 200 && answer.value()["running"] == json!(true)
}

async fn start(address: SocketAddr, name: &str) -> Answer {
    let request = Request::new("POST", "/api/services/").header("uuidcode", name).json(&start_body(RUN, "s1"));
    request.header("Authorization", &basic(JUPYTERHUB)).send(address).await
}

/// `name(0)` and so on, ten at a time.
async fn start_all(address: SocketAddr) {
    for begin in (0..SERVICES).step_by(10) {
        let starts = (begin..begin + 10).map(|number| async move { start(address, &name(number)).await });
        for answer in futures::future::join_all(starts).await {
            assert_eq!(answer.status, 201, "{}", answer.body);
        }
    }
}
