//! Which hubs are still to be told of a restart. A row is there from a start of K8s Manager until its hub has answered.

use diesel::{ExpressionMethods, QueryDsl};

use super::schema::restart_notices::dsl::{hub, owed, restart_notices};
use super::{Store, StoreError, query};

impl Store {
    /// Another start of which this hub is to be told.
    pub async fn owe_notice(&self, of: &str) -> Result<(), StoreError> {
        let of = of.to_owned();
        query!(self.write, |connection| diesel::insert_into(restart_notices)
            .values((hub.eq(&of), owed.eq(1)))
            .on_conflict(hub)
            .do_update()
            .set(owed.eq(owed + 1))
            .execute(connection))?;
        Ok(())
    }

    /// The hubs, with the number of starts that they have not been told of.
    pub async fn owed_notices(&self) -> Result<Vec<(String, i64)>, StoreError> {
        query!(self.read, |connection| restart_notices.order(hub).select((hub, owed)).load::<(String, i64)>(connection))
    }

    /// The hub was told of so many starts. False: there was another one since.
    pub async fn notice_was_taken(&self, of: &str, starts: i64) -> Result<bool, StoreError> {
        let of = of.to_owned();
        let gone = query!(self.write, |connection| diesel::delete(restart_notices)
            .filter(hub.eq(&of))
            .filter(owed.eq(starts))
            .execute(connection))?;
        Ok(gone > 0)
    }
}
