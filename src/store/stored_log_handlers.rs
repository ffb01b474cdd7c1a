//! The stored log handlers, for whoever checks an installation: nothing is made, brought up to date or locked.

use diesel::connection::SimpleConnection;
use diesel::sql_types::BigInt;
use diesel::{Connection, QueryDsl, QueryableByName, SqliteConnection};

use super::schema::log_handlers::dsl;
use super::url::Kind;
use super::{DatabaseUrl, Deadline, StoreError, in_time, postgres};

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    tables: i64,
}

const SQLITE_TABLES: &str =
    "SELECT count(*) AS tables FROM sqlite_master WHERE type = 'table' AND name = 'log_handlers'";
const POSTGRES_TABLES: &str = "SELECT count(*) AS tables FROM information_schema.tables \
     WHERE table_name = 'log_handlers' AND table_schema = ANY (current_schemas(false))";

/// Names and configurations as they stand there, oldest first; `None` where there is no database of ours yet.
pub async fn stored_log_handlers(url: &DatabaseUrl) -> Result<Option<Vec<(String, String)>>, StoreError> {
    let database = url.to_string();
    match url.kind() {
        Kind::Sqlite(path) => {
            let path = path.clone();
            let read = move || {
                // SQLite would make it.
                if !path.is_file() {
                    return Ok(None);
                }
                let open = |source: diesel::ConnectionError| StoreError::Open { database, source: source.into() };
                let mut connection = SqliteConnection::establish(&path.display().to_string()).map_err(open)?;
                Ok(from_sqlite(&mut connection)?)
            };
            tokio::task::spawn_blocking(read).await.map_err(StoreError::TaskLost)?
        }
        Kind::Postgres(url) => {
            use diesel_async::RunQueryDsl;
            let connected = tokio::time::timeout(Deadline::QUERY.0, postgres::connect(url)).await;
            let connected = connected.map_err(|_| StoreError::Slow(Deadline::QUERY))?;
            let mut connection = connected.map_err(|source| StoreError::NotUp { database, source })?;
            let count = diesel::sql_query(POSTGRES_TABLES).get_result::<Count>(&mut connection);
            if in_time(count).await?.tables == 0 {
                return Ok(None);
            }
            let rows = dsl::log_handlers.order(dsl::sequence).select((dsl::handler, dsl::configuration));
            Ok(Some(in_time(rows.load(&mut connection)).await?))
        }
    }
}

fn from_sqlite(connection: &mut SqliteConnection) -> diesel::QueryResult<Option<Vec<(String, String)>>> {
    use diesel::RunQueryDsl;
    connection.batch_execute("PRAGMA query_only = ON; PRAGMA busy_timeout = 5000")?;
    if diesel::sql_query(SQLITE_TABLES).get_result::<Count>(connection)?.tables == 0 {
        return Ok(None);
    }
    dsl::log_handlers.order(dsl::sequence).select((dsl::handler, dsl::configuration)).load(connection).map(Some)
}
