//! What hubs are told, as hubs on real sockets hear it: of restarts, and of how starts go.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod notices;
mod progress;
