//! The command line: one file a command.

pub mod docs;
mod local_cluster;
mod serve;
pub mod user;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::Environment;
use crate::store::{DatabaseUrl, Store};

/// Starts, polls and stops the servers of JupyterHub users on Kubernetes.
#[derive(Debug, Parser)]
#[command(name = "k8smgr", version)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the API to JupyterHubs.
    Serve(serve::ServeArguments),
    /// Add, list, change and remove the users (hubs and operators) of the API.
    User(UserArguments),
    /// Run a Kubernetes cluster on this machine, by itself.
    LocalCluster(local_cluster::LocalClusterArguments),
    /// Write the reference of the configuration to a folder.
    Docs { directory: PathBuf },
}

#[derive(Debug, Args)]
struct UserArguments {
    /// The configuration; comes before CONFIG_PATH.
    #[arg(long)]
    config: Option<PathBuf>,
    /// sqlite:///path or postgres://user:password@host/database; comes before DATABASE_URL and `database_url`.
    #[arg(long)]
    database_url: Option<DatabaseUrl>,
    #[command(subcommand)]
    command: user::UserCommand,
}

impl Arguments {
    /// The service logs by its handlers; other commands tell people, on standard error.
    pub fn is_service(&self) -> bool {
        matches!(self.command, Command::Serve(_))
    }
}

pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.command {
        Command::Serve(arguments) => serve::run(arguments).await,
        Command::User(UserArguments { config, database_url, command }) => {
            let environment = Environment::read()?;
            let config = serve::load_config(config.as_deref(), &environment)?;
            let url = serve::database_url(database_url, &environment, &config)?;
            user::run(command, &Store::connect(&url).await?).await
        }
        Command::LocalCluster(arguments) => local_cluster::run(arguments).await,
        Command::Docs { directory } => docs::run(&directory),
    }
}
