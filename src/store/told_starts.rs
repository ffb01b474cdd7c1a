//! Who of several processes tells a hub how a start is going. SQLite has one process and needs none of it.
//!
//! Whoever tells says so again and again; by no clock: a number grows. Who looks on measures by its own clock for how long it
//! has not.

use std::collections::{HashMap, HashSet};

use diesel::sql_types::{Array, BigInt, Text};

use super::postgres::keep_if_sound;
use super::{Backend, Store, StoreError, in_time};

/// Who tells, and how often it has said so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TellerOf {
    teller: String,
    beat: i64,
}

#[derive(diesel::QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    sequence: i64,
    #[diesel(sql_type = Text)]
    teller: String,
    #[diesel(sql_type = BigInt)]
    beat: i64,
}

const LIVES: &str =
    "SELECT sequence, $1, 1 FROM services WHERE sequence = ANY($2) AND state IN ('starting', 'running')";
/// Of one that ended its teller still has to tell why.
const LIVES_OR_ENDED: &str =
    "SELECT sequence, $1, 1 FROM services WHERE sequence = ANY($2) AND state IN ('starting', 'running', 'ended')";

impl Store {
    /// Says that `teller` tells these. Gives those of them that nobody else has taken over and that were not stopped.
    pub async fn keep_telling(&self, teller: &str, sequences: &[i64]) -> Result<HashSet<i64>, StoreError> {
        let query = format!(
            "INSERT INTO told_starts (sequence, teller, beat) {LIVES_OR_ENDED} ON CONFLICT (sequence) DO UPDATE \
             SET beat = told_starts.beat + 1 WHERE told_starts.teller = $1 RETURNING sequence, teller, beat"
        );
        Ok(self.told_starts(&query, teller, sequences).await?.into_iter().map(|it| it.sequence).collect())
    }

    /// They came up, or are over.
    pub async fn end_telling(&self, teller: &str, sequences: &[i64]) -> Result<(), StoreError> {
        let query = "DELETE FROM told_starts WHERE teller = $1 AND sequence = ANY($2) RETURNING sequence, teller, beat";
        self.told_starts(query, teller, sequences).await.map(|_| ())
    }

    pub async fn tellers(&self) -> Result<HashMap<i64, TellerOf>, StoreError> {
        let query = "SELECT sequence, teller, beat FROM told_starts WHERE teller <> $1 OR sequence = ANY($2)";
        let rows = self.told_starts(query, "", &[]).await?;
        Ok(rows.into_iter().map(|it| (it.sequence, TellerOf { teller: it.teller, beat: it.beat })).collect())
    }

    /// False: somebody told it meanwhile, or it is over. `seen` is who told it last, as it was read.
    pub async fn take_over_telling(
        &self,
        sequence: i64,
        seen: Option<&TellerOf>,
        teller: &str,
    ) -> Result<bool, StoreError> {
        let query = match seen {
            None => format!(
                "INSERT INTO told_starts (sequence, teller, beat) {LIVES} ON CONFLICT DO NOTHING \
                 RETURNING sequence, teller, beat"
            ),
            // What another process is called needs no quotes.
            Some(TellerOf { teller, beat }) if teller.chars().all(|it| it.is_ascii_alphanumeric()) => format!(
                "UPDATE told_starts SET teller = $1, beat = beat + 1 WHERE sequence = ANY($2) AND teller = '{teller}' \
                 AND beat = {beat} RETURNING sequence, teller, beat"
            ),
            Some(_) => return Ok(false),
        };
        Ok(!self.told_starts(&query, teller, &[sequence]).await?.is_empty())
    }

    async fn told_starts(&self, query: &str, teller: &str, sequences: &[i64]) -> Result<Vec<Row>, StoreError> {
        let Backend::Postgres(pool) = &self.backend else { return Ok(Vec::new()) };
        let query = diesel::sql_query(query).bind::<Text, _>(teller).bind::<Array<BigInt>, _>(sequences);
        let mut connection = pool.connection().await?;
        let rows = in_time(diesel_async::RunQueryDsl::load::<Row>(query, &mut connection)).await;
        keep_if_sound(connection, &rows);
        rows
    }
}
