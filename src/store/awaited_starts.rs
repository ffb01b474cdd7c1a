//! Starts whose hubs wait for the answer until the server is up. Written down, so that one is not forgotten that nobody answers
//! any more.

use diesel::{ExpressionMethods, QueryDsl};

use super::schema::awaited_starts::dsl;
use super::{Store, StoreError, query};

impl Store {
    pub async fn start_is_awaited(&self, sequence: i64) -> Result<(), StoreError> {
        query!(self.write, |connection| diesel::insert_into(dsl::awaited_starts)
            .values(dsl::sequence.eq(sequence))
            .on_conflict_do_nothing()
            .execute(connection))?;
        Ok(())
    }

    pub async fn start_was_answered(&self, sequence: i64) -> Result<(), StoreError> {
        query!(self.write, |connection| diesel::delete(dsl::awaited_starts.find(sequence)).execute(connection))?;
        Ok(())
    }

    /// Those of all processes.
    pub async fn awaited_starts(&self) -> Result<Vec<i64>, StoreError> {
        query!(self.read, |connection| dsl::awaited_starts.select(dsl::sequence).load(connection))
    }
}
