//! How a command that serves ends: the first signal begins the end, a second one does not wait for it.

use anyhow::{Context, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("failed to listen for signals");
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Waits for SIGINT or SIGTERM, then ends with `end`.
pub async fn end_with(end: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    signals.next().await;
    tokio::select! {
        ended = end => ended,
        () = signals.next() => bail!("ended at once by a second signal"),
    }
}
