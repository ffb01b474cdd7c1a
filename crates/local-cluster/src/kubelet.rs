//! What the API server asks of a node: the logs of its pods. Everything else a node does (running pods, their status,
//! their graceful end) it does by watching the storage for pods with its name and writing their status back.
//!
//! The simulated and the process runtime implement this; it must hold nothing of either.

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

/// The parameters of `GET .../pods/<name>/log`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// `None`: the only container; with several the API server has refused the call already.
    pub container: Option<String>,
    pub tail_lines: Option<usize>,
    pub limit_bytes: Option<usize>,
    pub previous: bool,
    pub timestamps: bool,
    pub follow: bool,
    pub since_seconds: Option<u64>,
}

/// Pieces of a log; with `follow` the stream ends when the container does.
pub type LogStream = BoxStream<'static, Bytes>;

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The container exists and has not written yet: `400`, as for one that is still being created.
    #[error("container \"{container}\" in pod \"{pod}\" is waiting to start: {reason}")]
    WaitingToStart { container: String, pod: String, reason: String },
    #[error("previous terminated container \"{container}\" in pod \"{pod}\" not found")]
    NoPrevious { container: String, pod: String },
    #[error("container {container} is not valid for pod {pod}")]
    NoSuchContainer { container: String, pod: String },
    #[error("failed to read the log: {0}")]
    Read(#[from] std::io::Error),
}

/// A node: one that watches the storage for pods with its `spec.nodeName`, drives their `status`, ends deleted ones
/// (status first, then [`crate::Storage::remove`] once nothing runs any more) and answers for their logs.
pub trait Kubelet: Send + Sync {
    fn logs(&self, namespace: &str, pod: &str, query: &LogQuery) -> BoxFuture<'_, Result<LogStream, LogError>>;
    /// Ends everything that runs and returns when it has ended.
    fn shutdown(&self) -> BoxFuture<'_, ()>;
}
