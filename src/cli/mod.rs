//! The command line: one file a command.

mod backup;
mod check;
pub mod docs;
mod import;
mod local_cluster;
pub mod malloc;
mod rebuild;
mod rekey;
mod render;
mod restore;
mod serve;
mod settings;
mod signals;
pub mod user;

use std::path::PathBuf;
use std::process::ExitCode;

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
    /// Serve the API to JupyterHubs, until SIGTERM.
    Serve(serve::ServeArguments),
    /// Add, list, change and remove the users (hubs and operators) of the API.
    User(user::UserArguments),
    /// Take over users, tokens, running services, log handlers and user jobs from the Python K8s Manager, or hubs and running
    /// services from JupyterHub Outpost.
    /// To be run while neither of the two serves.
    Import(import::ImportArguments),
    /// Write the records of services anew from the cluster, after the database was lost or restored.
    /// To be run while nothing serves.
    Rebuild(rebuild::RebuildArguments),
    /// Seal what the database keeps of requests with the first of the keys that were given, also while `serve` runs.
    Rekey(rekey::RekeyArguments),
    /// Copy the SQLite database to a file, also while `serve` runs.
    Backup(backup::BackupArguments),
    /// Put a backup in the place of the SQLite database, while no `serve` runs. The database before it is kept.
    Restore(restore::RestoreArguments),
    /// Look for mistakes in the configuration, the descriptions and what they need, before users meet them.
    Check(check::CheckArguments),
    /// Print the objects that a start would make, or how they differ from those of a running service.
    Render(render::RenderArguments),
    /// Run the embedded Kubernetes cluster on this machine by itself, for kubectl or a `serve` elsewhere on it.
    LocalCluster(local_cluster::LocalClusterArguments),
    /// Write the generated pages of the documentation: configuration, findings of `check`, metrics, API.
    Docs {
        /// The folder to write to.
        directory: PathBuf,
    },
}

impl Arguments {
    /// The service logs by its handlers; other commands tell people, on standard error.
    pub fn is_service(&self) -> bool {
        matches!(self.command, Command::Serve(_))
    }
}

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.command {
        Command::Serve(arguments) => serve::run(arguments).await?,
        Command::User(arguments) => user::run(arguments).await?,
        Command::Check(arguments) => return Ok(check::run(arguments).await),
        Command::Render(arguments) => return Ok(render::run(arguments).await),
        Command::Import(arguments) => import::run(arguments).await?,
        Command::Rebuild(arguments) => rebuild::run(arguments).await?,
        Command::Rekey(arguments) => rekey::run(arguments).await?,
        Command::Backup(arguments) => backup::run(arguments).await?,
        Command::Restore(arguments) => restore::run(arguments).await?,
        Command::LocalCluster(arguments) => local_cluster::run(arguments).await?,
        Command::Docs { directory } => docs::run(&directory)?,
    }
    Ok(ExitCode::SUCCESS)
}
