//! `k8smgr backup`: copies the database to a file, while the service runs.

use std::path::PathBuf;

use clap::Args;

use super::settings::{database_url, load_config, print};
use crate::config::{Environment, SecretUrl};
use crate::store::back_up;

#[derive(Debug, Args)]
pub struct BackupArguments {
    /// The file to write; it must not be there yet. It will hold password hashes and what users chose: keep it safe.
    file: PathBuf,
    /// The configuration file; without it CONFIG_PATH, else `config.json` in the working directory, where there is one.
    #[arg(long)]
    config: Option<PathBuf>,
    /// sqlite:///path; comes before DATABASE_URL, SQL_* and `database_url` of the configuration. For PostgreSQL use pg_dump.
    #[arg(long)]
    database_url: Option<SecretUrl>,
}

pub async fn run(arguments: BackupArguments) -> anyhow::Result<()> {
    let environment = Environment::read()?;
    let config = load_config(arguments.config.as_deref(), &environment)?;
    let url = database_url(arguments.database_url, &environment, &config)?;
    back_up(&url, &arguments.file).await?;
    print(&format!("Copied {url} to {}\n", arguments.file.display()))
}
