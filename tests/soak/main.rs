//! `make soak`: a thousand kills and thousands of starts and stops, for as long as it may take. Ends with 1 when
//! anything was lost, left behind, touched or slow to recover, and when memory or database grew.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../crash/harness/mod.rs"]
mod harness;
mod kills;
mod settings;
mod steady;

use std::process::ExitCode;

use settings::Settings;

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let settings = Settings::read();
    println!("soak: {settings:?}");
    let killed = kills::run(&settings).await;
    let steady = steady::run(&settings).await;
    println!("\n{}\n\n{}", killed.text, steady.text);
    let violations: Vec<_> = killed.violations.iter().chain(&steady.violations).collect();
    println!("\nviolations: {}", violations.len());
    violations.iter().for_each(|it| println!("  {it}"));
    if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What a part of the soak found.
struct Outcome {
    text: String,
    violations: Vec<String>,
}
