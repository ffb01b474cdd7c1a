//! `k8smgr import`: takes over what the Python K8s Manager (the reference) or JupyterHub Outpost keeps.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::Args;

use super::settings::{Tools, print};
use crate::config::SecretUrl;
use crate::migration::{Import, OutpostImport, import, import_outpost};
use crate::store::{DatabaseUrl, Predecessor};

#[derive(Debug, Args)]
pub struct ImportArguments {
    /// The database of the Python K8s Manager or of JupyterHub Outpost, which is only read: sqlite:///path, a path, or
    /// postgres://user:password@host/database. An Outpost's needs its OUTPOST_CRYPT_KEY, and `usernames` and `passwords` for its hubs.
    #[arg(long)]
    from: SecretUrl,
    /// Only tell what would be taken. Where the database of this K8s Manager is missing, an empty one is made.
    #[arg(long)]
    dry_run: bool,
    /// The folder in which the Python K8s Manager kept the rendered files of running services, where it is not
    /// `services.base`.
    #[arg(long)]
    services_base: Option<PathBuf>,
    /// The configuration file; without it CONFIG_PATH, else `config.json` in the working directory, where there is one.
    #[arg(long)]
    config: Option<PathBuf>,
    /// The database of this K8s Manager: sqlite:///path or postgres://user:password@host/database; comes before
    /// DATABASE_URL, SQL_* and `database_url` of the configuration.
    #[arg(long)]
    database_url: Option<SecretUrl>,
}

/// Fails where something could not be taken; the rest is taken nevertheless.
pub async fn run(arguments: ImportArguments) -> anyhow::Result<()> {
    let from: DatabaseUrl = arguments.from.expose().parse().context("--from")?;
    let predecessor = Predecessor::read(&from).await?;
    let tools = Tools::connect(arguments.config.as_deref(), arguments.database_url).await?;
    // Nothing is taken while its objects cannot be seen.
    tools.cluster.reach().await?;
    let is_dry = arguments.dry_run;
    let report = match predecessor {
        Predecessor::K8sManager(reference) => {
            let base = arguments.services_base.unwrap_or_else(|| tools.config.services.base.clone());
            import(&reference, &Import { services: tools.services(), store: tools.store, base, is_dry }).await?
        }
        Predecessor::Outpost(outpost) => import_outpost(&outpost, &of_outpost(tools, is_dry)).await?,
    };
    print(&report.table(is_dry))?;
    ensure!(report.not_taken() == 0, "{} things were not taken; the table says why", report.not_taken());
    Ok(())
}

fn of_outpost(tools: Tools, is_dry: bool) -> OutpostImport {
    OutpostImport {
        key: tools.environment.variable("OUTPOST_CRYPT_KEY").cloned(),
        hubs: tools.environment.outpost_users.clone(),
        services: tools.services(),
        store: tools.store,
        is_dry,
    }
}
