//! Killing the real process and looking at what it left. `tests/crash` and `tests/soak` each use another part.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod client;
pub mod crasher;
pub mod model;
pub mod plan;
pub mod process;
pub mod report;
pub mod site;
pub mod work;
