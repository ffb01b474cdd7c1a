//! Finding the API server: a kubeconfig, or the files that every pod is given.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::requests::CountRequests;
use super::transport::{TokenFile, TransportLayer};

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error(
        "failed to find a Kubernetes cluster: set KUBECONFIG, run inside a cluster, or start with --local for a cluster \
         on this machine"
    )]
    Find(#[source] kube::config::InferConfigError),
    #[error("failed to read the kubeconfig")]
    Kubeconfig(#[source] kube::config::KubeconfigError),
    #[error("failed to read the token of the Kubernetes API from {path}")]
    Token { path: PathBuf, source: std::io::Error },
    #[error("failed to set up the client of the Kubernetes API")]
    Client(#[source] kube::Error),
}

/// Makes a client from a kubeconfig's text, or as the environment has it. No call is made.
pub async fn connect(kubeconfig: Option<&str>) -> Result<Client, ConnectError> {
    let mut config = find(kubeconfig).await?;
    config.connect_timeout = Some(Duration::from_secs(5));
    // Watches are asked anew more often than this, so a connection that is silent for longer is dead. The watch then asks
    // on another one; where that is silent, too, the outage is noticed: within 30 s.
    config.read_timeout = Some(Duration::from_secs(13));
    // Retries are ours: they know each call's deadline.
    config.default_retry = false;
    let token = token_file(&mut config)?;
    let builder = ClientBuilder::try_from(config).map_err(ConnectError::Client)?;
    Ok(builder.with_layer(&CountRequests).with_layer(&TransportLayer { token }).build())
}

/// Whether the API server is reached on this very machine: then it is the embedded cluster, or one for development.
pub async fn is_on_this_machine(kubeconfig: Option<&str>) -> bool {
    let Ok(config) = find(kubeconfig).await else { return false };
    let host = config.cluster_url.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|it| it.is_loopback())
}

async fn find(kubeconfig: Option<&str>) -> Result<Config, ConnectError> {
    let Some(text) = kubeconfig else { return Config::infer().await.map_err(ConnectError::Find) };
    let kubeconfig = Kubeconfig::from_yaml(text).map_err(ConnectError::Kubeconfig)?;
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.map_err(ConnectError::Kubeconfig)
}

/// A token that stands in a file is ours to read; one that stands in the kubeconfig itself comes first.
fn token_file(config: &mut Config) -> Result<Option<Arc<TokenFile>>, ConnectError> {
    if config.auth_info.token.is_some() {
        return Ok(None);
    }
    let Some(path) = config.auth_info.token_file.take() else { return Ok(None) };
    let token = TokenFile::new(path.into());
    token.header().map_err(|source| ConnectError::Token { path: token.path().to_owned(), source })?;
    Ok(Some(Arc::new(token)))
}
