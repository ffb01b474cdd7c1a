//! `load`: one kind of load on a server that runs already.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;

use crate::client::Target;
use crate::load::{Calls, Until, closed, open};
use crate::operations::{self, Operation};
use crate::process::{ProcessId, raise_file_limit};
use crate::report;

#[derive(Debug, Args)]
pub struct LoadArguments {
    /// Where the server listens.
    #[arg(long)]
    address: SocketAddr,
    /// The value of the header Authorization.
    #[arg(long, env = "K8SMGR_BENCH_AUTHORIZATION", hide_env_values = true)]
    authorization: Option<String>,
    #[arg(long, value_enum)]
    operation: Operation,
    /// `user_options.service` of what is started.
    #[arg(long, default_value = "Lab")]
    service: String,
    /// The servers are called like this, with a number.
    #[arg(long, default_value = "bench-")]
    prefix: String,
    /// How many servers polls go to; how many are started or stopped.
    #[arg(long, default_value_t = 100)]
    services: usize,
    /// So many clients, each of which waits for its answer.
    #[arg(long, default_value_t = 8, conflicts_with = "rate")]
    concurrency: usize,
    /// So many requests a second, whether answers come or not.
    #[arg(long)]
    rate: Option<f64>,
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// A new connection for each request, as hubs do.
    #[arg(long)]
    new_connections: bool,
    /// The server's process, when it is on this machine: its CPU time and memory are told.
    #[arg(long)]
    pid: Option<u32>,
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: LoadArguments) -> anyhow::Result<()> {
    raise_file_limit()?;
    let target = Target {
        address: arguments.address,
        authorization: arguments.authorization.clone(),
        keep: !arguments.new_connections,
    };
    let process = arguments.pid.map(ProcessId);
    let cpu_before = process.map(ProcessId::cpu_time).transpose()?;
    let duration = Duration::from_secs(arguments.seconds);
    let measured = match arguments.rate {
        Some(rate) => open(&target, rate, duration, calls(&arguments)).await,
        None => {
            let until = match arguments.operation {
                Operation::Start | Operation::Stop => Until::Count(arguments.services),
                _ => Until::After(duration),
            };
            closed(&target, arguments.concurrency, until, calls(&arguments)).await
        }
    };
    let cpu = match (process, cpu_before) {
        (Some(process), Some(before)) => Some(process.cpu_time()? - before),
        _ => None,
    };
    let peak = process.map(ProcessId::peak_mib).transpose()?;
    report::print_load(&measured, cpu, peak, arguments.json)
}

fn calls(arguments: &LoadArguments) -> Calls {
    let LoadArguments { prefix, services, service, .. } = arguments;
    match arguments.operation {
        Operation::Start => operations::starts(prefix, service),
        Operation::Poll => operations::polls(prefix, *services),
        Operation::Stop => operations::stops(prefix),
        Operation::List => operations::always(crate::client::Call::get("/api/services/")),
        Operation::Mixed => operations::mixed(prefix, *services, service),
    }
}
