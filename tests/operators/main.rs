//! What operators do and see while the service runs: changed files, health, metrics.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod health;
mod marked;
mod metrics;
mod storm;
mod watching;
