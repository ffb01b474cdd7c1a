//! What we remember: services, users and their tokens, in SQLite or PostgreSQL. Diesel is used here and nowhere else.
//!
//! Every operation is one statement, or a few that need no transaction, so that a caller which goes away midway
//! leaves nothing open. Which of several processes wins is decided by the database, never by reading first.

mod error;
mod log_handlers;
mod migrations;
mod postgres;
mod postgres_tls;
mod schema;
mod services;
mod sqlite;
#[cfg(test)]
mod tests;
mod tokens;
mod url;
mod users;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use diesel::{ExpressionMethods, QueryDsl, QueryResult};
use rand::RngExt;

pub use error::StoreError;
pub use log_handlers::LogHandlerRow;
pub use services::Inserted;
pub use tokens::{Token, TokenAdded};
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
    user_changes: Arc<AtomicU64>,
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
macro_rules! query {
    ($self:ident . $mode:ident, |$connection:ident| $query:expr) => {
        match &$self.backend {
            $crate::store::Backend::Sqlite(pools) => {
                pools
                    .$mode(move |$connection| {
                        use diesel::RunQueryDsl;
                        $query
                    })
                    .await
            }
            $crate::store::Backend::Postgres(pool) => {
                let mut may_repeat = stringify!($mode) == "read";
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
                            if !(lost && may_repeat) {
                                break Err(error);
                            }
                            may_repeat = false;
                        }
                        Ok(value) => break Ok(value),
                    }
                }
            }
        }
    };
}
use query;

async fn in_time<R>(query: impl Future<Output = QueryResult<R>>) -> Result<R, StoreError> {
    let answer = tokio::time::timeout(Deadline::QUERY.0, query).await;
    Ok(answer.map_err(|_| StoreError::Slow(Deadline::QUERY))??)
}

impl Store {
    /// Opens the database, makes what is missing and brings the tables up to date.
    pub async fn connect(url: &DatabaseUrl) -> Result<Store, StoreError> {
        let backend = match url.kind() {
            url::Kind::Sqlite(path) => Backend::Sqlite(SqlitePools::open(path).await?),
            url::Kind::Postgres(it) => Backend::Postgres(PostgresPool::open(it, &url.to_string()).await?),
        };
        Ok(Store { backend, user_changes: Arc::default() })
    }

    /// Grows whenever this process changes a user in a way that could make a remembered login wrong.
    pub fn user_changes(&self) -> u64 {
        self.user_changes.load(Ordering::SeqCst)
    }

    /// To be called after the change.
    fn user_was_changed(&self) {
        self.user_changes.fetch_add(1, Ordering::SeqCst);
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
