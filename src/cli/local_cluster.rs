//! `k8smgr local-cluster`: a Kubernetes cluster on this machine, by itself.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, ValueEnum};
use local_cluster::{ClusterConfig, LocalCluster, RuntimeKind};

use super::signals::Signals;

#[derive(Debug, Args)]
pub struct LocalClusterArguments {
    /// Address and port of the Kubernetes API.
    #[arg(long, default_value = "127.0.0.1:6443")]
    listen: SocketAddr,
    /// The folder in which the kubeconfig, objects, logs and claims are kept.
    #[arg(long)]
    data_dir: PathBuf,
    /// What a pod is: local processes in a sandbox, or nothing but states (for tests of any size).
    #[arg(long, value_enum, default_value_t = Runtime::Process)]
    runtime: Runtime,
    /// A folder of this machine that pods may read; may be given more than once.
    #[arg(long = "host-path")]
    host_paths: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Runtime {
    Process,
    Simulated,
}

pub async fn run(arguments: LocalClusterArguments) -> anyhow::Result<()> {
    let runtime = match arguments.runtime {
        Runtime::Process => RuntimeKind::Process,
        Runtime::Simulated => RuntimeKind::Simulated,
    };
    let signals = Signals::listen()?;
    let cluster = start(arguments.listen, &arguments.data_dir, arguments.host_paths, runtime).await?;
    println!("listening on {}", cluster.url());
    println!("export KUBECONFIG={}", arguments.data_dir.join("kubeconfig").display());
    let end = async {
        cluster.shutdown().await;
        Ok(())
    };
    signals.end_with(end).await
}

/// A cluster for `serve --local`: pods are processes, and the port is any free one.
pub(super) async fn start_for_serve(data_dir: &Path, host_paths: Vec<PathBuf>) -> anyhow::Result<LocalCluster> {
    start(SocketAddr::from(([127, 0, 0, 1], 0)), data_dir, host_paths, RuntimeKind::Process).await
}

async fn start(
    listen: SocketAddr,
    data_dir: &Path,
    host_paths: Vec<PathBuf>,
    runtime: RuntimeKind,
) -> anyhow::Result<LocalCluster> {
    let data_dir = std::path::absolute(data_dir).context("failed to find the folder of --data-dir")?;
    let config =
        ClusterConfig { listen, data_dir: Some(data_dir), tls: true, runtime, host_paths, ..ClusterConfig::default() };
    LocalCluster::start(config).await.context("failed to start the local cluster")
}
