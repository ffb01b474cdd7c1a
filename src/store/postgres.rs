//! PostgreSQL: connecting (with TLS as the URL asks), the pool, migrations under an advisory lock.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::HookError;
use diesel::result::{ConnectionError, DatabaseErrorKind, Error};
use diesel::{ConnectionResult, QueryResult};
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use diesel_async::pooled_connection::deadpool::{Hook, Object, Pool};
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, PoolError, RecyclingMethod};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use futures::FutureExt;
use secrecy::ExposeSecret;
use tokio_postgres::config::SslMode;

use super::url::{PostgresUrl, TlsMode};
use super::{Deadline, PoolStatus, StoreError, migrations, postgres_tls};

const CONNECTIONS: usize = 8;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// A connection that was idle for longer is tried before it is lent: a half-open one is not known to be closed.
const TRUSTED_WHEN_IDLE: Duration = Duration::from_secs(5);
/// Any number that is ours: processes that start together migrate one after the other.
const MIGRATION_LOCK: i64 = 0x6b38_736d_6772;

#[derive(Clone)]
pub(super) struct PostgresPool(Pool<AsyncPgConnection>);

impl PostgresPool {
    pub(super) async fn open(url: &PostgresUrl, database: &str) -> Result<Self, StoreError> {
        let open = |source| StoreError::Open { database: database.to_owned(), source };
        let target = Arc::new(Target::new(url).map_err(open)?);
        migrate(target.connect().await.map_err(|error| open(error.into()))?, database).await?;
        let mut config = ManagerConfig::default();
        config.recycling_method = RecyclingMethod::Fast;
        config.custom_setup = Box::new(move |_| {
            let target = Arc::clone(&target);
            async move { target.connect().await }.boxed()
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
            .map(Self)
            .map_err(|error| open(error.into()))
    }

    pub(super) fn status(&self) -> PoolStatus {
        PoolStatus::new("postgres", self.0.status())
    }

    pub(super) async fn connection(&self) -> Result<Object<AsyncPgConnection>, StoreError> {
        let deadline = Deadline::CONNECTION;
        tokio::time::timeout(deadline.0, self.0.get())
            .await
            .map_err(|_| StoreError::Slow(deadline))?
            .map_err(|error| StoreError::Connect(error.into()))
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

    async fn connect(&self) -> ConnectionResult<AsyncPgConnection> {
        let failed = |error: tokio_postgres::Error| ConnectionError::BadConnection(with_sources(&error));
        match self.tls.clone() {
            Some(tls) => {
                let (client, connection) = self.config.connect(tls).await.map_err(failed)?;
                AsyncPgConnection::try_from_client_and_connection(client, connection).await
            }
            None => {
                let (client, connection) = self.config.connect(tokio_postgres::NoTls).await.map_err(failed)?;
                AsyncPgConnection::try_from_client_and_connection(client, connection).await
            }
        }
    }
}

/// diesel keeps a text alone; the reason (refused, wrong password, bad certificate) is in the sources.
fn with_sources(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(Some(error), |it| it.source()).map(ToString::to_string);
    sources.collect::<Vec<_>>().join(": ")
}

/// diesel's migrations are synchronous, so they run on a thread that may block. The lock ends with the connection.
async fn migrate(mut connection: AsyncPgConnection, database: &str) -> Result<(), StoreError> {
    connection.batch_execute(&format!("SELECT pg_advisory_lock({MIGRATION_LOCK})")).await?;
    let database = database.to_owned();
    let migrated = tokio::task::spawn_blocking(move || {
        let mut connection = AsyncConnectionWrapper::<AsyncPgConnection>::from(connection);
        migrations::run(&mut connection, migrations::POSTGRES, &database)
    });
    migrated.await.map_err(StoreError::TaskLost)?
}
