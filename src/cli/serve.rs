//! `k8smgr serve`: the service itself, with a real cluster or one of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::local_cluster;
use crate::app::{App, Settings};
use crate::config::{Config, Environment, SecretUrl};
use crate::store::DatabaseUrl;

#[derive(Debug, Args)]
pub struct ServeArguments {
    /// Address and port to listen on; comes before `listen` of the configuration.
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// The configuration; comes before CONFIG_PATH. Without either, `config.json` where there is one.
    #[arg(long)]
    config: Option<PathBuf>,
    /// sqlite:///path or postgres://user:password@host/database; comes before DATABASE_URL and `database_url`.
    #[arg(long)]
    database_url: Option<SecretUrl>,
    /// Use a cluster on this machine, in this process: pods are local processes. For one machine only.
    #[arg(long)]
    local: bool,
    /// Where the local cluster keeps its kubeconfig, logs and claims.
    #[arg(long, requires = "local", default_value = "k8smgr-local")]
    data_dir: PathBuf,
    /// Folders of this machine that pods of the local cluster may read.
    #[arg(long = "local-host-path", requires = "local")]
    local_host_paths: Vec<PathBuf>,
}

pub async fn run(arguments: ServeArguments) -> anyhow::Result<()> {
    let environment = Environment::read()?;
    let config = load_config(arguments.config.as_deref(), &environment)?;
    let database_url = database_url(arguments.database_url, &environment, &config)?;
    let listen = arguments.listen.unwrap_or(config.listen);
    let cluster = match arguments.local {
        true => Some(local_cluster::start_for_serve(&arguments.data_dir, arguments.local_host_paths).await?),
        false => None,
    };
    let kubeconfig = cluster.as_ref().map(|cluster| cluster.kubeconfig());

    let app = App::start(Settings { config, environment, database_url, listen, kubeconfig }).await?;
    println!("listening on http://{}", app.address());
    wait_for_end().await?;
    let ended = app.shut_down().await;
    if let Some(cluster) = cluster {
        cluster.shutdown().await;
    }
    ended
}

/// A file that was named must be there; `config.json` beside us is taken where it is.
pub(super) fn load_config(named: Option<&Path>, environment: &Environment) -> anyhow::Result<Config> {
    let default = Path::new("config.json");
    let path = match named.or(environment.config_path.as_deref()) {
        Some(path) => path,
        None if default.exists() => default,
        None => return Ok(Config::default()),
    };
    let loaded = Config::load(path)?;
    for warning in loaded.warnings {
        tracing::warn!("{warning}");
    }
    Ok(loaded.config)
}

/// The command line comes before the environment, the environment before the file.
pub(super) fn database_url(
    argument: Option<SecretUrl>,
    environment: &Environment,
    config: &Config,
) -> anyhow::Result<DatabaseUrl> {
    let named = argument.as_ref().or(environment.database_url.as_ref()).or(config.database_url.as_ref());
    match named {
        Some(url) => Ok(url.expose().parse()?),
        None => Ok(DatabaseUrl::sqlite(Path::new("k8smgr.sqlite3"))?),
    }
}

pub(super) async fn wait_for_end() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("failed to wait for SIGTERM")?;
    tokio::select! {
        _ = terminate.recv() => {}
        ended = tokio::signal::ctrl_c() => ended.context("failed to wait for SIGINT")?,
    }
    Ok(())
}
