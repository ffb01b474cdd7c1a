//! Backup and restore of a SQLite file. A backup is whole and of one moment, while the service runs; a restore changes
//! nothing until the backup was found to be good, and throws nothing away.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::SqliteConnection;
use diesel::{QueryableByName, RunQueryDsl, sql_query};
use jiff::Timestamp;

use super::url::Kind;
use super::{DatabaseUrl, ProcessLock, StoreError, sqlite};

#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("{0} is a PostgreSQL database: use pg_dump and pg_restore for it")]
    Postgres(String),
    #[error("there is no database {0}")]
    NoDatabase(PathBuf),
    #[error("{0} is there already; give another name, or move it away")]
    Exists(PathBuf),
    #[error("{0} is no backup of a database of K8s Manager")]
    NoBackup(PathBuf),
    #[error("a process has the database {0} open; stop every `k8smgr serve` that uses it first")]
    InUse(PathBuf),
    #[error("failed to write {path}")]
    Write { path: PathBuf, source: io::Error },
    #[error("failed to copy the database to {path}")]
    Copy { path: PathBuf, source: diesel::result::Error },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a restore did.
#[derive(Debug)]
pub struct Restored {
    /// Where the database that was there before is now.
    pub kept: Option<PathBuf>,
}

/// Copies the database to a new file.
pub async fn back_up(url: &DatabaseUrl, to: &Path) -> Result<(), BackupError> {
    let (database, to) = (file_of(url)?, to.to_owned());
    blocking(move || back_up_file(&database, &to)).await
}

/// Puts a backup in the place of the database.
pub async fn restore(url: &DatabaseUrl, from: &Path) -> Result<Restored, BackupError> {
    let (database, from) = (file_of(url)?, from.to_owned());
    // Also against a process that has not opened its database yet.
    let _lock = ProcessLock::take(url).map_err(|error| match error {
        StoreError::Served { database, .. } => BackupError::InUse(database),
        other => BackupError::Store(other),
    })?;
    blocking(move || restore_file(&database, &from)).await
}

fn file_of(url: &DatabaseUrl) -> Result<PathBuf, BackupError> {
    match url.kind() {
        Kind::Sqlite(path) => Ok(path.clone()),
        Kind::Postgres(_) => Err(BackupError::Postgres(url.to_string())),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, BackupError> {
    tokio::task::spawn_blocking(work).await.map_err(StoreError::TaskLost)?
}

fn back_up_file(database: &Path, to: &Path) -> Result<(), BackupError> {
    if !database.is_file() {
        return Err(BackupError::NoDatabase(database.to_owned()));
    }
    if to.exists() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    let mut connection = open(database)?;
    // Under its own name only when it is whole.
    let partial = Partial::make(to)?;
    let text = partial.0.display().to_string();
    let copied = sql_query("VACUUM INTO ?").bind::<Text, _>(text).execute(&mut connection);
    copied.map_err(|source| BackupError::Copy { path: to.to_owned(), source })?;
    partial.synchronise()?;
    // Unlike a rename this never takes the place of a file that came meanwhile.
    fs::hard_link(&partial.0, to).map_err(writing(to))?;
    synchronise_folder(to)
}

fn restore_file(database: &Path, from: &Path) -> Result<Restored, BackupError> {
    if !is_of_k8smgr(from) {
        return Err(BackupError::NoBackup(from.to_owned()));
    }
    let partial = Partial::make(database)?;
    let mut copy = OpenOptions::new().write(true).truncate(true).open(&partial.0).map_err(writing(&partial.0))?;
    io::copy(&mut File::open(from).map_err(writing(from))?, &mut copy).map_err(writing(&partial.0))?;
    // Looks through it for damage and brings it up to date; a newer version's is refused.
    sqlite::prepare(&partial.0)?;
    partial.synchronise()?;
    let kept = match database.exists() {
        true => Some(move_away(database)?),
        false => None,
    };
    fs::rename(&partial.0, database).map_err(writing(database))?;
    synchronise_folder(database)?;
    Ok(Restored { kept })
}

/// Moves the database and what belongs to it aside. A database that somebody has open stays.
fn move_away(database: &Path) -> Result<PathBuf, BackupError> {
    leave_write_ahead_log(database)?;
    let suffix = Timestamp::now().strftime(".before-restore-%Y%m%dT%H%M%S.%3fZ").to_string();
    let kept = beside(database, &suffix);
    for part in ["-wal", "-shm"] {
        match fs::rename(beside(database, part), beside(&kept, part)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(writing(database)(error)),
            _ => {}
        }
    }
    fs::rename(database, &kept).map_err(writing(database))?;
    Ok(kept)
}

#[derive(QueryableByName)]
struct JournalMode {
    #[diesel(sql_type = Text)]
    journal_mode: String,
}

/// SQLite leaves write-ahead logging only when nobody else has the file open: all is in one file then, and nobody
/// writes to it. A file that is damaged is moved as it is.
fn leave_write_ahead_log(database: &Path) -> Result<(), BackupError> {
    let Ok(mut connection) = open(database) else { return Ok(()) };
    match sql_query("PRAGMA journal_mode = DELETE").get_result::<JournalMode>(&mut connection) {
        Ok(mode) if mode.journal_mode == "delete" => Ok(()),
        Ok(_) => Err(BackupError::InUse(database.to_owned())),
        Err(error) if error.to_string().contains("locked") => Err(BackupError::InUse(database.to_owned())),
        Err(error) => {
            tracing::warn!(%error, "the database that is there is damaged");
            Ok(())
        }
    }
}

fn open(database: &Path) -> Result<SqliteConnection, BackupError> {
    let opened = sqlite::connect(database);
    Ok(opened.map_err(|error| StoreError::Open { database: database.display().to_string(), source: error.into() })?)
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    tables: i64,
}

fn is_of_k8smgr(path: &Path) -> bool {
    let tables = "SELECT count(*) AS tables FROM sqlite_master \
                  WHERE type = 'table' AND name IN ('installation', 'services', '__diesel_schema_migrations')";
    let count = |mut connection: SqliteConnection| sql_query(tables).get_result::<Count>(&mut connection).ok();
    path.is_file() && sqlite::connect(path).ok().and_then(count).is_some_and(|it| it.tables == 3)
}

/// A file beside another, on the same file system, that goes when it is dropped. For us alone: it holds password hashes.
struct Partial(PathBuf);

impl Partial {
    fn make(target: &Path) -> Result<Self, BackupError> {
        let path = beside(target, &format!(".partial-{}", std::process::id()));
        let partial = Self(path);
        partial.remove();
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial.0).map_err(writing(&partial.0))?;
        Ok(partial)
    }

    fn synchronise(&self) -> Result<(), BackupError> {
        File::open(&self.0).and_then(|it| it.sync_all()).map_err(writing(&self.0))
    }

    fn remove(&self) {
        for part in ["", "-wal", "-shm", "-journal"] {
            let _ = fs::remove_file(beside(&self.0, part));
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        self.remove();
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

fn synchronise_folder(path: &Path) -> Result<(), BackupError> {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|it| it.sync_all()).map_err(writing(folder))
}

fn writing(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::Write { path, source }
}
