//! Services that are stopped by us at a given time.

use diesel::{ExpressionMethods, NullableExpressionMethods, QueryDsl};
use jiff::Timestamp;

use super::schema::services::dsl;
use super::services::time;
use super::{Store, StoreError, query};
use crate::domain::record::ServiceState;

impl Store {
    /// The services that run and have an end, and when it is.
    pub async fn end_dates(&self) -> Result<Vec<(i64, Timestamp)>, StoreError> {
        let rows = query!(self.read, |connection| dsl::services
            .filter(dsl::state.eq(ServiceState::Running.as_str()))
            .filter(dsl::ends_at.is_not_null())
            .order(dsl::sequence)
            .select((dsl::sequence, dsl::ends_at.assume_not_null()))
            .load::<(i64, i64)>(connection))?;
        rows.into_iter().map(|(sequence, ends_at)| Ok((sequence, time("end date", ends_at)?))).collect()
    }
}
