//! `k8smgr serve`: the service itself, with a real cluster or one of its own.

use std::net::SocketAddr;
use std::path::PathBuf;

use ::local_cluster::LocalCluster;
use clap::Args;

use super::local_cluster;
use super::settings::{config_path, database_url, load_config};
use super::signals::Signals;
use crate::app::{App, Settings};
use crate::config::{Environment, SecretUrl};
use crate::domain::Clock;
use crate::tls::TlsFiles;

#[derive(Debug, Args)]
pub struct ServeArguments {
    /// Address and port to listen on; comes before `listen` of the configuration.
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// The configuration file; without it CONFIG_PATH, else `config.json` in the working directory, where there is one.
    #[arg(long)]
    config: Option<PathBuf>,
    /// sqlite:///path or postgres://user:password@host/database; comes before DATABASE_URL, SQL_* and `database_url` of
    /// the configuration.
    #[arg(long)]
    database_url: Option<SecretUrl>,
    /// Use a cluster on this machine, in this process, in place of the one of KUBECONFIG or of this pod: pods are local
    /// processes. For one machine only.
    #[arg(long)]
    local: bool,
    /// The folder in which the local cluster keeps its kubeconfig, objects, logs and claims.
    #[arg(long, requires = "local", default_value = "k8smgr-local")]
    data_dir: PathBuf,
    /// A folder of this machine that pods of the local cluster may read; may be given more than once.
    #[arg(long = "local-host-path", requires = "local")]
    local_host_paths: Vec<PathBuf>,
}

pub async fn run(arguments: ServeArguments) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let environment = Environment::read()?;
    let config_file = config_path(arguments.config.as_deref(), &environment);
    let config = load_config(arguments.config.as_deref(), &environment)?;
    let database_url = database_url(arguments.database_url, &environment, &config)?;
    let tls = TlsFiles::of(&config.tls, &environment)?;
    let has_tls = tls.is_some();
    let listen = arguments.listen.unwrap_or_else(|| config.listen(has_tls));
    let cluster = match arguments.local {
        true => Some(local_cluster::start_for_serve(&arguments.data_dir, arguments.local_host_paths).await?),
        false => None,
    };
    let kubeconfig = cluster.as_ref().map(|cluster| cluster.kubeconfig());

    let clock = Clock::default();
    let settings = Settings { config, config_file, environment, database_url, listen, tls, kubeconfig, clock };
    // It may wait for its database for long.
    let app = tokio::select! {
        app = App::start(settings) => app?,
        () = signals.next() => {
            end_cluster(cluster).await;
            return Ok(());
        }
    };
    println!("listening on {}://{}", if has_tls { "https" } else { "http" }, app.address());
    let end = async {
        let ended = app.shut_down().await;
        end_cluster(cluster).await;
        ended
    };
    signals.end_with(end).await
}

async fn end_cluster(cluster: Option<LocalCluster>) {
    if let Some(cluster) = cluster {
        cluster.shutdown().await;
    }
}
