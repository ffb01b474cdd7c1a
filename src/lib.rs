//! K8s Manager: starts, polls and stops the servers of JupyterHub users on Kubernetes. `ARCHITECTURE.md` has the map.

pub mod app;
pub mod auth;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod description;
pub mod domain;
pub mod health;
pub mod http;
pub mod log_handlers;
pub mod metrics;
mod metrics_page;
pub mod reload;
pub mod services;
pub mod store;
pub mod stored_log_handlers;
pub mod user_homes;
