//! Coming from the reference implementation, from JupyterHub Outpost, and from the cluster alone: the commands `import`,
//! `rebuild`, `rekey`, `backup` and `restore`, run as an operator runs them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod adopted_pods;
mod backup;
mod commands;
mod import;
mod odd_imports;
mod outpost;
mod outpost_database;
mod rebuild;
mod reference;
mod rekey;
