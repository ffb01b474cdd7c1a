//! The change feed: tells this process what changed in the database, whoever changed it, within two seconds.
//!
//! On SQLite this process's own statements are announced as they finish, and another process's (the command line) are
//! noticed by `PRAGMA data_version`, once a second. On PostgreSQL triggers notify every process (`listen.rs`). A change
//! may be told twice or as `Everything`, never left out. Whoever listens reads the rows: the feed says where to look.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::task::JoinHandle;

use super::{Backend, Deadline, Store, StoreError, listen, sqlite};

/// How often another process's changes are looked for, where nobody tells of them.
pub(super) const ROUND: Duration = Duration::from_secs(1);
/// Whoever falls further behind looks at everything.
const CAPACITY: usize = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The service of this sequence was added, changed or removed.
    Service(i64),
    /// A user, a token or a group.
    Users,
    LogHandlers,
    UserJobs,
    /// Anything may have changed: changes may have been missed.
    Everything,
}

/// Several changes, each told once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    pub services: BTreeSet<i64>,
    pub users: bool,
    pub log_handlers: bool,
    pub user_jobs: bool,
    pub everything: bool,
}

impl Batch {
    fn add(&mut self, change: Change) {
        match change {
            Change::Service(sequence) => {
                self.services.insert(sequence);
            }
            Change::Users => self.users = true,
            Change::LogHandlers => self.log_handlers = true,
            Change::UserJobs => self.user_jobs = true,
            Change::Everything => self.everything = true,
        }
    }
}

/// How often users were changed, to tell whether what was read of them may still be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserChanges {
    /// A user was changed.
    pub certain: u64,
    /// Changes may have been missed.
    pub possible: u64,
}

/// One listener's changes. Begins with what happens after `Store::changes`.
pub struct Changes(broadcast::Receiver<Change>);

impl Changes {
    /// Waits for a change, and for more of them for so long: each of them is told once.
    pub async fn next_gathered(&mut self, time: Duration) -> Batch {
        let mut batch = self.next().await;
        tokio::time::sleep(time).await;
        self.add_waiting(&mut batch);
        batch
    }

    /// Waits for a change, and gives it with all that came meanwhile.
    pub async fn next(&mut self) -> Batch {
        let mut batch = Batch::default();
        match self.0.recv().await {
            Ok(change) => batch.add(change),
            Err(RecvError::Lagged(_)) => batch.add(Change::Everything),
            // The store is gone, and with it whatever could change.
            Err(RecvError::Closed) => std::future::pending().await,
        }
        self.add_waiting(&mut batch);
        batch
    }

    fn add_waiting(&mut self, batch: &mut Batch) {
        loop {
            match self.0.try_recv() {
                Ok(change) => batch.add(change),
                Err(TryRecvError::Lagged(_)) => batch.add(Change::Everything),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }
}

/// Where changes are announced. Ends its task when the last store that shares it is dropped.
pub(super) struct Feed {
    announcer: Announcer,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// What the feed's own task has of it.
#[derive(Clone)]
pub(super) struct Announcer {
    sender: broadcast::Sender<Change>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    certain_user_changes: AtomicU64,
    possible_user_changes: AtomicU64,
    is_away: AtomicBool,
}

impl Default for Feed {
    fn default() -> Self {
        let announcer = Announcer { sender: broadcast::channel(CAPACITY).0, state: Arc::default() };
        Self { announcer, task: Mutex::default() }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        if let Some(task) = self.task.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

impl Feed {
    pub(super) fn announcer(&self) -> &Announcer {
        &self.announcer
    }
}

impl Announcer {
    pub(super) fn announce(&self, change: Change) {
        match change {
            Change::Users => self.state.certain_user_changes.fetch_add(1, Ordering::SeqCst),
            Change::Everything => self.state.possible_user_changes.fetch_add(1, Ordering::SeqCst),
            Change::Service(_) | Change::LogHandlers | Change::UserJobs => 0,
        };
        // That nobody listens is no failure.
        let _ = self.sender.send(change);
    }

    /// Notes whether the database answers; says so once an outage.
    pub(super) fn note(&self, error: Option<&StoreError>) {
        let was_away = self.state.is_away.swap(error.is_some(), Ordering::SeqCst);
        match error {
            Some(error) if !was_away => {
                metrics::counter!("k8smgr_database_outages_total").increment(1);
                tracing::error!(%error, "the database does not answer; polls are answered from memory");
            }
            None if was_away => tracing::info!("the database answers again"),
            _ => {}
        }
        metrics::gauge!("k8smgr_database_up").set(if error.is_some() { 0.0 } else { 1.0 });
    }
}

impl Store {
    /// Everything that changes from now on. The first call begins to look for other processes' changes.
    pub async fn changes(&self) -> Changes {
        let changes = Changes(self.feed.announcer.sender.subscribe());
        if self.feed.task.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            return changes;
        }
        let announcer = self.feed.announcer.clone();
        // On SQLite what is changed from here on is seen, also before the task has run.
        let task = match &self.backend {
            Backend::Sqlite(pools) => {
                let pools = pools.clone();
                let version = pools.data_version().await.ok();
                tokio::spawn(follow_file(pools, announcer, version))
            }
            Backend::Postgres(pool) => tokio::spawn(listen::follow(pool.clone(), announcer)),
        };
        let mut running = self.feed.task.lock().unwrap_or_else(PoisonError::into_inner);
        match &*running {
            // Somebody else was quicker.
            Some(_) => task.abort(),
            None => *running = Some(task),
        }
        changes
    }

    /// Looks no more for other processes' changes, and holds no connection for it when this returns.
    pub async fn end_changes(&self) {
        let task = self.feed.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            task.abort();
            let _ = task.await;
        }
    }

    /// Only what this process announces; nothing runs for it.
    #[cfg(test)]
    pub(super) fn own_changes(&self) -> Changes {
        Changes(self.feed.announcer.sender.subscribe())
    }

    pub fn user_changes(&self) -> UserChanges {
        let state = &self.feed.announcer.state;
        UserChanges {
            certain: state.certain_user_changes.load(Ordering::SeqCst),
            possible: state.possible_user_changes.load(Ordering::SeqCst),
        }
    }

    /// For those who can do without: gives up after `patience`, and at once while the database is known to be away.
    pub async fn in_time_or_away<R>(
        &self,
        patience: Duration,
        query: impl Future<Output = Result<R, StoreError>>,
    ) -> Result<R, StoreError> {
        let deadline = Deadline(patience);
        if self.is_away() {
            return Err(StoreError::Away);
        }
        tokio::time::timeout(patience, query).await.unwrap_or(Err(StoreError::Slow(deadline)))
    }

    /// Whether the database did not answer when it was last asked, at most a few seconds ago: nobody should wait for it
    /// who can do without. Always false before the first `changes`.
    pub fn is_away(&self) -> bool {
        self.feed.announcer.state.is_away.load(Ordering::SeqCst)
    }
}

async fn follow_file(pools: sqlite::SqlitePools, announcer: Announcer, mut known: Option<i64>) {
    loop {
        tokio::time::sleep(ROUND).await;
        match pools.data_version().await {
            Ok(version) => {
                if known != Some(version) {
                    announcer.announce(Change::Everything);
                }
                known = Some(version);
                announcer.note(None);
            }
            // The writer waits for another process's lock: reading goes on all the same.
            Err(StoreError::Slow(_)) => {}
            Err(error) => announcer.note(Some(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn changes_that_came_together_are_told_once_each() {
        let feed = Feed::default();
        let mut changes = Changes(feed.announcer.sender.subscribe());
        for change in [Change::Service(2), Change::Users, Change::Service(1), Change::Service(2)] {
            feed.announcer.announce(change);
        }
        let expected = Batch { services: BTreeSet::from([1, 2]), users: true, ..Batch::default() };
        assert_eq!(changes.next().await, expected);
    }

    #[tokio::test]
    async fn a_listener_that_falls_behind_is_told_to_look_at_everything() {
        let feed = Feed::default();
        let mut changes = Changes(feed.announcer.sender.subscribe());
        for sequence in 0..3 * CAPACITY {
            feed.announcer.announce(Change::Service(i64::try_from(sequence).unwrap()));
        }
        assert!(changes.next().await.everything);
    }
}
