//! What the tests share. Every test file uses another part of it.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod app;
pub mod certificates;
pub mod cluster;
pub mod compare;
pub mod folders;
pub mod hub_receiver;
pub mod json;
pub mod log_lines;
pub mod outpost_start;
#[path = "../../src/store/tests/ports.rs"]
pub mod ports;
#[path = "../../src/store/tests/postgres_server.rs"]
pub mod postgres_server;
pub mod processes;
pub mod receivers;
pub mod records;
pub mod ssh_server;
pub mod turns;
pub mod wait;
pub mod wire;
