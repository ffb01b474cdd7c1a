//! What operators see of the database: services by state, and the pools.

use diesel::dsl::count_star;
use diesel::{ExpressionMethods, QueryDsl};

use super::schema::services::dsl;
use super::{Backend, Store, StoreError, query};
use crate::domain::record::ServiceState;

/// How many services of a hub are in a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceCount {
    pub credential: String,
    pub state: ServiceState,
    pub number: i64,
}

/// A pool of connections as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStatus {
    pub name: &'static str,
    pub idle: usize,
    pub in_use: usize,
    /// Callers that wait for a connection.
    pub waiting: usize,
}

impl PoolStatus {
    pub(super) fn new(name: &'static str, status: deadpool::Status) -> Self {
        let idle = status.available.min(status.size);
        Self { name, idle, in_use: status.size - idle, waiting: status.waiting }
    }
}

impl Store {
    pub async fn service_counts(&self) -> Result<Vec<ServiceCount>, StoreError> {
        let rows = query!(self.read, |connection| dsl::services
            .group_by((dsl::credential, dsl::state))
            .select((dsl::credential, dsl::state, count_star()))
            .order((dsl::credential.asc(), dsl::state.asc()))
            .load::<(String, String, i64)>(connection))?;
        let count = |(credential, state, number): (String, String, i64)| {
            let state = ServiceState::ALL.into_iter().find(|it| it.as_str() == state)?;
            Some(ServiceCount { credential, state, number })
        };
        Ok(rows.into_iter().filter_map(count).collect())
    }

    pub fn pool_status(&self) -> Vec<PoolStatus> {
        match &self.backend {
            Backend::Sqlite(pools) => pools.status(),
            Backend::Postgres(pool) => vec![pool.status()],
        }
    }
}
