//! What recovery asks of all services at once: little of each row, and only rows that matter.

use diesel::{ExpressionMethods, QueryDsl, SelectableHelper, TextExpressionMethods};
use jiff::Timestamp;

use super::schema::services::dsl;
use super::services::{Row, readable, time};
use super::{Store, StoreError, query};
use crate::domain::{Credential, ServerName, ServiceRecord, ServiceState, StartId};

/// What tells one start from all others, and its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceKey {
    pub sequence: i64,
    pub credential: Credential,
    pub server_name: ServerName,
    pub start_id: StartId,
    pub start_date: Timestamp,
    pub state: ServiceState,
}

impl Store {
    /// The keys of all services. Fails where one cannot be read: whoever asks takes what is missing for gone.
    pub async fn service_keys(&self) -> Result<Vec<ServiceKey>, StoreError> {
        type Columns = (i64, String, String, String, i64, String);
        let rows = query!(self.read, |connection| dsl::services
            .order(dsl::sequence)
            .select((dsl::sequence, dsl::credential, dsl::server_name, dsl::start_id, dsl::start_date, dsl::state))
            .load::<Columns>(connection))?;
        rows.into_iter()
            .map(|(sequence, credential, server_name, start_id, start_date, state)| {
                Ok(ServiceKey {
                    sequence,
                    credential: readable("credential", &credential, |it| Credential::parse(it).ok())?,
                    server_name: readable("server name", &server_name, |it| ServerName::stored(it).ok())?,
                    start_id: readable("start id", &start_id, |it| StartId::parse(it).ok())?,
                    start_date: time("start date", start_date)?,
                    state: readable("state", &state, ServiceState::from_stored)?,
                })
            })
            .collect()
    }

    /// The services that ended by themselves, and when.
    pub async fn ended(&self) -> Result<Vec<(i64, Timestamp)>, StoreError> {
        let rows = query!(self.read, |connection| dsl::services
            .filter(dsl::state.eq(ServiceState::Ended.as_str()))
            .order(dsl::sequence)
            .select((dsl::sequence, dsl::ended_at))
            .load::<(i64, Option<i64>)>(connection))?;
        // Without a time it ended at the beginning of time.
        rows.into_iter().map(|(sequence, ended_at)| Ok((sequence, time("end", ended_at.unwrap_or(0))?))).collect()
    }

    /// The services that ended and whose workload is not deleted yet.
    pub async fn ended_with_workload(&self) -> Result<Vec<ServiceRecord>, StoreError> {
        self.all(query!(self.read, |connection| dsl::services
            .filter(dsl::state.eq(ServiceState::Ended.as_str()))
            .filter(dsl::objects.like("%\"is_workload\":true%"))
            .order(dsl::sequence)
            .select(Row::as_select())
            .load(connection))?)
    }
}
