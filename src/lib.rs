//! K8s Manager: starts, polls and stops the servers of JupyterHub users on Kubernetes. `ARCHITECTURE.md` has the map.

pub mod app;
pub mod auth;
pub mod check;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod description;
pub mod domain;
pub mod fail_points;
pub mod flavors;
pub mod health;
pub mod http;
pub mod hubs;
pub mod leader;
pub mod log_handlers;
pub mod metrics;
mod metrics_page;
pub mod migration;
pub mod outpost;
pub mod reload;
pub mod render;
pub mod services;
pub mod store;
pub mod stored_log_handlers;
pub mod tls;
pub mod user_homes;
pub mod user_jobs;
