//! What several commands need to know first: the configuration and the database.

use std::path::{Path, PathBuf};

use crate::config::{Config, Environment, SecretUrl};
use crate::store::DatabaseUrl;

/// A file that was named must be there; `config.json` beside us is taken where it is.
pub(super) fn config_file(named: Option<&Path>, environment: &Environment) -> Option<PathBuf> {
    let default = Path::new("config.json");
    let named = named.or(environment.config_path.as_deref());
    named.or_else(|| default.exists().then_some(default)).map(Path::to_owned)
}

pub(super) fn load_config(named: Option<&Path>, environment: &Environment) -> anyhow::Result<Config> {
    let Some(path) = config_file(named, environment) else { return Ok(Config::default()) };
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
