//! What the records do not show: isolation, lifecycle, faults, hostile input. A file a subject.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod api_docs;
mod bad_credentials;
mod connections;
mod descriptions;
mod documentation;
mod examples;
mod hostile;
mod isolation;
mod large_and_slow;
mod lifecycle;
mod outpost_example;
mod properties;
mod restart;
mod users;
mod values;
