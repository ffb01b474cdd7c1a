//! One call to the API server: a deadline, a bounded attempt, and another one while there is time.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::ClusterError;

/// How long one attempt may take before it is given up. The first one may meet a connection that died unnoticed.
const FIRST_ATTEMPT: Duration = Duration::from_secs(3);
const ATTEMPT: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// When a piece of work has to be done.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    pub fn after(duration: Duration) -> Self {
        Self(Instant::now() + duration)
    }

    /// Waits for something, but no longer than this.
    pub async fn bound<F: Future>(self, work: F) -> Option<F::Output> {
        timeout_at(self.0, work).await.ok()
    }

    pub fn has_passed(self) -> bool {
        self.0 <= Instant::now()
    }
}

/// Calls until it works, fails for good, or the deadline is near. What failed in passing is tried again.
pub(super) async fn call<T, F>(deadline: Deadline, mut attempt: impl FnMut() -> F) -> Result<T, ClusterError>
where
    F: Future<Output = Result<T, kube::Error>>,
{
    let (mut pause, mut limit) = (FIRST_PAUSE, FIRST_ATTEMPT);
    loop {
        let end = deadline.0.min(Instant::now() + limit);
        let error = match timeout_at(end, attempt()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => ClusterError::from(error),
            Err(_) => ClusterError::Timeout,
        };
        let wanted = error.retry_after_seconds().map_or(pause, |seconds| Duration::from_secs(seconds.into()));
        if !error.is_passing() || Instant::now() + wanted >= deadline.0 {
            return Err(error);
        }
        tracing::debug!(%error, pause_ms = wanted.as_millis(), "call to the API server failed, trying again");
        metrics::counter!("k8smgr_api_retries_total").increment(1);
        sleep(wanted).await;
        limit = ATTEMPT;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
