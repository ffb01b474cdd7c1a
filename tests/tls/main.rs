//! HTTPS as clients meet it: versions, certificates of both sides, files that change under load, and every mistake.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod client;
mod client_certificates;
mod mistakes;
mod reload;
mod serving;
mod site;
