//! Serves a simulated cluster until Ctrl-C, and writes its kubeconfig: `serve <address> <kubeconfig> [tls]`.

use std::net::SocketAddr;

use local_cluster::{ClusterConfig, LocalCluster};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let listen: SocketAddr = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned()).parse()?;
    let path = arguments.next().unwrap_or_else(|| "kubeconfig".to_owned());
    let tls = arguments.next().as_deref() == Some("tls");
    let cluster = LocalCluster::start(ClusterConfig { listen, tls, ..ClusterConfig::default() }).await?;
    std::fs::write(&path, cluster.kubeconfig())?;
    println!("{} with {path}", cluster.url());
    tokio::signal::ctrl_c().await?;
    cluster.shutdown().await;
    Ok(())
}
