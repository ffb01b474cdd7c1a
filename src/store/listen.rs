//! Changes on PostgreSQL: a connection of its own that listens to what the triggers of `migrations/postgres` tell.
//!
//! That notifications arrive is proven, not believed: every two seconds one is sent over another connection. Where none
//! arrives (a pooler in transaction mode keeps them) the versions of all rows are compared once a second, until
//! listening is tried again.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::StoreError;
use super::changes::{Announcer, Change, ROUND};
use super::postgres::PostgresPool;

/// The triggers name it, too.
const CHANNEL: &str = "k8smgr_changes";
const PROBE: &str = "probe";
const PROBE_EVERY: Duration = Duration::from_secs(2);
/// How long a probe may be on its way.
const PROBE_TIME: Duration = Duration::from_secs(3);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A connection that listens; it ends when this is dropped.
struct Listener {
    /// Dropping it closes the connection.
    _client: tokio_postgres::Client,
    notifications: UnboundedReceiver<String>,
}

/// Runs until it is aborted.
pub(super) async fn follow(pool: PostgresPool, announcer: Announcer) {
    let mut attempts = Attempts::default();
    let mut compared = Compared::default();
    loop {
        let opening = async {
            // What follows goes on meanwhile: where notifications do not arrive it takes a while to find out.
            match attempts.due(&pool) {
                Some(attempt) => attempt.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            opened = opening => {
                attempts.current = None;
                match opened.unwrap_or_else(|error| Err(StoreError::TaskLost(error))) {
                    Ok(listener) => {
                        announcer.note(None);
                        announcer.announce(Change::Everything);
                        listener.run(&pool, &announcer).await;
                        // What was told after that nobody heard.
                        (attempts, compared) = (Attempts::default(), Compared::default());
                    }
                    Err(error) => {
                        tracing::debug!(%error, "cannot listen to the database's notifications");
                        attempts.failed();
                    }
                }
            }
            () = tokio::time::sleep(ROUND) => match compared.look(&pool, &announcer).await {
                Ok(()) if attempts.failed => {
                    tracing::warn!("the database's notifications do not arrive; its rows are compared once a second");
                    attempts.failed = false;
                }
                Ok(()) => {}
                // To be tried as soon as it is back.
                Err(_) if attempts.current.is_none() => attempts = Attempts::default(),
                Err(_) => {}
            },
        }
    }
}

/// When listening is tried: at once, then ever more seldom.
struct Attempts {
    current: Option<JoinHandle<Result<Listener, StoreError>>>,
    at: Instant,
    pause: Duration,
    failed: bool,
}

impl Default for Attempts {
    fn default() -> Self {
        Self { current: None, at: Instant::now(), pause: ROUND, failed: false }
    }
}

impl Attempts {
    fn due(&mut self, pool: &PostgresPool) -> Option<&mut JoinHandle<Result<Listener, StoreError>>> {
        if self.current.is_none() && Instant::now() >= self.at {
            let pool = pool.clone();
            self.current = Some(tokio::spawn(async move { Listener::open(&pool).await }));
        }
        self.current.as_mut()
    }

    fn failed(&mut self) {
        self.at = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.failed = true;
    }
}

/// The rows as they were last seen, where nobody tells of changes.
#[derive(Default)]
struct Compared(Option<HashMap<String, String>>);

impl Compared {
    async fn look(&mut self, pool: &PostgresPool, announcer: &Announcer) -> Result<(), StoreError> {
        let rows = pool.row_versions().await.inspect_err(|error| announcer.note(Some(error)))?;
        announcer.note(None);
        let seen: HashMap<_, _> = rows.into_iter().collect();
        match &self.0 {
            Some(before) => differences(before, &seen).for_each(|it| announcer.announce(it)),
            None => announcer.announce(Change::Everything),
        }
        self.0 = Some(seen);
        Ok(())
    }
}

fn differences<'a>(
    before: &'a HashMap<String, String>,
    now: &'a HashMap<String, String>,
) -> impl Iterator<Item = Change> + 'a {
    let changed = now.iter().filter(|(row, version)| before.get(*row) != Some(version)).map(|(row, _)| row);
    let removed = before.keys().filter(|row| !now.contains_key(*row));
    changed.chain(removed).filter_map(|row| read(row))
}

/// A notification's text, or a row's name: `s` and the sequence of a service, `u...` for users and tokens, `l...` for
/// log handlers, `j...` for user jobs, `e` for everything.
fn read(text: &str) -> Option<Change> {
    match text.as_bytes().first()? {
        b's' => text[1..].parse().ok().map(Change::Service),
        b'u' => Some(Change::Users),
        b'l' => Some(Change::LogHandlers),
        b'j' => Some(Change::UserJobs),
        b'e' => Some(Change::Everything),
        _ => None,
    }
}

impl Listener {
    /// Listens, and has seen a notification arrive.
    async fn open(pool: &PostgresPool) -> Result<Listener, StoreError> {
        let (client, notifications) = pool.listen(CHANNEL).await?;
        let mut listener = Listener { _client: client, notifications };
        pool.notify(CHANNEL, PROBE).await?;
        let arrival = async {
            while listener.notifications.recv().await? != PROBE {}
            Some(())
        };
        match tokio::time::timeout(PROBE_TIME, arrival).await {
            Ok(Some(())) => Ok(listener),
            Ok(None) | Err(_) => Err(StoreError::Connect("no notification arrived".into())),
        }
    }

    /// Announces what is told, until the connection is lost or tells nothing more.
    async fn run(mut self, pool: &PostgresPool, announcer: &Announcer) {
        let mut probes = tokio::time::interval(PROBE_EVERY);
        let mut arrived = Instant::now();
        loop {
            tokio::select! {
                told = self.notifications.recv() => match told {
                    Some(text) if text == PROBE => arrived = Instant::now(),
                    Some(text) => read(&text).into_iter().for_each(|it| announcer.announce(it)),
                    None => return,
                },
                _ = probes.tick() => {
                    if arrived.elapsed() > PROBE_EVERY + PROBE_TIME {
                        return;
                    }
                    let sent = tokio::time::timeout(PROBE_TIME, pool.notify(CHANNEL, PROBE)).await;
                    match sent {
                        Ok(Ok(())) => announcer.note(None),
                        Ok(Err(error)) => announcer.note(Some(&error)),
                        Err(_) => announcer.note(Some(&StoreError::Slow(super::Deadline(PROBE_TIME)))),
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_came_went_or_changed_are_told() {
        let rows = |rows: &[(&str, &str)]| rows.iter().map(|(row, it)| ((*row).to_owned(), (*it).to_owned())).collect();
        let before = rows(&[("s1", "7"), ("s2", "7"), ("s3", "7"), ("uhub", "1")]);
        let now = rows(&[("s1", "7"), ("s2", "8"), ("s4", "9"), ("uhub", "1")]);
        let mut told: Vec<_> = differences(&before, &now).map(|it| format!("{it:?}")).collect();
        told.sort();
        assert_eq!(told, ["Service(2)", "Service(3)", "Service(4)"]);
        let removed: Vec<_> = differences(&now, &HashMap::new()).filter(|it| *it == Change::Users).collect();
        assert_eq!(removed.len(), 1);
    }
}
