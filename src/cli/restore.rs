//! `k8smgr restore`: puts a backup in the place of the database. Nothing may serve meanwhile.

use std::path::PathBuf;

use clap::Args;

use super::settings::{database_url, load_config, print};
use crate::config::{Environment, SecretUrl};
use crate::store::restore;

#[derive(Debug, Args)]
pub struct RestoreArguments {
    /// A file that `k8smgr backup` wrote.
    file: PathBuf,
    /// The configuration file; without it CONFIG_PATH, else `config.json` in the working directory, where there is one.
    #[arg(long)]
    config: Option<PathBuf>,
    /// sqlite:///path; comes before DATABASE_URL, SQL_* and `database_url` of the configuration. For PostgreSQL use
    /// pg_restore.
    #[arg(long)]
    database_url: Option<SecretUrl>,
}

pub async fn run(arguments: RestoreArguments) -> anyhow::Result<()> {
    let environment = Environment::read()?;
    let config = load_config(arguments.config.as_deref(), &environment)?;
    let url = database_url(arguments.database_url, &environment, &config)?;
    let restored = restore(&url, &arguments.file).await?;
    let kept =
        restored.kept.map_or(String::new(), |it| format!("The database before it is kept as {}\n", it.display()));
    print(&format!(
        "Restored {url} from {}\n{kept}Services that were started since are missing: run `k8smgr rebuild`, then start \
         the service\n",
        arguments.file.display()
    ))
}
