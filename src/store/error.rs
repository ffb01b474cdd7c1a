//! What can go wrong with the database, told so that an operator knows what to do. No text holds a password.

use std::path::PathBuf;

use super::Deadline;
use super::sealing::MissingKeys;

type Source = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("failed to create {path}; K8s Manager must be able to write to the folder of its database")]
    Create { path: PathBuf, source: std::io::Error },
    #[error(
        "another K8s Manager ({holder}) serves the database {database}; end it first, or use PostgreSQL for several \
         replicas"
    )]
    Served { database: PathBuf, holder: String },
    #[error("failed to open the database {database}")]
    Open { database: String, source: Source },
    #[error(
        "the database file {path} is damaged or is no SQLite database; put a backup in its place with `k8smgr restore`, \
         or move it away (with its -wal and -shm files) and restore its records from the cluster with `k8smgr rebuild`"
    )]
    Corrupt { path: PathBuf, source: Source },
    #[error(
        "the database {database} was written by a newer version of K8s Manager (it has the migration {migration}); \
         use that version, or a backup from before the upgrade"
    )]
    Newer { database: String, migration: String },
    #[error("the database {database} does not answer")]
    NotUp { database: String, source: Source },
    #[error("the database server refuses {database}; check user, password, name and TLS options in the database URL")]
    Refused { database: String, source: Source },
    #[error("another K8s Manager is bringing the tables of {database} up to date")]
    MigratedByAnother { database: String },
    #[error("failed to bring the tables of {database} up to date")]
    Migrate { database: String, source: Source },
    #[error("failed to connect to the database")]
    Connect(#[source] Source),
    #[error("the database did not answer within {0}")]
    Slow(Deadline),
    #[error("the database does not answer for now")]
    Away,
    #[error("the database did not answer in time")]
    LockUnanswered,
    #[error("database query failed")]
    Query(#[from] diesel::result::Error),
    #[error("failed to read {what} `{value}` from the database")]
    Unreadable { what: &'static str, value: String },
    #[error("failed to seal {0}: it is too long")]
    NotSealed(&'static str),
    #[error(
        "what the database keeps of requests is sealed by keys that were not given: {0}. Give them in K8SMGR_CRYPT_KEYS or \
         K8SMGR_CRYPT_KEYS_FILE; where a key is lost for good, `k8smgr rekey --forget <key id>` gives up what it sealed"
    )]
    KeysMissing(MissingKeys),
    #[error("there is no key to seal with: give it in K8SMGR_CRYPT_KEYS or K8SMGR_CRYPT_KEYS_FILE")]
    NoKeys,
    #[error("failed to write {what} as JSON")]
    Unwritable { what: &'static str, source: serde_json::Error },
    #[error("a background task of the database was lost")]
    TaskLost(#[source] tokio::task::JoinError),
    #[error("user `{name}` still has {services} services; stop them first")]
    UserHasServices { name: String, services: i64 },
}

impl StoreError {
    /// The database server may be up a little later: worth waiting for at the start of the process.
    pub fn may_come_up(&self) -> bool {
        matches!(self, StoreError::NotUp { .. } | StoreError::MigratedByAnother { .. } | StoreError::Slow(_))
            || super::postgres::connection_was_lost(self)
    }
}
