//! What a failed connection to PostgreSQL means: a server that is not up yet, or one that will never let us in.

use diesel::ConnectionError;

use super::StoreError;

/// What PostgreSQL answers while it starts, ends, or has too many connections: classes 08, 53 and 57.
const PASSING_CLASSES: [&str; 3] = ["08", "53", "57"];

/// A connection that could not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    /// Its text holds the sources.
    #[error("{}", with_sources(.0))]
    Postgres(tokio_postgres::Error),
    #[error(transparent)]
    Diesel(#[from] ConnectionError),
}

impl From<tokio_postgres::Error> for DialError {
    fn from(error: tokio_postgres::Error) -> Self {
        DialError::Postgres(error)
    }
}

impl DialError {
    /// diesel keeps a text alone; the reason (refused, wrong password, bad certificate) is in the sources.
    pub(super) fn into_diesel(self) -> ConnectionError {
        match self {
            DialError::Diesel(error) => error,
            error @ DialError::Postgres(_) => ConnectionError::BadConnection(error.to_string()),
        }
    }

    /// The server may let us in a little later.
    fn is_passing(&self) -> bool {
        let DialError::Postgres(error) = self else { return false };
        if let Some(answer) = error.as_db_error() {
            return PASSING_CLASSES.iter().any(|class| answer.code().code().starts_with(class));
        }
        error.is_closed() || is_network(error)
    }
}

/// No answer, no such host, a connection that broke: but not a certificate that is refused, which is an I/O error too.
fn is_network(error: &dyn std::error::Error) -> bool {
    let mut sources = std::iter::successors(error.source(), |it| it.source());
    let io = sources.find_map(|it| it.downcast_ref::<std::io::Error>());
    io.is_some_and(|io| !io.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()))
}

pub(super) fn explain(error: DialError, database: &str) -> StoreError {
    let database = database.to_owned();
    match error.is_passing() {
        true => StoreError::NotUp { database, source: Box::new(error) },
        false => StoreError::Refused { database, source: Box::new(error) },
    }
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(Some(error), |it| it.source()).map(ToString::to_string);
    sources.collect::<Vec<_>>().join(": ")
}
