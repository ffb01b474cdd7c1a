//! The command `k8smgr`.

use std::process::ExitCode;

use clap::Parser;
use k8smgr::cli::{Arguments, run};
use tracing_subscriber::EnvFilter;

/// RUST_LOG, else `info`. The Kubernetes client is kept quiet: where it cannot read an answer it prints all of it, and
/// the answer to a Secret holds tokens. Our own errors say what went wrong.
fn log_filter() -> EnvFilter {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    match "kube_client=off".parse() {
        Ok(directive) => filter.add_directive(directive),
        Err(_) => filter,
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // One provider for all of TLS; that another one is installed already cannot be.
    let _ = rustls::crypto::ring::default_provider().install_default();
    tracing_subscriber::fmt().with_env_filter(log_filter()).with_writer(std::io::stderr).init();
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("k8smgr: {error:#}");
            ExitCode::FAILURE
        }
    }
}
