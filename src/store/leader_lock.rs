//! The leader's lock: an advisory lock of PostgreSQL on a connection of its own. It ends with the connection, and the
//! connection ends soon after its process does, also where nobody told the database.

use std::time::Duration;

use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};

use super::postgres::Locked;
use super::{Backend, Store, StoreError};

/// Any number that is ours. A database is one installation's.
const LEADER_LOCK: i64 = 0x6b38_736c_6561;

pub struct LeaderLock {
    connection: AsyncPgConnection,
    is_held: bool,
}

impl Store {
    /// A connection for the lock, which the database ends when nothing is asked on it for `outlives`.
    pub async fn leader_lock(&self, outlives: Duration) -> Result<LeaderLock, StoreError> {
        let Backend::Postgres(pool) = &self.backend else { return Err(StoreError::LockUnanswered) };
        let mut connection = pool.connect().await?;
        let milliseconds = outlives.as_millis();
        // PostgreSQL 14 and newer. On an older one a machine that vanishes keeps the lock until TCP gives it up.
        let limit = format!("SET idle_session_timeout = {milliseconds}");
        if let Err(error) = connection.batch_execute(&limit).await {
            tracing::debug!(%error, "the database does not end silent connections");
        }
        let keepalives = "SET tcp_keepalives_idle = 3; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3";
        connection.batch_execute(keepalives).await?;
        Ok(LeaderLock { connection, is_held: false })
    }
}

impl LeaderLock {
    /// Whether the lock is ours, taken now or before.
    pub async fn take_or_keep(&mut self) -> Result<bool, StoreError> {
        if self.is_held {
            diesel::sql_query("SELECT 1").execute(&mut self.connection).await?;
        } else {
            let query = format!("SELECT pg_try_advisory_lock({LEADER_LOCK}) AS is_held");
            self.is_held = diesel::sql_query(query).get_result::<Locked>(&mut self.connection).await?.is_held;
        }
        Ok(self.is_held)
    }

    pub async fn release(mut self) {
        if self.is_held {
            let query = format!("SELECT pg_advisory_unlock({LEADER_LOCK})");
            let _ = super::in_time(diesel::sql_query(query).execute(&mut self.connection)).await;
        }
    }
}
