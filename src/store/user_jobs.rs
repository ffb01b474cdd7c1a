//! The forwards that users asked for. For now they are kept only, as they were taken over.

use diesel::{Insertable, QueryDsl};

use super::schema::user_jobs::{self, dsl};
use super::{Store, StoreError, query};

#[derive(Clone, Debug, PartialEq, Eq, Insertable)]
#[diesel(table_name = user_jobs)]
pub struct UserJobRow {
    pub credential: String,
    pub service: String,
    pub hostname: String,
    pub target_node: String,
    /// JSON.
    pub ports: String,
}

impl Store {
    /// False: the credential has one of this service already, and nothing was changed.
    pub async fn insert_user_job(&self, row: &UserJobRow) -> Result<bool, StoreError> {
        let row = row.clone();
        let inserted = query!(self.write, |connection| diesel::insert_into(dsl::user_jobs)
            .values(&row)
            .on_conflict_do_nothing()
            .execute(connection))?;
        Ok(inserted == 1)
    }

    /// All jobs, oldest first.
    pub async fn user_jobs(&self) -> Result<Vec<UserJobRow>, StoreError> {
        let rows = query!(self.read, |connection| dsl::user_jobs
            .order(dsl::sequence)
            .select((dsl::credential, dsl::service, dsl::hostname, dsl::target_node, dsl::ports))
            .load::<(String, String, String, String, String)>(connection))?;
        let row = |(credential, service, hostname, target_node, ports)| UserJobRow {
            credential,
            service,
            hostname,
            target_node,
            ports,
        };
        Ok(rows.into_iter().map(row).collect())
    }
}
