//! What goes wrong around the service: the API server, the clock, records and objects that do not agree, everything at
//! once. A file a subject.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod abandoned_homes;
mod api_server;
mod clock;
mod concurrency;
mod model;
mod outage;
mod sweep;
mod table;
