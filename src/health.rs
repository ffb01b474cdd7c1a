//! Whether this process can do its work: named conditions, of which a few decide whether it is ready.
//!
//! What decides is what another replica would do better: one that is about to end, or has not seen the cluster yet.
//! What all replicas lose together (database, API server) or what waits for an operator (a bad config.json) is told
//! and decides nothing: were all of them unready, the Service would have no endpoints, every poll would fail, and
//! hubs take a failed poll for a stopped server.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, join_all};
use jiff::Timestamp;

/// A kubelet gives up after a second unless told otherwise.
const CHECK_TIME: Duration = Duration::from_millis(800);

/// Why a condition does not hold. The reason is read without a login: no secrets, no paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub reason: String,
    /// Where it is known; else since it was first seen.
    pub since: Option<Timestamp>,
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Self { reason, since: None }
    }
}

type Check = Box<dyn Fn() -> BoxFuture<'static, Result<(), Failure>> + Send + Sync>;

struct Condition {
    name: &'static str,
    decides: bool,
    check: Check,
}

/// All conditions of a process.
#[derive(Default)]
pub struct Conditions {
    conditions: Vec<Condition>,
    failing_since: Mutex<HashMap<&'static str, Timestamp>>,
    is_ending: AtomicBool,
}

/// The name of the condition that does not hold once the process is told to end.
const SHUTDOWN: &str = "shutdown";

impl Conditions {
    /// Adds a condition without which another replica should be asked.
    pub fn deciding<F>(self, name: &'static str, check: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        self.with(name, true, check)
    }

    /// Adds a condition that is told and decides nothing.
    pub fn telling<F>(self, name: &'static str, check: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        self.with(name, false, check)
    }

    fn with<F>(mut self, name: &'static str, decides: bool, check: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        self.conditions.push(Condition { name, decides, check: Box::new(move || check().boxed()) });
        self
    }

    /// From now on this process is not ready: it goes on answering, but no new connection should come.
    pub fn begin_end(&self) {
        self.is_ending.store(true, Ordering::SeqCst);
    }

    /// Looks at all conditions at the same time.
    pub async fn report(&self) -> Report {
        let outcomes = join_all(self.conditions.iter().map(|condition| async {
            let outcome = tokio::time::timeout(CHECK_TIME, (condition.check)()).await;
            outcome.unwrap_or_else(|_| Err("no answer in time".to_owned().into()))
        }));
        let outcomes = outcomes.await;
        let shutdown = match self.is_ending.load(Ordering::SeqCst) {
            true => Err("the process is told to end".to_owned().into()),
            false => Ok(()),
        };
        let found = self.conditions.iter().map(|it| (it.name, it.decides)).zip(outcomes);
        let lines = found.chain([((SHUTDOWN, true), shutdown)]).map(|((name, decides), outcome)| Line {
            name,
            decides,
            failure: self.dated(name, outcome),
        });
        Report { lines: lines.collect() }
    }

    fn dated(&self, name: &'static str, outcome: Result<(), Failure>) -> Option<(Timestamp, String)> {
        let mut failing_since = self.failing_since.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(()) => {
                failing_since.remove(name);
                None
            }
            Err(Failure { reason, since }) => {
                let first = *failing_since.entry(name).or_insert_with(Timestamp::now);
                Some((since.unwrap_or(first), reason))
            }
        }
    }
}

struct Line {
    name: &'static str,
    decides: bool,
    failure: Option<(Timestamp, String)>,
}

/// What the conditions were like.
pub struct Report {
    lines: Vec<Line>,
}

impl Report {
    /// Whether everything that decides holds, but for what is excluded.
    pub fn is_ready(&self, excluded: &BTreeSet<String>) -> bool {
        !self.lines.iter().any(|it| it.decides && it.failure.is_some() && !excluded.contains(it.name))
    }

    /// In the words of Kubernetes' own `/readyz?verbose`; `[!]` is what fails and decides nothing.
    pub fn text(&self, excluded: &BTreeSet<String>) -> String {
        let mut text = String::new();
        for Line { name, decides, failure } in &self.lines {
            let _ = match failure {
                _ if excluded.contains(*name) => writeln!(text, "[+]{name} excluded: ok"),
                None => writeln!(text, "[+]{name} ok"),
                Some((since, reason)) => {
                    let sign = if *decides { '-' } else { '!' };
                    writeln!(text, "[{sign}]{name} failed: since {since:.0}, {}", on_one_line(reason))
                }
            };
        }
        for unknown in excluded.iter().filter(|it| !self.lines.iter().any(|line| line.name == it.as_str())) {
            let _ = writeln!(text, "warn: some health checks cannot be excluded: no matches for {unknown:?}");
        }
        let outcome = if self.is_ready(excluded) { "passed" } else { "failed" };
        let _ = writeln!(text, "readyz check {outcome}");
        text
    }
}

fn on_one_line(reason: &str) -> String {
    reason.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(reason: &str) -> impl Fn() -> futures::future::Ready<Result<(), Failure>> + Send + Sync + use<> {
        let since = "2026-11-20T10:00:00Z".parse().ok();
        let failure = Failure { reason: reason.to_owned(), since };
        move || futures::future::ready(Err(failure.clone()))
    }

    fn holds() -> futures::future::Ready<Result<(), Failure>> {
        futures::future::ready(Ok(()))
    }

    #[tokio::test]
    async fn only_what_another_replica_would_do_better_makes_unready() {
        let conditions = Conditions::default().telling("database", holds).telling("cluster", fails("no\nanswer"));
        let none = BTreeSet::new();
        let report = conditions.report().await;
        assert!(report.is_ready(&none));
        insta::assert_snapshot!(report.text(&none), @r"
        [+]database ok
        [!]cluster failed: since 2026-11-20T10:00:00Z, no answer
        [+]shutdown ok
        readyz check passed
        ");
        let conditions = conditions.deciding("started", fails("not yet"));
        let report = conditions.report().await;
        assert!(!report.is_ready(&none));
        let excluded = BTreeSet::from(["started".to_owned(), "nonsense".to_owned()]);
        assert!(report.is_ready(&excluded));
        insta::assert_snapshot!(report.text(&excluded), @r#"
        [+]database ok
        [!]cluster failed: since 2026-11-20T10:00:00Z, no answer
        [+]started excluded: ok
        [+]shutdown ok
        warn: some health checks cannot be excluded: no matches for "nonsense"
        readyz check passed
        "#);
    }

    #[tokio::test]
    async fn a_process_that_is_told_to_end_is_not_ready() {
        let conditions = Conditions::default();
        assert!(conditions.report().await.is_ready(&BTreeSet::new()));
        conditions.begin_end();
        let report = conditions.report().await;
        assert!(!report.is_ready(&BTreeSet::new()));
        assert!(report.text(&BTreeSet::new()).contains("[-]shutdown failed: since "));
    }

    #[tokio::test]
    async fn a_check_that_hangs_fails_and_holds_up_nobody() {
        let conditions = Conditions::default().telling("database", futures::future::pending);
        assert!(conditions.report().await.text(&BTreeSet::new()).contains("no answer in time"));
    }
}
