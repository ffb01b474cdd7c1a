//! The command `k8smgr`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use k8smgr::cli::{Arguments, malloc, run};
use k8smgr::log_handlers::{self, LogHandlers};
use tracing_subscriber::EnvFilter;

/// How long the log handlers may take to write the last lines.
const LAST_LINES: Duration = Duration::from_secs(2);

/// How long a thread that does not come back (a file system that hangs) may hold the end up.
const LAST_THREADS: Duration = Duration::from_millis(500);

/// RUST_LOG, else `info`. The Kubernetes client is kept quiet: where it cannot read an answer it prints all of it, and
/// the answer to a Secret holds tokens. Our own errors say what went wrong.
fn log_filter() -> EnvFilter {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    match "kube_client=off".parse() {
        Ok(directive) => filter.add_directive(directive),
        Err(_) => filter,
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.is_service() {
        malloc::begin_with_settings();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("k8smgr: failed to start its threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(run_command(arguments));
    runtime.shutdown_timeout(LAST_THREADS);
    code
}

async fn run_command(arguments: Arguments) -> ExitCode {
    // One provider for all of TLS; that another one is installed already cannot be.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let log_handlers = if arguments.is_service() { Some(log_handlers::of_this_process()) } else { log_to_people() };
    let code = match run(arguments).await {
        Ok(code) => code,
        Err(error) => {
            if log_handlers.is_some() {
                tracing::error!(critical = true, "{error:#}");
            }
            eprintln!("k8smgr: {error:#}");
            ExitCode::FAILURE
        }
    };
    if let Some(log_handlers) = log_handlers {
        log_handlers.finish(LAST_LINES);
    }
    code
}

fn log_to_people() -> Option<LogHandlers> {
    tracing_subscriber::fmt().with_env_filter(log_filter()).with_writer(std::io::stderr).init();
    None
}
