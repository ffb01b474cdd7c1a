//! What hubs are told, as hubs on real sockets hear it: of restarts, and of how starts go.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod cleanup;
mod flavor_updates;
mod notices;
mod outpost_events;
mod progress;
mod tunnels;
