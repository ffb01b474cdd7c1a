//! One suite of what every database must do, on SQLite a test each, on PostgreSQL in turn on one server.

mod arrivals;
mod changes;
mod found;
mod limits;
mod log_handlers;
mod ports;
mod postgres;
mod postgres_server;
mod postgres_tls;
mod reference;
mod restart_notices;
mod sealing;
mod services;
mod sqlite;
mod startup;
mod told_starts;
mod user_jobs;
mod users;

use std::collections::BTreeSet;

use super::{DatabaseUrl, NewUser, ProcessLock, Store, StoreError, query};
use crate::domain::record::{Details, NewService};
use crate::domain::{Credential, Json, ObjectId, ServerName, ServiceName, StartId};

/// An empty database of its own for one test.
pub(super) struct TestDatabase {
    url: DatabaseUrl,
    _folder: Option<tempfile::TempDir>,
}

impl TestDatabase {
    fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { url: DatabaseUrl::sqlite(&folder.path().join("k8smgr.sqlite3")).unwrap(), _folder: Some(folder) }
    }

    /// Each call connects anew, as another process does.
    async fn connect(&self) -> Store {
        Store::connect(&self.url).await.unwrap()
    }
}

impl postgres_server::PostgresServer {
    async fn database(&self, name: &str) -> TestDatabase {
        TestDatabase { url: self.create_database(name).await.parse().unwrap(), _folder: None }
    }
}

async fn execute(store: &Store, sql: &'static str) -> Result<usize, StoreError> {
    query!(store.write, |connection| diesel::sql_query(sql).execute(connection))
}

impl Store {
    fn is_writing(&self) -> bool {
        match &self.backend {
            super::Backend::Sqlite(pools) => pools.is_writing(),
            super::Backend::Postgres(_) => panic!("SQLite's"),
        }
    }
}

macro_rules! conformance {
    ($($module:ident::$test:ident),+ $(,)?) => {
        mod on_sqlite {
            use super::*;
            $(
                #[tokio::test]
                async fn $test() {
                    $module::$test(TestDatabase::sqlite()).await;
                }
            )+
        }

        #[tokio::test]
        async fn the_suite_holds_on_postgresql() {
            let server = postgres_server::PostgresServer::start().await;
            $(
                println!("{}", stringify!($test));
                $module::$test(server.database(stringify!($test)).await).await;
            )+
        }
    };
}

conformance! {
    startup::many_processes_may_start_at_once,
    startup::a_database_of_a_newer_version_is_refused,
    startup::the_installation_id_is_made_once,
    startup::a_caller_that_goes_away_leaves_the_store_usable,
    services::a_start_is_written_down_once,
    services::of_many_equal_starts_one_is_new,
    services::of_two_starts_with_one_object_id_one_wins,
    services::everything_written_is_read_back,
    services::a_service_moves_between_its_states,
    services::of_many_stops_one_begins,
    services::all_starts_of_a_name_stop_at_once,
    services::the_newest_start_of_a_name_is_found,
    services::a_credential_sees_its_own_services,
    services::services_are_found_by_state_and_end,
    services::an_ended_service_is_found_as_long_as_it_has_a_workload,
    services::names_with_several_starts_are_found,
    limits::a_full_flavor_takes_no_more_until_one_is_over,
    limits::users_have_limits_of_their_own,
    limits::no_race_passes_a_limit,
    limits::a_caller_that_goes_away_while_it_counts_leaves_nothing_open,
    limits::services_with_an_end_are_found_while_they_run,
    arrivals::a_stop_counts_for_a_start_that_is_not_written_down,
    arrivals::a_start_is_written_down_as_without_arrivals,
    services::a_sequence_is_never_used_again,
    services::a_row_that_cannot_be_read_is_told,
    users::a_user_is_created_once,
    users::a_user_is_changed,
    users::a_token_finds_its_user,
    users::a_user_with_services_is_not_deleted,
    changes::a_change_is_told_to_every_process,
    services::all_services_are_read_a_page_at_a_time,
    found::a_found_service_runs_at_once_and_is_written_down_once,
    found::only_running_adopted_services_are_looked_after,
    found::a_later_start_of_the_name_is_known,
    found::a_user_is_taken_as_it_is,
    found::a_password_hash_is_replaced_only_as_it_was_read,
    found::a_database_with_services_stays_its_installations,
    user_jobs::a_job_is_written_down_once_a_credential,
    user_jobs::a_state_changes_only_from_the_states_it_may,
    user_jobs::what_a_dead_process_had_in_hand_is_stopped,
    told_starts::one_process_tells_a_start_and_another_takes_over_what_it_leaves,
    restart_notices::a_notice_is_owed_until_it_was_taken,
    sealing::what_is_kept_of_requests_stands_nowhere_in_clear,
    sealing::every_way_to_write_and_read_a_service_knows_the_keys,
    sealing::a_key_that_is_missing_is_told_before_anything_is_done,
    sealing::what_cannot_be_opened_stops_neither_polls_nor_other_services,
    sealing::keys_are_changed_while_services_are_read,
    sealing::what_was_kept_in_clear_is_sealed_and_swept,
    sealing::a_rekey_that_was_cut_short_is_completed_by_the_next,
    sealing::a_lost_key_is_given_up,
    log_handlers::a_new_database_has_the_stream_handler,
    log_handlers::log_handlers_are_listed_as_they_were_added,
    log_handlers::a_log_handler_is_replaced_only_as_it_was_read,
}

fn credential(name: &str) -> Credential {
    Credential::parse(name).unwrap()
}

fn server(name: &str) -> ServerName {
    ServerName::parse(name).unwrap()
}

fn new_service(credential_name: &str, server_name: &str, start_id: &str) -> NewService {
    let (server_name, start_id) = (server(server_name), StartId::parse(start_id).unwrap());
    NewService {
        credential: credential(credential_name),
        object_id: ObjectId::new(&server_name, &start_id),
        server_name,
        start_id,
        service: ServiceName::parse("JupyterLab/Run").unwrap(),
        user_options: Json::parse(br#"{"service":"JupyterLab/Run"}"#).unwrap(),
        jhub_user_id: 7,
        start_date: "2026-11-20T10:45:39.779477Z".parse().unwrap(),
        namespace: "golden".to_owned(),
        objects: Vec::new(),
        update_manifest: None,
        flavor: None,
        ends_at: None,
    }
}

fn new_user(name: &str) -> NewUser {
    NewUser {
        name: credential(name),
        password_hash: Some("hash".to_owned()),
        is_superuser: false,
        groups: BTreeSet::new(),
    }
}
