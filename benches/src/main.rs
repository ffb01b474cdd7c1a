//! `k8smgr-bench`: what K8s Manager costs, beside what the bare calls cost in the same run.
//!
//! `figures` measures everything that has a bar and says which are met; `load` puts one kind of load on any server of the
//! same API. Figures are ratios within one run and medians of several: machines differ, and others work on them.

mod client;
mod cluster;
mod constant;
mod figures;
mod floor;
mod load;
mod operations;
mod process;
mod report;
mod server;
mod single;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "k8smgr-bench", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure the figures that have a bar, with a server and a cluster of its own.
    Figures(figures::FigureArguments),
    /// Put one kind of load on a running server of this API.
    Load(single::LoadArguments),
    /// A bare warp server that answers a constant: what a poll is measured against.
    #[command(hide = true)]
    Constant { size: usize },
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match arguments.command {
            Command::Figures(arguments) => figures::run(arguments).await,
            Command::Load(arguments) => single::run(arguments).await,
            Command::Constant { size } => constant::serve(size).await,
        }
    })
}

/// A program built beside this one.
fn beside_this(name: &str) -> anyhow::Result<PathBuf> {
    let mut path = std::env::current_exe()?;
    path.set_file_name(name);
    Ok(path)
}
