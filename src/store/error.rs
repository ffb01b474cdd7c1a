//! What can go wrong with the database, told so that an operator knows what to do. No text holds a password.

use std::path::PathBuf;

use super::Deadline;

type Source = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("failed to create {path}, where the database belongs")]
    Create { path: PathBuf, source: std::io::Error },
    #[error("failed to open the database {database}")]
    Open { database: String, source: Source },
    #[error(
        "the database file {path} is damaged or is no SQLite database; put a backup in its place, or move it away \
         (with its -wal and -shm files) to begin with an empty one"
    )]
    Corrupt { path: PathBuf, source: Source },
    #[error(
        "the database {database} was written by a newer version of K8s Manager (it has the migration {migration}); \
         use that version, or a backup from before the upgrade"
    )]
    Newer { database: String, migration: String },
    #[error("failed to bring the tables of {database} up to date")]
    Migrate { database: String, source: Source },
    #[error("failed to connect to the database")]
    Connect(#[source] Source),
    #[error("the database did not answer within {0}")]
    Slow(Deadline),
    #[error("the database does not answer for now")]
    Away,
    #[error("database query failed")]
    Query(#[from] diesel::result::Error),
    #[error("failed to read {what} `{value}` from the database")]
    Unreadable { what: &'static str, value: String },
    #[error("failed to write {what} as JSON")]
    Unwritable { what: &'static str, source: serde_json::Error },
    #[error("a background task of the database was lost")]
    TaskLost(#[source] tokio::task::JoinError),
    #[error("user `{name}` still has {services} services; stop them first")]
    UserHasServices { name: String, services: i64 },
}
