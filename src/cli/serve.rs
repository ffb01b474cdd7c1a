//! `k8smgr serve`: the service itself, with a real cluster or one of its own.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::local_cluster;
use super::settings::{database_url, load_config};
use super::signals::end_with;
use crate::app::{App, Settings};
use crate::config::{Environment, SecretUrl};
use crate::domain::Clock;

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

    let app =
        App::start(Settings { config, environment, database_url, listen, kubeconfig, clock: Clock::default() }).await?;
    println!("listening on http://{}", app.address());
    end_with(async {
        let ended = app.shut_down().await;
        if let Some(cluster) = cluster {
            cluster.shutdown().await;
        }
        ended
    })
    .await
}
