//! How a command that serves ends: the first signal begins the end, a second one does not wait for it.

use anyhow::{Context, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT and SIGTERM. To be listened for early: the first process of a container is not ended by them otherwise.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(super) fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("failed to listen for signals");
        // Never read: where beginning again failed (`malloc`), a client that hangs up would end the process otherwise.
        drop(listen(SignalKind::pipe())?);
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Waits for a signal, then ends with `end`.
    pub(super) async fn end_with(mut self, end: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
        self.next().await;
        tracing::info!("ending; a second signal ends at once");
        tokio::select! {
            ended = end => ended,
            () = self.next() => bail!("ended at once by a second signal"),
        }
    }
}
