//! What operators do and see while the service runs: changed files, health, metrics.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod health;
mod marked;
mod metrics;
mod storm;
mod watching;

/// Log handlers are a process's: one test at a time has them, where all tests share a process.
static LOG_HANDLERS: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
