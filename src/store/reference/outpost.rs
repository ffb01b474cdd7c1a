//! The tables of JupyterHub Outpost 2: `jupyterhub` names the hubs, `service` holds the starts. Body and state are sealed with its
//! key and stay so here.

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

/// All that an Outpost keeps.
pub struct OutpostDatabase {
    pub hubs: Vec<String>,
    /// Oldest first.
    pub services: Vec<OutpostService>,
}

/// A start. Times are UTC, such as `2026-11-20 11:36:30.415840`; a column that may be empty has Outpost's own default.
#[derive(Clone, QueryableByName)]
pub struct OutpostService {
    #[diesel(sql_type = Text)]
    pub name: String,
    #[diesel(sql_type = Text)]
    pub start_id: String,
    /// The login of its hub.
    #[diesel(sql_type = Text)]
    pub jupyterhub_username: String,
    #[diesel(sql_type = BigInt)]
    pub jupyterhub_user_id: i64,
    #[diesel(sql_type = Nullable<Text>)]
    pub start_date: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub end_date: Option<String>,
    /// Its start went well, and `state` says what it made.
    #[diesel(sql_type = Bool)]
    pub state_stored: bool,
    #[diesel(sql_type = Bool)]
    pub stop_pending: bool,
    /// A Fernet token of JSON: `env`, `misc`, `user_options`.
    #[diesel(sql_type = Nullable<Binary>)]
    pub body: Option<Vec<u8>>,
    /// A Fernet token of JSON: what its spawner needs to find it again.
    #[diesel(sql_type = Nullable<Binary>)]
    pub state: Option<Vec<u8>>,
    /// A Fernet token of JSON: what its start was answered.
    #[diesel(sql_type = Nullable<Binary>)]
    pub start_response: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Text>)]
    pub flavor: Option<String>,
}

pub(super) const HUBS: &str = "SELECT name FROM jupyterhub ORDER BY name";

pub(super) const OF_SQLITE: &str = "SELECT COALESCE(name, '') AS name, COALESCE(start_id, '0') AS start_id, \
     jupyterhub_username, CAST(COALESCE(jupyterhub_user_id, 0) AS BIGINT) AS jupyterhub_user_id, \
     CAST(start_date AS TEXT) AS start_date, CAST(end_date AS TEXT) AS end_date, \
     COALESCE(state_stored, 0) AS state_stored, COALESCE(stop_pending, 0) AS stop_pending, body, state, \
     start_response, flavor \
     FROM service ORDER BY id";

pub(super) const OF_POSTGRES: &str = "SELECT COALESCE(name, '') AS name, COALESCE(start_id, '0') AS start_id, \
     jupyterhub_username, CAST(COALESCE(jupyterhub_user_id, 0) AS BIGINT) AS jupyterhub_user_id, \
     to_char(start_date AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') AS start_date, \
     to_char(end_date AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') AS end_date, \
     COALESCE(state_stored, FALSE) AS state_stored, COALESCE(stop_pending, FALSE) AS stop_pending, body, state, \
     start_response, flavor \
     FROM service ORDER BY id";

/// As in `tables.rs`.
macro_rules! read_all {
    ($connection:expr, $services:expr $(, $await:tt)?) => {{
        let hubs: Vec<Named> = diesel::sql_query(outpost::HUBS).load($connection)$(.$await)??;
        let services = diesel::sql_query($services).load($connection)$(.$await)??;
        outpost::OutpostDatabase { hubs: hubs.into_iter().map(|it| it.name).collect(), services }
    }};
}
pub(super) use read_all;
