//! What several commands need to know first: the configuration and the database.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;

use crate::cluster::{self, Cluster, ConnectError};
use crate::config::{Config, Environment, SecretUrl, SharedConfig};
use crate::description::SharedCatalogue;
use crate::domain::Clock;
use crate::services::{Services, Site};
use crate::store::{CryptKeys, CryptKeysError, DatabaseUrl, ProcessLock, Store};

/// A file that was named must be there; `config.json` beside us is taken where it is.
pub(super) fn config_path(named: Option<&Path>, environment: &Environment) -> Option<PathBuf> {
    let default = Path::new("config.json");
    let named = named.or(environment.config_path.as_deref());
    named.or_else(|| default.exists().then_some(default)).map(Path::to_owned)
}

pub(super) fn load_config(named: Option<&Path>, environment: &Environment) -> anyhow::Result<Config> {
    let Some(path) = config_path(named, environment) else { return Ok(Config::default()) };
    let loaded = Config::load(&path)?;
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

/// The keys of the environment.
pub(super) fn crypt_keys(environment: &Environment) -> Result<CryptKeys, CryptKeysError> {
    CryptKeys::read(environment.crypt_keys.as_ref(), environment.crypt_keys_file.as_deref())
}

/// What a command needs that works on services beside the service itself: nothing runs in the background.
pub(super) struct Tools {
    pub config: Config,
    pub environment: Environment,
    pub store: Store,
    pub cluster: Cluster,
    installation: String,
}

impl Tools {
    /// Connects to the database and finds the cluster that KUBECONFIG names, or that we run in.
    pub async fn connect(config: Option<&Path>, url: Option<SecretUrl>) -> anyhow::Result<Self> {
        let environment = Environment::read()?;
        let config = load_config(config, &environment)?;
        let url = database_url(url, &environment, &config)?;
        Self::connect_to(config, environment, &url).await
    }

    /// The same where nobody may serve meanwhile: a SQLite database is kept from `serve` until the lock is dropped.
    pub async fn connect_alone(config: Option<&Path>, url: Option<SecretUrl>) -> anyhow::Result<(Self, ProcessLock)> {
        let environment = Environment::read()?;
        let config = load_config(config, &environment)?;
        let url = database_url(url, &environment, &config)?;
        let lock = ProcessLock::take(&url)?;
        Ok((Self::connect_to(config, environment, &url).await?, lock))
    }

    async fn connect_to(config: Config, environment: Environment, url: &DatabaseUrl) -> anyhow::Result<Self> {
        let keys = crypt_keys(&environment)?;
        let client = cluster::connect(None).await?;
        let store = Store::connect(url).await.with_context(|| format!("database {url}"))?;
        let (store, _) = store.unlock(keys).await.with_context(|| format!("database {url}"))?;
        let installation = store.installation_id().await?;
        let cluster = Cluster::new(client, &installation, Clock::default(), config.services.shrunken_list_percent);
        Ok(Self { config, environment, store, cluster, installation })
    }

    pub fn services(&self) -> Arc<Services> {
        let site = Site {
            stage: self.environment.stage.clone(),
            deployment_name: self.environment.deployment_name.clone(),
            namespace: self.environment.deployment_namespace.clone(),
            installation: self.installation.clone(),
        };
        let config = SharedConfig::new(self.config.clone());
        Services::new(
            self.store.clone(),
            self.cluster.clone(),
            config.clone(),
            SharedCatalogue::new(config.current()),
            site,
            Clock::default(),
        )
    }
}

/// Writes what a command has to say to standard output.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let mut output = std::io::stdout().lock();
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).context("failed to write the answer")
}

/// The cluster that KUBECONFIG or our pod leads to, to be asked and not to be changed.
pub(super) async fn question_cluster() -> Result<Cluster, ConnectError> {
    let client = cluster::connect(None).await?;
    let shrunken = Config::default().services.shrunken_list_percent;
    Ok(Cluster::new(client, "question", Clock::default(), shrunken))
}
