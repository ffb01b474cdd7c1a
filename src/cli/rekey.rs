//! `k8smgr rekey`: brings what the database keeps of requests under the key that seals now, also while the service runs.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::Args;

use super::settings::{crypt_keys, database_url, load_config, print};
use crate::config::{Environment, SecretUrl};
use crate::store::{KeyId, Rekeyed, Sealing, Store, StoreError};

#[derive(Debug, Args)]
pub struct RekeyArguments {
    /// Give up what this key sealed, which is lost for good: user options become `{}`, update.yaml and explanations are gone. The
    /// services themselves go on. May be given more than once.
    #[arg(long = "forget", value_name = "KEY_ID", value_parser = key_id)]
    forget: Vec<KeyId>,
    /// The configuration file; without it CONFIG_PATH, else `config.json` in the working directory, where there is one.
    #[arg(long)]
    config: Option<PathBuf>,
    /// sqlite:///path or postgres://user:password@host/database; comes before DATABASE_URL, SQL_* and `database_url` of
    /// the configuration.
    #[arg(long)]
    database_url: Option<SecretUrl>,
}

fn key_id(text: &str) -> Result<KeyId, &'static str> {
    KeyId::parse(text).ok_or("a key's id is eight of the digits 0-9 and a-f, as errors and the log tell it")
}

/// Fails where something is not sealed by the first key afterwards; the rest is.
pub async fn run(arguments: RekeyArguments) -> anyhow::Result<()> {
    let environment = Environment::read()?;
    let config = load_config(arguments.config.as_deref(), &environment)?;
    let url = database_url(arguments.database_url, &environment, &config)?;
    let keys = crypt_keys(&environment)?;
    let key = keys.sealing().cloned().ok_or(StoreError::NoKeys)?;
    let store = Store::connect(&url).await.with_context(|| format!("database {url}"))?.with_keys(keys);
    let rekeyed = store.rekey(&arguments.forget).await.with_context(|| format!("database {url}"))?;
    print(&summary(&key, &rekeyed))?;
    let Sealing { clear, sealed_before, missing, damaged, .. } = &rekeyed.now;
    ensure!(missing.0.is_empty(), StoreError::KeysMissing(missing.clone()));
    ensure!(*damaged == 0, "{damaged} services have texts that are damaged: no key opens them");
    ensure!(
        clear + sealed_before == 0,
        "{} services were written by a process with other keys meanwhile; give all processes the same keys, and run it again",
        clear + sealed_before
    );
    ensure!(
        rekeyed.is_swept != Some(false),
        "the database file may still hold what was there before: run it again while nothing serves"
    );
    Ok(())
}

fn summary(key: &KeyId, rekeyed: &Rekeyed) -> String {
    let Rekeyed { sealed, sealed_anew, forgotten, now, .. } = rekeyed;
    let forgotten = if *forgotten == 0 { String::new() } else { format!(", {forgotten} given up") };
    format!(
        "{sealed} texts that were in clear and {sealed_anew} of other keys are sealed now{forgotten}\n\
         {} services are sealed by the key {key}\n",
        now.sealed
    )
}
