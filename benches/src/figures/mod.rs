//! The figures that have a bar, a file a kind. Each run measures the floor and the service side by side.

mod bursts;
mod handlers;
mod memory;
mod outage;
mod polls;
mod rendering;
mod starts;
mod stops;

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::process::raise_file_limit;
use crate::report::Report;

#[derive(Debug, Args)]
pub struct FigureArguments {
    /// Which kinds; all when none is named.
    #[arg(value_enum)]
    kinds: Vec<Kind>,
    /// How many runs the medians are of.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// How many services "many" are.
    #[arg(long, default_value_t = 10_000)]
    services: usize,
    /// How long one load goes on.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// How many services are started and stopped for the figure that memory stays flat.
    #[arg(long, default_value_t = 10_000)]
    cycles: usize,
    /// The program that is measured; without it the one built beside this one.
    #[arg(long)]
    server: Option<PathBuf>,
    /// Where the figures are written as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// A bar that is not met is an error.
    #[arg(long)]
    strict: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Polls,
    Bursts,
    Starts,
    Stops,
    Memory,
    Rendering,
    Handlers,
    Outage,
}

/// What every kind of figure needs to know.
struct Conditions {
    server: PathBuf,
    runs: usize,
    services: usize,
    seconds: u64,
    cycles: usize,
}

pub async fn run(arguments: FigureArguments) -> anyhow::Result<()> {
    let files = raise_file_limit()?;
    let server = arguments.server.map_or_else(|| crate::beside_this("k8smgr"), Ok)?;
    let conditions = Conditions {
        server,
        runs: arguments.runs,
        services: arguments.services,
        seconds: arguments.seconds,
        cycles: arguments.cycles,
    };
    let kinds = if arguments.kinds.is_empty() { Kind::value_variants().to_vec() } else { arguments.kinds };
    let cores = std::thread::available_parallelism()?;
    println!("{cores} cores, load {}, at most {files} open files", load_average().trim());
    let mut report = Report::default();
    for kind in kinds {
        eprintln!("{kind:?}");
        match kind {
            Kind::Polls => polls::measure(&conditions, &mut report).await?,
            Kind::Bursts => bursts::measure(&conditions, &mut report).await?,
            Kind::Starts => starts::measure(&conditions, &mut report).await?,
            Kind::Stops => stops::measure(&conditions, &mut report).await?,
            Kind::Memory => memory::measure(&conditions, &mut report).await?,
            Kind::Rendering => rendering::measure(&conditions, &mut report).await?,
            Kind::Handlers => handlers::measure(&conditions, &mut report).await?,
            Kind::Outage => outage::measure(&conditions, &mut report).await?,
        }
    }
    report.print();
    if let Some(path) = arguments.json {
        std::fs::write(path, serde_json::to_vec_pretty(&report.json())?)?;
    }
    match report.missed() {
        0 => Ok(()),
        missed if arguments.strict => anyhow::bail!("{missed} figures miss their bar"),
        missed => {
            println!("{missed} figures miss their bar");
            Ok(())
        }
    }
}

/// What else the machine did in the last minutes: figures are read with it in mind.
fn load_average() -> String {
    std::fs::read_to_string("/proc/loadavg").unwrap_or_default()
}

/// The cores of the API server and the clients, with the bare calls, too, and that of the server that is measured: an API
/// server has machines of its own, and what it does must not be charged to whoever asks for it.
fn apart(cores: usize) -> (std::ops::Range<usize>, usize) {
    (0..(cores - 1).max(1), cores - 1)
}
