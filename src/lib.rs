//! K8s Manager: starts, polls and stops the servers of JupyterHub users on Kubernetes. `ARCHITECTURE.md` has the map.

pub mod auth;
pub mod cli;
pub mod domain;
pub mod store;
