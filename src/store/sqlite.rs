//! SQLite: opening the file and the two pools over it. Every call runs on a thread that may block.
//!
//! One connection writes and several read: SQLite takes one writer at a time anyway, and a queue of our own is fair
//! where its busy handler is not. A caller that goes away leaves its statement to finish by itself.

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use deadpool::managed::{Manager, Metrics, Object, Pool, QueueMode, RecycleResult};
use diesel::connection::SimpleConnection;
use diesel::sqlite::SqliteConnection;
use diesel::{Connection, QueryResult, RunQueryDsl, sql_types};

use super::{Deadline, PoolStatus, StoreError, migrations};

const READERS: usize = 4;
/// How long another process may keep the file locked.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const OPEN_DEADLINE: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub(super) struct SqlitePools {
    readers: Pool<Files>,
    writer: Pool<Files>,
}

impl SqlitePools {
    pub(super) async fn open(path: &Path) -> Result<Self, StoreError> {
        let path = path.to_owned();
        let prepared = path.clone();
        tokio::task::spawn_blocking(move || prepare(&prepared)).await.map_err(StoreError::TaskLost)??;
        Ok(Self {
            readers: pool(Files { path: path.clone(), query_only: true }, READERS)?,
            writer: pool(Files { path, query_only: false }, 1)?,
        })
    }

    pub(super) fn status(&self) -> Vec<PoolStatus> {
        vec![PoolStatus::new("readers", self.readers.status()), PoolStatus::new("writer", self.writer.status())]
    }

    /// Runs a statement that changes nothing.
    pub(super) async fn read<R: Send + 'static>(
        &self,
        query: impl FnOnce(&mut SqliteConnection) -> QueryResult<R> + Send + 'static,
    ) -> Result<R, StoreError> {
        run(&self.readers, query).await
    }

    /// Runs statements that change something, one caller after the other.
    pub(super) async fn write<R: Send + 'static>(
        &self,
        query: impl FnOnce(&mut SqliteConnection) -> QueryResult<R> + Send + 'static,
    ) -> Result<R, StoreError> {
        run(&self.writer, query).await
    }

    /// Whether somebody has the connection that writes.
    #[cfg(test)]
    pub(super) fn is_writing(&self) -> bool {
        let status = self.writer.status();
        status.size > 0 && status.available == 0
    }

    /// Another number whenever somebody else has changed the file. Asked of the connection that writes: its own changes
    /// do not count.
    pub(super) async fn data_version(&self) -> Result<i64, StoreError> {
        let line = run(&self.writer, |connection| {
            diesel::sql_query("PRAGMA data_version").get_result::<DataVersion>(connection)
        });
        Ok(line.await?.data_version)
    }
}

#[derive(diesel::QueryableByName)]
struct DataVersion {
    #[diesel(sql_type = sql_types::BigInt)]
    data_version: i64,
}

async fn run<R: Send + 'static>(
    pool: &Pool<Files>,
    query: impl FnOnce(&mut SqliteConnection) -> QueryResult<R> + Send + 'static,
) -> Result<R, StoreError> {
    let deadline = Deadline::CONNECTION;
    let mut connection: Object<Files> = tokio::time::timeout(deadline.0, pool.get())
        .await
        .map_err(|_| StoreError::Slow(deadline))?
        .map_err(|error| StoreError::Connect(error.into()))?;
    let finished = tokio::task::spawn_blocking(move || query(&mut connection)).await;
    Ok(finished.map_err(StoreError::TaskLost)??)
}

fn pool(files: Files, size: usize) -> Result<Pool<Files>, StoreError> {
    let database = files.path.display().to_string();
    // The one that was used last: the others hold few pages and prepared statements.
    Pool::builder(files)
        .max_size(size)
        .queue_mode(QueueMode::Lifo)
        .build()
        .map_err(|error| StoreError::Open { database, source: error.into() })
}

struct Files {
    path: PathBuf,
    query_only: bool,
}

impl Manager for Files {
    type Type = SqliteConnection;
    type Error = diesel::ConnectionError;

    async fn create(&self) -> Result<SqliteConnection, diesel::ConnectionError> {
        let (path, query_only) = (self.path.clone(), self.query_only);
        let opened = tokio::task::spawn_blocking(move || {
            let mut connection = connect(&path)?;
            if query_only {
                connection
                    .batch_execute("PRAGMA query_only = ON")
                    .map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
            }
            Ok(connection)
        });
        opened.await.map_err(|error| diesel::ConnectionError::BadConnection(error.to_string()))?
    }

    async fn recycle(&self, _: &mut SqliteConnection, _: &Metrics) -> RecycleResult<diesel::ConnectionError> {
        Ok(())
    }
}

pub(super) fn connect(path: &Path) -> Result<SqliteConnection, diesel::ConnectionError> {
    let text = path.to_str().ok_or_else(|| diesel::ConnectionError::BadConnection("path is not UTF-8".to_owned()))?;
    let mut connection = SqliteConnection::establish(text)?;
    let milliseconds = BUSY_TIMEOUT.as_millis();
    connection
        .batch_execute(&format!(
            "PRAGMA busy_timeout = {milliseconds}; PRAGMA foreign_keys = ON; PRAGMA synchronous = NORMAL;"
        ))
        .map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
    Ok(connection)
}

/// Makes the file where it is missing, checks it and brings its tables up to date.
pub(super) fn prepare(path: &Path) -> Result<(), StoreError> {
    create(path)?;
    let mut connection = connect(path).map_err(|error| opening(path, error))?;
    check(&mut connection, path)?;
    let database = path.display().to_string();
    connection.immediate_transaction(|connection| migrations::run(connection, migrations::SQLITE, &database))
}

fn opening(path: &Path, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    let source = error.into();
    let text = source.to_string();
    if text.contains("not a database") || text.contains("malformed") {
        StoreError::Corrupt { path: path.to_owned(), source }
    } else {
        StoreError::Open { database: path.display().to_string(), source }
    }
}

/// The folder of the database, where it is missing.
pub(super) fn make_folder(path: &Path) -> Result<(), StoreError> {
    let Some(folder) = path.parent().filter(|it| !it.exists()) else { return Ok(()) };
    let failed = |source| StoreError::Create { path: folder.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)
}

/// The file holds password hashes: nobody else may read it, nor the -wal and -shm files, which take over its mode.
fn create(path: &Path) -> Result<(), StoreError> {
    make_folder(path)?;
    let failed = |source| StoreError::Create { path: path.to_owned(), source };
    OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(failed)?;
    Ok(())
}

#[derive(diesel::QueryableByName)]
struct CheckLine {
    #[diesel(sql_type = sql_types::Text)]
    quick_check: String,
}

/// Switches to write-ahead logging and looks through the file for damage.
fn check(connection: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    let begun = Instant::now();
    // While another process switches, SQLite answers "locked" here without waiting.
    while let Err(error) = connection.batch_execute("PRAGMA journal_mode = WAL") {
        if !error.to_string().contains("locked") || begun.elapsed() > OPEN_DEADLINE {
            return Err(opening(path, error));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    match diesel::sql_query("PRAGMA quick_check(1)").get_result::<CheckLine>(connection) {
        Ok(line) if line.quick_check == "ok" => Ok(()),
        Ok(line) => Err(StoreError::Corrupt { path: path.to_owned(), source: line.quick_check.into() }),
        Err(error) => Err(opening(path, error)),
    }
}
