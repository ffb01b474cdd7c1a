//! What we remember: services, users and their tokens, in SQLite or PostgreSQL. Diesel is used here and nowhere else.
//!
//! Every operation is one statement, or a few that need no transaction, so that a caller which goes away midway
//! leaves nothing open. Which of several processes wins is decided by the database, never by reading first.

mod arrivals;
mod awaited_starts;
mod backup;
mod changes;
mod crypt_keys;
mod end_dates;
mod error;
mod found;
mod leader_lock;
mod limits;
mod listen;
mod log_handlers;
mod migrations;
mod observed;
mod postgres;
mod postgres_refusal;
mod postgres_tls;
mod process_lock;
mod reference;
mod restart_notices;
mod schema;
mod sealing;
mod service_keys;
mod services;
mod sqlite;
mod stored_log_handlers;
#[cfg(test)]
mod tests;
mod tokens;
mod told_starts;
mod url;
mod user_jobs;
mod users;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use diesel::{ExpressionMethods, QueryDsl, QueryResult};
use rand::RngExt;

pub use arrivals::Arrived;
pub use backup::{BackupError, Restored, back_up, restore};
pub use changes::{Batch, Change, Changes, UserChanges};
pub use crypt_keys::{CryptKeys, CryptKeysError, KeyId};
pub use end_dates::EndDate;
pub use error::StoreError;
pub use found::FoundService;
pub use leader_lock::LeaderLock;
pub use limits::{Claimed, NotInserted};
pub use log_handlers::LogHandlerRow;
pub use observed::{PoolStatus, ServiceCount};
pub use process_lock::ProcessLock;
pub use reference::{
    OutpostDatabase, OutpostService, Predecessor, ReferenceDatabase, ReferenceError, ReferenceLogHandler,
    ReferenceService, ReferenceToken, ReferenceUser, ReferenceUserJob,
};
pub use sealing::{Rekeyed, Sealing};
pub use service_keys::ServiceKey;
pub use services::Inserted;
pub use stored_log_handlers::stored_log_handlers;
pub use tokens::{Token, TokenAdded};
pub use told_starts::TellerOf;
pub use url::{DatabaseUrl, DatabaseUrlError};
pub use users::{NewUser, User, UserChange};

use postgres::PostgresPool;
use sqlite::SqlitePools;

/// How long a caller waits at most for one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(Duration);

impl Deadline {
    /// For a free connection.
    const CONNECTION: Deadline = Deadline(Duration::from_secs(6));
    /// For the answer to a statement.
    const QUERY: Deadline = Deadline(Duration::from_secs(10));
}

impl fmt::Display for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.0.as_secs())
    }
}

#[derive(Clone)]
pub struct Store {
    backend: Backend,
    feed: Arc<changes::Feed>,
    /// None until `unlock`: what is sealed stays closed, and what is written is in clear.
    keys: CryptKeys,
}

#[derive(Clone)]
enum Backend {
    Sqlite(SqlitePools),
    Postgres(PostgresPool),
}

/// Runs one diesel expression on whichever database it is: `query!(self.read, |connection| expression)`.
///
/// The expression is compiled once for each. On SQLite it is a closure on a blocking thread, so it owns what it uses;
/// on PostgreSQL a future, which is made again where a question meets a connection that was lost (`read`). What
/// changes something (`write`) is never repeated: it may have been carried out.
///
/// `query!(self.write, |result| changes, |connection| expression)` tells the feed what was changed, also where the caller
/// went away. On PostgreSQL triggers tell of services.
macro_rules! query {
    ($self:ident . $mode:ident, |$connection:ident| $query:expr) => {
        $crate::store::query!($self.$mode, |_| None::<$crate::store::Change>, |$connection| $query)
    };
    ($self:ident . $mode:ident, $change:expr, |$connection:ident| $query:expr) => {
        match &$self.backend {
            $crate::store::Backend::Sqlite(pools) => {
                let announcer = $self.feed.announcer().clone();
                pools
                    .$mode(move |$connection| {
                        use diesel::RunQueryDsl;
                        let result = $query;
                        if let Ok(value) = &result {
                            $crate::store::changed_by(value, $change).into_iter().for_each(|it| announcer.announce(it));
                        }
                        result
                    })
                    .await
            }
            $crate::store::Backend::Postgres(pool) => {
                // All connections of the pool may have been lost at once.
                let mut repeats = if stringify!($mode) == "read" { $crate::store::postgres::CONNECTIONS } else { 0 };
                loop {
                    let mut object = match pool.connection().await {
                        Ok(object) => object,
                        Err(error) => break Err(error),
                    };
                    let result = {
                        use diesel_async::RunQueryDsl;
                        let $connection: &mut diesel_async::AsyncPgConnection = &mut object;
                        $crate::store::in_time($query).await
                    };
                    match result {
                        Err(error) => {
                            // Whatever state it is in, nobody else gets this connection.
                            let lost = $crate::store::postgres::connection_was_lost(&error);
                            if lost || matches!(error, $crate::store::StoreError::Slow(_)) {
                                drop(deadpool::managed::Object::take(object));
                            }
                            if !lost || repeats == 0 {
                                break Err(error);
                            }
                            repeats -= 1;
                        }
                        Ok(value) => {
                            let changes = $crate::store::changed_by(&value, $change).into_iter();
                            let untold = changes.filter(|it| !matches!(it, $crate::store::Change::Service(_)));
                            untold.for_each(|it| $self.feed.announcer().announce(it));
                            break Ok(value);
                        }
                    }
                }
            }
        }
    };
}
use query;

/// Gives the closure of `query!` its type.
fn changed_by<R, C: IntoIterator<Item = Change>>(value: &R, changes: impl FnOnce(&R) -> C) -> C {
    changes(value)
}

async fn in_time<R>(query: impl Future<Output = QueryResult<R>>) -> Result<R, StoreError> {
    let answer = tokio::time::timeout(Deadline::QUERY.0, query).await;
    Ok(answer.map_err(|_| StoreError::Slow(Deadline::QUERY))??)
}

impl Store {
    /// Opens the database, makes what is missing and brings the tables up to date. Whoever works on services calls `unlock`
    /// next.
    pub async fn connect(url: &DatabaseUrl) -> Result<Store, StoreError> {
        let backend = match url.kind() {
            url::Kind::Sqlite(path) => Backend::Sqlite(SqlitePools::open(path).await?),
            url::Kind::Postgres(it) => Backend::Postgres(PostgresPool::open(it, &url.to_string()).await?),
        };
        Ok(Store { backend, feed: Arc::default(), keys: CryptKeys::default() })
    }

    /// Names this installation on every label; made once and kept.
    pub async fn installation_id(&self) -> Result<String, StoreError> {
        use schema::installation::dsl::{id, installation, only_row};
        let kept = query!(self.read, |connection| installation.select(id).load::<String>(connection))?;
        if let Some(kept) = kept.into_iter().next() {
            return Ok(kept);
        }
        let made = new_installation_id();
        query!(self.write, |connection| diesel::insert_into(installation)
            .values((only_row.eq(1), id.eq(&made)))
            .on_conflict_do_nothing()
            .execute(connection))?;
        query!(self.read, |connection| installation.select(id).first::<String>(connection))
    }

    /// Becomes the database of an installation that is there already. False: it is another's, and has services.
    pub async fn take_over_installation(&self, wanted: &str) -> Result<bool, StoreError> {
        use schema::installation::dsl::{id, installation};
        use schema::services;
        if self.installation_id().await? == wanted {
            return Ok(true);
        }
        let wanted = wanted.to_owned();
        let changed = query!(self.write, |connection| diesel::update(installation)
            .filter(diesel::dsl::not(diesel::dsl::exists(services::table.select(services::sequence))))
            .set(id.eq(&wanted))
            .execute(connection))?;
        Ok(changed == 1)
    }

    /// Whether other processes may work on the same records.
    pub fn is_shared(&self) -> bool {
        matches!(self.backend, Backend::Postgres(_))
    }

    pub async fn ping(&self) -> Result<(), StoreError> {
        query!(self.read, |connection| diesel::sql_query("SELECT 1").execute(connection))?;
        Ok(())
    }
}

/// A letter first: it is a label's value and may be part of a name.
fn new_installation_id() -> String {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
    const ALL: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut random = rand::rng();
    let mut pick = |from: &[u8]| char::from(from[random.random_range(..from.len())]);
    std::iter::once(pick(LETTERS)).chain((0..11).map(|_| pick(ALL))).collect()
}
