//! `k8smgr rebuild`: writes the records of services anew from the cluster, after the database was lost or restored.
//! To be run before the service is started again: a running one would go on under the id it knows.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::Args;

use super::settings::{Tools, print};
use crate::auth::create_startup_users;
use crate::config::SecretUrl;
use crate::migration::rebuild;

#[derive(Debug, Args)]
pub struct RebuildArguments {
    /// The installation whose services they are, by its label `k8smgr.io/installation`; needed only where the database is
    /// new and several installations share the namespace.
    #[arg(long)]
    installation: Option<String>,
    /// The configuration file; without it CONFIG_PATH, else `config.json` in the working directory, where there is one.
    #[arg(long)]
    config: Option<PathBuf>,
    /// sqlite:///path or postgres://user:password@host/database; comes before DATABASE_URL, SQL_* and `database_url` of
    /// the configuration.
    #[arg(long)]
    database_url: Option<SecretUrl>,
}

/// Fails where something could not be taken; the rest is taken nevertheless.
pub async fn run(arguments: RebuildArguments) -> anyhow::Result<()> {
    let (tools, _lock) = Tools::connect_alone(arguments.config.as_deref(), arguments.database_url).await?;
    let namespace = &tools.environment.deployment_namespace;
    // As `serve` does it, so that none of them is made without its password.
    let (superuser, startup) = (tools.environment.superuser_password.clone(), &tools.config.startup);
    let password_of = |name: &_| tools.environment.user_password(name).cloned();
    create_startup_users(&tools.store, superuser, &startup.create_user, password_of)
        .await
        .context("failed to create the users of startup.create_user")?;
    let wanted = arguments.installation.as_deref();
    let (installation, report) = rebuild(&tools.store, &tools.cluster, namespace, wanted).await?;
    print(&format!("{}This database is of the installation {installation}\n", report.table(false)))?;
    ensure!(report.not_taken() == 0, "{} things were not taken; the table says why", report.not_taken());
    Ok(())
}
