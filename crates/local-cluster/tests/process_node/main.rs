//! The process runtime with real processes: pods go straight into the storage, bound to the node.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod failures;
mod isolation;
mod lifecycle;
mod probes;
mod support;
mod volumes;
