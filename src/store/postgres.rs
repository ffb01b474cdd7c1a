//! PostgreSQL: connecting (with TLS as the URL asks), the pool, migrations under an advisory lock.

use std::future::poll_fn;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool::managed::HookError;
use diesel::result::{DatabaseErrorKind, Error};
use diesel::{QueryResult, sql_types};
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use diesel_async::pooled_connection::deadpool::{Hook, Object, Pool};
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, PoolError, RecyclingMethod};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures::FutureExt;
use secrecy::ExposeSecret;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio_postgres::AsyncMessage;
use tokio_postgres::config::SslMode;

use super::postgres_refusal::DialError;
use super::url::{PostgresUrl, TlsMode};
use super::{Deadline, PoolStatus, StoreError, in_time, migrations, postgres_refusal, postgres_tls};

pub(super) const CONNECTIONS: usize = 8;
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

    pub(super) fn status(&self) -> PoolStatus {
        PoolStatus::new("postgres", self.pool.status())
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

    /// A connection of its own that listens on `channel`, and the texts that are told there. They end with it.
    pub(super) async fn listen(
        &self,
        channel: &'static str,
    ) -> Result<(tokio_postgres::Client, UnboundedReceiver<String>), StoreError> {
        let deadline = Deadline::CONNECTION;
        let listening = async {
            let (client, notifications) = self.target.connect_to_listen().await?;
            client.batch_execute(&format!("LISTEN {channel}")).await?;
            Ok::<_, tokio_postgres::Error>((client, notifications))
        };
        let listening = tokio::time::timeout(deadline.0, listening).await;
        listening.map_err(|_| StoreError::Slow(deadline))?.map_err(|error| StoreError::Connect(error.into()))
    }

    pub(super) async fn notify(&self, channel: &str, text: &str) -> Result<(), StoreError> {
        for _ in 0..=CONNECTIONS {
            let mut connection = self.connection().await?;
            let query = diesel::sql_query("SELECT pg_notify($1, $2)");
            let query = query.bind::<sql_types::Text, _>(channel).bind::<sql_types::Text, _>(text);
            let sent = in_time(query.execute(&mut connection)).await;
            if let Some(sent) = unless_lost(connection, sent) {
                return sent.map(|_| ());
            }
        }
        Err(StoreError::Away)
    }

    /// Every row that the feed tells of, with what changes whenever the row does.
    pub(super) async fn row_versions(&self) -> Result<Vec<(String, String)>, StoreError> {
        for _ in 0..=CONNECTIONS {
            let mut connection = self.connection().await?;
            let query = diesel::sql_query(
                "SELECT 's' || sequence AS name, xmin::text AS version FROM services \
                 UNION ALL SELECT 'u' || name, xmin::text FROM users \
                 UNION ALL SELECT 'ut' || id, xmin::text FROM tokens \
                 UNION ALL SELECT 'l' || handler, xmin::text FROM log_handlers",
            );
            let rows = in_time(query.load::<RowVersion>(&mut connection)).await;
            if let Some(rows) = unless_lost(connection, rows) {
                return Ok(rows?.into_iter().map(|it| (it.name, it.version)).collect());
            }
        }
        Err(StoreError::Away)
    }
}

#[derive(diesel::QueryableByName)]
struct RowVersion {
    #[diesel(sql_type = sql_types::Text)]
    name: String,
    #[diesel(sql_type = sql_types::Text)]
    version: String,
}

/// `None`: the connection had been lost, as others of the pool may be. Each is thrown away, so that the last attempt is
/// on a new one: only that tells whether the database answers.
fn unless_lost<R>(
    connection: Object<AsyncPgConnection>,
    result: Result<R, StoreError>,
) -> Option<Result<R, StoreError>> {
    let Err(error) = &result else { return Some(result) };
    let was_lost = connection_was_lost(error);
    drop(deadpool::managed::Object::take(connection));
    (!was_lost).then_some(result)
}

/// Gives a connection back to the pool, unless it was lost or its answer did not come in time: whatever state it is in
/// then, nobody else gets it.
pub(super) fn keep_if_sound<R>(connection: Object<AsyncPgConnection>, result: &Result<R, StoreError>) {
    if let Err(error) = result
        && (connection_was_lost(error) || matches!(error, StoreError::Slow(_)))
    {
        drop(deadpool::managed::Object::take(connection));
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

/// One connection outside any pool, to a database that may be another's.
pub(super) async fn connect(url: &PostgresUrl) -> Result<AsyncPgConnection, Box<dyn std::error::Error + Send + Sync>> {
    Ok(Target::new(url)?.dial().await.map_err(DialError::into_diesel)?)
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

impl Target {
    async fn connect_to_listen(
        &self,
    ) -> Result<(tokio_postgres::Client, UnboundedReceiver<String>), tokio_postgres::Error> {
        match self.tls.clone() {
            Some(tls) => {
                let (client, connection) = self.config.connect(tls).await?;
                Ok((client, notifications(connection)))
            }
            None => {
                let (client, connection) = self.config.connect(tokio_postgres::NoTls).await?;
                Ok((client, notifications(connection)))
            }
        }
    }
}

/// Drives a connection in a task of its own, which ends with its client.
fn notifications<S, T>(mut connection: tokio_postgres::Connection<S, T>) -> UnboundedReceiver<String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notification(told) = message
                && sender.send(told.payload().to_owned()).is_err()
            {
                break;
            }
        }
    });
    receiver
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
