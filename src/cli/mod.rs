//! The command line: one file a command.

pub mod docs;
mod local_cluster;
mod serve;
mod settings;
mod signals;
pub mod user;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

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
    User(user::UserArguments),
    /// Run a Kubernetes cluster on this machine, by itself.
    LocalCluster(local_cluster::LocalClusterArguments),
    /// Write the reference of the configuration and of the API to a folder.
    Docs { directory: PathBuf },
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
        Command::User(arguments) => user::run(arguments).await,
        Command::LocalCluster(arguments) => local_cluster::run(arguments).await,
        Command::Docs { directory } => docs::run(&directory),
    }
}
