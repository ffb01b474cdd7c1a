//! Waiting for what must come to pass: by looking again, with a deadline.

use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(30);
const BETWEEN: Duration = Duration::from_millis(25);

/// Looks until there is something to see; panics with `what` when nothing came in time.
pub async fn eventually<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    eventually_within(DEADLINE, what, look).await
}

pub async fn eventually_within<T>(limit: Duration, what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(begin.elapsed() < limit, "did not happen within {limit:?}: {what}");
        tokio::time::sleep(BETWEEN).await;
    }
}
