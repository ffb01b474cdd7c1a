//! Coming from the reference implementation, and from the cluster alone: the commands `import`, `rebuild`, `backup` and
//! `restore`, run as an operator runs them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod adopted_pods;
mod backup;
mod commands;
mod import;
mod odd_imports;
mod rebuild;
mod reference;
