//! The database of a predecessor, read and never written, in SQLite or PostgreSQL: of the reference implementation (Django's
//! tables) or of JupyterHub Outpost (SQLAlchemy's). Which one it is its tables tell.
//!
//! What is read is what stands there, as text; whoever takes it over checks it. All tables are read in one transaction.

mod outpost;
mod tables;

use std::path::{Path, PathBuf};

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use secrecy::SecretString;

use super::url::{Kind, PostgresUrl};
use super::{DatabaseUrl, StoreError, postgres};

pub use outpost::{OutpostDatabase, OutpostService};

/// What there is to be taken over.
pub enum Predecessor {
    K8sManager(ReferenceDatabase),
    Outpost(OutpostDatabase),
}

/// All that the reference keeps.
pub struct ReferenceDatabase {
    pub users: Vec<ReferenceUser>,
    pub tokens: Vec<ReferenceToken>,
    /// Oldest first.
    pub services: Vec<ReferenceService>,
    pub log_handlers: Vec<ReferenceLogHandler>,
    pub user_jobs: Vec<ReferenceUserJob>,
}

pub struct ReferenceUser {
    pub name: String,
    /// `pbkdf2_sha256$iterations$salt$hash`, another of Django's forms, or `!...` where there is no password.
    pub password: SecretString,
    pub is_superuser: bool,
    pub is_active: bool,
    pub groups: Vec<String>,
}

pub struct ReferenceToken {
    pub user: String,
    pub key: SecretString,
}

#[derive(Clone, Debug)]
pub struct ReferenceService {
    pub credential: String,
    pub server_name: String,
    pub start_id: String,
    /// UTC, such as `2026-11-20 11:36:30.415840`.
    pub start_date: String,
    /// JSON.
    pub user_options: String,
    pub jhub_user_id: i64,
    pub is_stopping: bool,
}

/// The configuration may hold addresses, no secrets.
#[derive(Clone, Debug)]
pub struct ReferenceLogHandler {
    pub handler: String,
    /// JSON.
    pub configuration: String,
}

#[derive(Clone, Debug)]
pub struct ReferenceUserJob {
    pub credential: String,
    pub service: String,
    pub hostname: String,
    pub target_node: String,
    /// JSON.
    pub ports: String,
}

#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    #[error("there is no file {0}")]
    NoFile(PathBuf),
    #[error("failed to open {database}")]
    Open { database: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error(
        "{database} is no database of the Python K8s Manager, it has no table {table}; nor one of JupyterHub Outpost, which has \
         the tables jupyterhub and service"
    )]
    NoTable { database: String, table: &'static str },
    #[error("failed to read {database}")]
    Read { database: String, source: diesel::result::Error },
    #[error("failed to read {database}")]
    Broke { database: String, source: StoreError },
}

impl Predecessor {
    pub async fn read(url: &DatabaseUrl) -> Result<Self, ReferenceError> {
        match url.kind() {
            Kind::Sqlite(path) => {
                let (path, database) = (path.clone(), url.to_string());
                let lost = database.clone();
                let read = tokio::task::spawn_blocking(move || from_sqlite(&path, &database)).await;
                read.map_err(|error| ReferenceError::Broke { database: lost, source: StoreError::TaskLost(error) })?
            }
            Kind::Postgres(it) => from_postgres(it, &url.to_string()).await,
        }
    }
}

fn from_sqlite(path: &Path, database: &str) -> Result<Predecessor, ReferenceError> {
    // SQLite would make it.
    if !path.is_file() {
        return Err(ReferenceError::NoFile(path.to_owned()));
    }
    let open = |source: Box<dyn std::error::Error + Send + Sync>| ReferenceError::Open {
        database: database.to_owned(),
        source,
    };
    let mut connection = SqliteConnection::establish(&path.display().to_string()).map_err(|it| open(it.into()))?;
    connection
        .batch_execute("PRAGMA query_only = ON; PRAGMA busy_timeout = 5000; BEGIN")
        .map_err(|it| open(it.into()))?;
    tables::from_sqlite(&mut connection).map_err(|error| error.of(database))
}

async fn from_postgres(url: &PostgresUrl, database: &str) -> Result<Predecessor, ReferenceError> {
    use diesel_async::SimpleAsyncConnection;
    let open = |source| ReferenceError::Open { database: database.to_owned(), source };
    let mut connection = postgres::connect(url).await.map_err(open)?;
    let read = async {
        connection.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        tables::from_postgres(&mut connection).await
    };
    read.await.map_err(|error| error.of(database))
}
