//! Services that are stopped by us at a given time.

use diesel::{ExpressionMethods, NullableExpressionMethods, QueryDsl};
use jiff::Timestamp;

use super::schema::services::dsl;
use super::services::{readable, time};
use super::{Change, Store, StoreError, query};
use crate::domain::Credential;
use crate::domain::record::ServiceState;

/// A service that runs, and when it is to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndDate {
    pub sequence: i64,
    pub credential: Credential,
    pub flavor: Option<String>,
    pub ends_at: Timestamp,
}

impl Store {
    /// The services that run and have an end. One row that cannot be read must not hide the others.
    pub async fn end_dates(&self) -> Result<Vec<EndDate>, StoreError> {
        let rows = query!(self.read, |connection| dsl::services
            .filter(dsl::state.eq(ServiceState::Running.as_str()))
            .filter(dsl::ends_at.is_not_null())
            .order(dsl::sequence)
            .select((dsl::sequence, dsl::credential, dsl::flavor, dsl::ends_at.assume_not_null()))
            .load::<(i64, String, Option<String>, i64)>(connection))?;
        let date = |(sequence, credential, flavor, ends_at): (i64, String, Option<String>, i64)| {
            let credential = readable("credential", &credential, |it| Credential::parse(it).ok())?;
            Ok(EndDate { sequence, credential, flavor, ends_at: time("end date", ends_at)? })
        };
        let skipped = |sequence: i64, error: &StoreError| {
            tracing::error!(sequence, %error, "a stored end date is skipped");
        };
        let dates = rows.into_iter().filter_map(|row| {
            let sequence = row.0;
            date(row).inspect_err(|error| skipped(sequence, error)).ok()
        });
        Ok(dates.collect())
    }

    /// Another end of a service. False: it does not run any more, and nothing was written.
    pub async fn set_end_date(&self, sequence: i64, ends_at: Timestamp) -> Result<bool, StoreError> {
        let ends_at = ends_at.as_microsecond();
        let changed = query!(self.write, |_| Some(Change::Service(sequence)), |connection| diesel::update(
            dsl::services.find(sequence)
        )
        .filter(dsl::state.eq(ServiceState::Running.as_str()))
        .set(dsl::ends_at.eq(ends_at))
        .execute(connection))?;
        Ok(changed == 1)
    }
}
