//! The statements, once for both databases: they differ in how a time becomes text and where tables are listed.

use diesel::sql_types::{BigInt, Bool, Text};
use diesel::{QueryableByName, SqliteConnection};
use diesel_async::AsyncPgConnection;

use super::outpost;
use super::{
    Predecessor, ReferenceDatabase, ReferenceError, ReferenceLogHandler, ReferenceService, ReferenceToken,
    ReferenceUser, ReferenceUserJob,
};

const USERS: &str = "SELECT username, password, is_superuser, is_active FROM auth_user ORDER BY id";
const GROUPS: &str = "SELECT u.username AS username, g.name AS name FROM auth_user_groups m \
     JOIN auth_user u ON u.id = m.user_id JOIN auth_group g ON g.id = m.group_id ORDER BY m.id";
const TOKENS: &str = "SELECT u.username AS username, t.key AS name FROM authtoken_token t \
     JOIN auth_user u ON u.id = t.user_id ORDER BY t.created";
const LOG_HANDLERS: &str = "SELECT handler, CAST(configuration AS TEXT) AS configuration FROM logs_handlermodel";
const USER_JOBS: &str = "SELECT jhub_credential, service, hostname, target_node, CAST(used_ports AS TEXT) AS ports \
     FROM services_userjobsmodel ORDER BY id";

struct Dialect {
    tables: &'static str,
    services: &'static str,
    outpost: &'static str,
}

const SQLITE: Dialect = Dialect {
    tables: "SELECT name FROM sqlite_master WHERE type = 'table'",
    services: "SELECT jhub_credential, servername, start_id, CAST(start_date AS TEXT) AS start_date, \
         CAST(user_options AS TEXT) AS user_options, CAST(jhub_user_id AS BIGINT) AS jhub_user_id, stop_pending \
         FROM services_servicesmodel ORDER BY id",
    outpost: outpost::OF_SQLITE,
};

const POSTGRES: Dialect = Dialect {
    tables: "SELECT CAST(table_name AS TEXT) AS name FROM information_schema.tables \
         WHERE table_schema = ANY (current_schemas(false))",
    services: "SELECT jhub_credential, servername, start_id, \
         to_char(start_date AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') AS start_date, \
         CAST(user_options AS TEXT) AS user_options, CAST(jhub_user_id AS BIGINT) AS jhub_user_id, stop_pending \
         FROM services_servicesmodel ORDER BY id",
    outpost: outpost::OF_POSTGRES,
};

/// Without these it is another database; the other tables may be missing.
const NEEDED: [&str; 4] = ["auth_user", "auth_group", "auth_user_groups", "services_servicesmodel"];

const OF_OUTPOST: [&str; 2] = ["jupyterhub", "service"];

#[derive(QueryableByName)]
struct Named {
    #[diesel(sql_type = Text)]
    name: String,
}

#[derive(QueryableByName)]
struct UserRow {
    #[diesel(sql_type = Text)]
    username: String,
    #[diesel(sql_type = Text)]
    password: String,
    #[diesel(sql_type = Bool)]
    is_superuser: bool,
    #[diesel(sql_type = Bool)]
    is_active: bool,
}

/// A group's name, or a token.
#[derive(QueryableByName)]
struct OfUser {
    #[diesel(sql_type = Text)]
    username: String,
    #[diesel(sql_type = Text)]
    name: String,
}

#[derive(QueryableByName)]
struct ServiceRow {
    #[diesel(sql_type = Text)]
    jhub_credential: String,
    #[diesel(sql_type = Text)]
    servername: String,
    #[diesel(sql_type = Text)]
    start_id: String,
    #[diesel(sql_type = Text)]
    start_date: String,
    #[diesel(sql_type = Text)]
    user_options: String,
    #[diesel(sql_type = BigInt)]
    jhub_user_id: i64,
    #[diesel(sql_type = Bool)]
    stop_pending: bool,
}

#[derive(QueryableByName)]
struct LogHandlerRow {
    #[diesel(sql_type = Text)]
    handler: String,
    #[diesel(sql_type = Text)]
    configuration: String,
}

#[derive(QueryableByName)]
struct UserJobRow {
    #[diesel(sql_type = Text)]
    jhub_credential: String,
    #[diesel(sql_type = Text)]
    service: String,
    #[diesel(sql_type = Text)]
    hostname: String,
    #[diesel(sql_type = Text)]
    target_node: String,
    #[diesel(sql_type = Text)]
    ports: String,
}

pub(super) enum ReadError {
    NoTable(&'static str),
    Query(diesel::result::Error),
}

impl From<diesel::result::Error> for ReadError {
    fn from(error: diesel::result::Error) -> Self {
        ReadError::Query(error)
    }
}

impl ReadError {
    pub(super) fn of(self, database: &str) -> ReferenceError {
        let database = database.to_owned();
        match self {
            ReadError::NoTable(table) => ReferenceError::NoTable { database, table },
            ReadError::Query(source) => ReferenceError::Read { database, source },
        }
    }
}

/// All rows of all tables; the last argument is `await` where the connection is asynchronous.
macro_rules! read_all {
    ($connection:expr, $dialect:expr $(, $await:tt)?) => {{
        let tables: Vec<Named> = diesel::sql_query($dialect.tables).load($connection)$(.$await)??;
        let has = |table: &str| tables.iter().any(|it| it.name == table);
        if !has(NEEDED[0]) && OF_OUTPOST.into_iter().all(has) {
            return Ok(Predecessor::Outpost(outpost::read_all!($connection, $dialect.outpost $(, $await)?)));
        }
        if let Some(missing) = NEEDED.into_iter().find(|it| !has(it)) {
            return Err(ReadError::NoTable(missing));
        }
        let users: Vec<UserRow> = diesel::sql_query(USERS).load($connection)$(.$await)??;
        let groups: Vec<OfUser> = diesel::sql_query(GROUPS).load($connection)$(.$await)??;
        let services: Vec<ServiceRow> = diesel::sql_query($dialect.services).load($connection)$(.$await)??;
        let tokens: Vec<OfUser> = match has("authtoken_token") {
            true => diesel::sql_query(TOKENS).load($connection)$(.$await)??,
            false => Vec::new(),
        };
        let log_handlers: Vec<LogHandlerRow> = match has("logs_handlermodel") {
            true => diesel::sql_query(LOG_HANDLERS).load($connection)$(.$await)??,
            false => Vec::new(),
        };
        let user_jobs: Vec<UserJobRow> = match has("services_userjobsmodel") {
            true => diesel::sql_query(USER_JOBS).load($connection)$(.$await)??,
            false => Vec::new(),
        };
        Ok(Predecessor::K8sManager(Rows { users, groups, services, tokens, log_handlers, user_jobs }.into()))
    }};
}

pub(super) fn from_sqlite(connection: &mut SqliteConnection) -> Result<Predecessor, ReadError> {
    use diesel::RunQueryDsl;
    read_all!(connection, SQLITE)
}

pub(super) async fn from_postgres(connection: &mut AsyncPgConnection) -> Result<Predecessor, ReadError> {
    use diesel_async::RunQueryDsl;
    read_all!(connection, POSTGRES, await)
}

struct Rows {
    users: Vec<UserRow>,
    groups: Vec<OfUser>,
    services: Vec<ServiceRow>,
    tokens: Vec<OfUser>,
    log_handlers: Vec<LogHandlerRow>,
    user_jobs: Vec<UserJobRow>,
}

impl From<Rows> for ReferenceDatabase {
    fn from(rows: Rows) -> Self {
        let groups_of =
            |user: &str| rows.groups.iter().filter(|it| it.username == user).map(|it| it.name.clone()).collect();
        let user = |it: UserRow| ReferenceUser {
            groups: groups_of(&it.username),
            name: it.username,
            password: it.password.into(),
            is_superuser: it.is_superuser,
            is_active: it.is_active,
        };
        let token = |it: OfUser| ReferenceToken { user: it.username, key: it.name.into() };
        let service = |it: ServiceRow| ReferenceService {
            credential: it.jhub_credential,
            server_name: it.servername,
            start_id: it.start_id,
            start_date: it.start_date,
            user_options: it.user_options,
            jhub_user_id: it.jhub_user_id,
            is_stopping: it.stop_pending,
        };
        let log_handler =
            |it: LogHandlerRow| ReferenceLogHandler { handler: it.handler, configuration: it.configuration };
        let user_job = |it: UserJobRow| ReferenceUserJob {
            credential: it.jhub_credential,
            service: it.service,
            hostname: it.hostname,
            target_node: it.target_node,
            ports: it.ports,
        };
        Self {
            users: rows.users.into_iter().map(user).collect(),
            tokens: rows.tokens.into_iter().map(token).collect(),
            services: rows.services.into_iter().map(service).collect(),
            log_handlers: rows.log_handlers.into_iter().map(log_handler).collect(),
            user_jobs: rows.user_jobs.into_iter().map(user_job).collect(),
        }
    }
}
