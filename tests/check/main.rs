//! `k8smgr check` and `k8smgr render`, as operators call them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod command;
mod examples;
mod in_cluster;
mod large;
mod mistakes;
mod outpost;
mod rendered;
mod site;
mod stored;
mod tool;
