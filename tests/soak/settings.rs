//! How long and how much, from the environment.

use std::time::Duration;

#[derive(Debug)]
pub struct Settings {
    /// SOAK_KILLS.
    pub kills: u64,
    /// SOAK_MINUTES: no kill begins later.
    pub longest: Duration,
    /// SOAK_SITES: how many installations are worked on at a time.
    pub sites: u64,
    /// SOAK_RECOVERY_SECONDS: what takes longer is a violation.
    pub recovery: Duration,
    /// SOAK_CYCLES: starts, polls and stops of the one process that is not killed.
    pub cycles: u64,
    /// SOAK_SEED; without it a new one each time.
    pub seed: u64,
}

impl Settings {
    pub fn read() -> Self {
        Self {
            kills: number("SOAK_KILLS").unwrap_or(1_000),
            longest: Duration::from_secs(60 * number("SOAK_MINUTES").unwrap_or(40)),
            sites: number("SOAK_SITES").unwrap_or(8),
            recovery: Duration::from_secs(number("SOAK_RECOVERY_SECONDS").unwrap_or(10)),
            cycles: number("SOAK_CYCLES").unwrap_or(3_000),
            seed: number("SOAK_SEED").unwrap_or_else(|| rand::random_range(0..1_000_000)),
        }
    }
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is `{text}`; it must be a whole number")))
}
