//! PostgreSQL: connecting (with TLS as the URL asks), the pool, migrations under an advisory lock.

use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool::managed::HookError;
use diesel::QueryResult;
use diesel::result::{DatabaseErrorKind, Error};
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use diesel_async::pooled_connection::deadpool::{Hook, Object, Pool};
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, PoolError, RecyclingMethod};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures::FutureExt;
use secrecy::ExposeSecret;
use tokio_postgres::config::SslMode;

use super::postgres_refusal::DialError;
use super::url::{PostgresUrl, TlsMode};
use super::{Deadline, StoreError, migrations, postgres_refusal, postgres_tls};

const CONNECTIONS: usize = 8;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// A connection that was idle for longer is tried before it is lent: a half-open one is not known to be closed.
const TRUSTED_WHEN_IDLE: Duration = Duration::from_secs(5);
/// Whoever waits longer for another process's migration says so.
const LONGEST_MIGRATION_OF_ANOTHER: Duration = Duration::from_secs(10);
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);
/// Any number that is ours: processes that start together migrate one after the other.
const MIGRATION_LOCK: i64 = 0x6b38_736d_6772;

#[derive(Clone)]
pub(super) struct PostgresPool {
    pool: Pool<AsyncPgConnection>,
    target: Arc<Target>,
}

impl PostgresPool {
    pub(super) async fn open(url: &PostgresUrl, database: &str) -> Result<Self, StoreError> {
        let open = |source| StoreError::Open { database: database.to_owned(), source };
        let target = Arc::new(Target::new(url).map_err(open)?);
        migrate(target.dial().await.map_err(|error| postgres_refusal::explain(error, database))?, database).await?;
        let dialled = Arc::clone(&target);
        let mut config = ManagerConfig::default();
        config.recycling_method = RecyclingMethod::Fast;
        config.custom_setup = Box::new(move |_| {
            let target = Arc::clone(&dialled);
            async move { target.dial().await.map_err(DialError::into_diesel) }.boxed()
        });
        Pool::builder(AsyncDieselConnectionManager::new_with_config("", config))
            .max_size(CONNECTIONS)
            .pre_recycle(Hook::async_fn(|connection, metrics| {
                Box::pin(async move {
                    if metrics.last_used() < TRUSTED_WHEN_IDLE {
                        return Ok(());
                    }
                    let answer = tokio::time::timeout(CONNECT_TIMEOUT, ping(connection)).await;
                    answer
                        .map_err(|_| HookError::message("no answer"))?
                        .map_err(|error| HookError::Backend(PoolError::QueryError(error)))
                })
            }))
            .build()
            .map(|pool| Self { pool, target })
            .map_err(|error| open(error.into()))
    }

    pub(super) async fn connection(&self) -> Result<Object<AsyncPgConnection>, StoreError> {
        let deadline = Deadline::CONNECTION;
        tokio::time::timeout(deadline.0, self.pool.get())
            .await
            .map_err(|_| StoreError::Slow(deadline))?
            .map_err(|error| StoreError::Connect(error.into()))
    }

    /// A connection of the caller's own, not of the pool.
    pub(super) async fn connect(&self) -> Result<AsyncPgConnection, StoreError> {
        self.target.dial().await.map_err(|error| StoreError::Connect(error.into_diesel().into()))
    }
}

async fn ping(connection: &mut AsyncPgConnection) -> QueryResult<()> {
    diesel::sql_query("SELECT 1").execute(connection).await.map(|_| ())
}

/// Whether the connection was lost, so that a question may be asked again on another one.
pub(super) fn connection_was_lost(error: &StoreError) -> bool {
    match error {
        StoreError::Query(Error::DatabaseError(
            DatabaseErrorKind::UnableToSendCommand | DatabaseErrorKind::ClosedConnection,
            _,
        )) => true,
        // "terminating connection due to administrator command" and its like come as a last message of the server.
        StoreError::Query(Error::DatabaseError(DatabaseErrorKind::Unknown, information)) => {
            information.message().starts_with("terminating connection")
        }
        _ => false,
    }
}

/// Where to connect to, and how.
struct Target {
    config: tokio_postgres::Config,
    tls: Option<tokio_postgres_rustls::MakeRustlsConnect>,
}

impl Target {
    fn new(url: &PostgresUrl) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let mut config = tokio_postgres::Config::from_str(url.url.expose_secret())?;
        config.ssl_mode(match url.tls {
            TlsMode::Disable => SslMode::Disable,
            TlsMode::Prefer => SslMode::Prefer,
            TlsMode::Require | TlsMode::VerifyFull => SslMode::Require,
        });
        config.keepalives_idle(Duration::from_secs(10)).tcp_user_timeout(Duration::from_secs(10));
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_application_name().is_none() {
            config.application_name("k8smgr");
        }
        Ok(Self { config, tls: postgres_tls::connector(url)? })
    }

    async fn dial(&self) -> Result<AsyncPgConnection, DialError> {
        let connection = match self.tls.clone() {
            Some(tls) => {
                let (client, connection) = self.config.connect(tls).await?;
                AsyncPgConnection::try_from_client_and_connection(client, connection).await
            }
            None => {
                let (client, connection) = self.config.connect(tokio_postgres::NoTls).await?;
                AsyncPgConnection::try_from_client_and_connection(client, connection).await
            }
        };
        Ok(connection?)
    }
}

/// diesel's migrations are synchronous, so they run on a thread that may block. The lock ends with the connection.
async fn migrate(mut connection: AsyncPgConnection, database: &str) -> Result<(), StoreError> {
    take_turn(&mut connection, database).await?;
    let database = database.to_owned();
    let migrated = tokio::task::spawn_blocking(move || {
        let mut connection = AsyncConnectionWrapper::<AsyncPgConnection>::from(connection);
        migrations::run(&mut connection, migrations::POSTGRES, &database)
    });
    migrated.await.map_err(StoreError::TaskLost)?
}

/// Asked for again and again rather than waited for: a process that hangs with the lock is told of.
async fn take_turn(connection: &mut AsyncPgConnection, database: &str) -> Result<(), StoreError> {
    let begun = Instant::now();
    let query = format!("SELECT pg_try_advisory_lock({MIGRATION_LOCK}) AS is_held");
    while !diesel::sql_query(&query).get_result::<Locked>(connection).await?.is_held {
        if begun.elapsed() > LONGEST_MIGRATION_OF_ANOTHER {
            return Err(StoreError::MigratedByAnother { database: database.to_owned() });
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    Ok(())
}

/// What `pg_try_advisory_lock` answers.
#[derive(diesel::QueryableByName)]
pub(super) struct Locked {
    #[diesel(sql_type = diesel::sql_types::Bool)]
    pub(super) is_held: bool,
}
