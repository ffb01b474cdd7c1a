//! Starts on their way in, where several processes share the database: a DELETE at one of them stops the start that
//! another one still plans.
//!
//! The insert of the record locks the arrival's row, and so does the stop. Whichever is first: either the record is not
//! written, or the stop, which looks for records afterwards, finds it. SQLite has one process and needs none of it.

use diesel::sql_types::{BigInt, Nullable, Text};

use super::limits::{Claimed, NotInserted, is_counted};
use super::postgres::{PostgresPool, keep_if_sound};
use super::services::{NewRow, Row};
use super::{Backend, Inserted, Store, StoreError, in_time};
use crate::domain::record::NewService;
use crate::domain::{Credential, Limits, ServerName};

/// Rows of processes that died are removed when so many newer ones have come: by no clock.
const KEPT: i64 = 10_000;

/// A start that other processes know of; empty where there are none.
#[derive(Clone, Copy, Debug)]
pub struct Arrived(Option<i64>);

#[derive(diesel::QueryableByName)]
struct Id {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

impl Store {
    /// Makes a start known before it is written down.
    pub async fn announce_arrival(&self, name: &(Credential, ServerName)) -> Result<Arrived, StoreError> {
        let Backend::Postgres(pool) = &self.backend else { return Ok(Arrived(None)) };
        let query = diesel::sql_query(format!(
            "WITH made AS (INSERT INTO arrivals (credential, server_name) VALUES ($1, $2) RETURNING id), \
             old AS (DELETE FROM arrivals WHERE id < (SELECT id FROM made) - {KEPT}) \
             SELECT id FROM made"
        ));
        let query = query.bind::<Text, _>(name.0.to_string()).bind::<Text, _>(name.1.to_string());
        let mut connection = pool.connection().await?;
        let made = in_time(diesel_async::RunQueryDsl::get_result::<Id>(query, &mut connection)).await;
        keep_if_sound(connection, &made);
        Ok(Arrived(Some(made?.id)))
    }

    /// Tells the starts of a name that a stop came. False: none is on its way.
    pub async fn stop_arrivals(&self, name: &(Credential, ServerName)) -> Result<bool, StoreError> {
        let Backend::Postgres(pool) = &self.backend else { return Ok(false) };
        let query =
            diesel::sql_query("UPDATE arrivals SET is_stopped = TRUE WHERE credential = $1 AND server_name = $2")
                .bind::<Text, _>(name.0.to_string())
                .bind::<Text, _>(name.1.to_string());
        let mut connection = pool.connection().await?;
        let stopped = in_time(diesel_async::RunQueryDsl::execute(query, &mut connection)).await;
        keep_if_sound(connection, &stopped);
        Ok(stopped? > 0)
    }

    pub async fn forget_arrival(&self, arrived: Arrived) -> Result<(), StoreError> {
        let (Backend::Postgres(pool), Some(id)) = (&self.backend, arrived.0) else { return Ok(()) };
        let query = diesel::sql_query("DELETE FROM arrivals WHERE id = $1").bind::<BigInt, _>(id);
        let mut connection = pool.connection().await?;
        let forgotten = in_time(diesel_async::RunQueryDsl::execute(query, &mut connection)).await;
        keep_if_sound(connection, &forgotten);
        forgotten.map(|_| ())
    }

    /// Like `insert_service`, unless a stop came since the arrival or its flavor is full.
    pub async fn insert_arrived_service(
        &self,
        new: &NewService,
        arrived: Arrived,
        limits: Limits,
    ) -> Result<Claimed, StoreError> {
        let (Backend::Postgres(pool), Some(id)) = (&self.backend, arrived.0) else {
            return self.insert_within_limits(new, limits).await;
        };
        let row = self.new_row(new)?;
        // A service that stands in the way may be removed before we can look at it; then there is room.
        loop {
            if let Some(record) = self.first(insert(pool, row.clone(), id, limits).await?)? {
                return Ok(Ok(Inserted::New(record)));
            }
            if let Some(same) = self.same_start(new).await? {
                return Ok(Ok(Inserted::SameStart(same)));
            }
            if self.object_id_is_taken(&new.object_id).await? {
                return Ok(Ok(Inserted::IdTaken));
            }
            if !is_expected(pool, id).await? {
                return Ok(Err(NotInserted::Stopped));
            }
            if let Some(reached) = self.limit_reached(new, limits).await? {
                return Ok(Err(NotInserted::NoRoom(reached)));
            }
        }
    }
}

/// `FOR UPDATE` waits for a stop that is at the row, and then reads the row again. `k8smgr_has_room` waits for whoever
/// writes a start of the same hub with limits, and then counts.
async fn insert(pool: &PostgresPool, row: NewRow, arrival: i64, limits: Limits) -> Result<Vec<Row>, StoreError> {
    let room = match is_counted(row.flavor.as_ref(), limits) {
        true => "WHERE k8smgr_has_room($2, $3, $14, $8, $16, $17, $18)",
        // The same number of parameters.
        false => "WHERE COALESCE($16::bigint, $17::bigint, $18::bigint) IS NULL OR TRUE",
    };
    let query = diesel::sql_query(format!(
        "WITH expected AS (SELECT id FROM arrivals WHERE id = $1 AND NOT is_stopped FOR UPDATE) \
         INSERT INTO services (credential, server_name, start_id, object_id, service, user_options, jhub_user_id, \
         start_date, namespace, state, objects, update_manifest, flavor, ends_at) \
         SELECT $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15 FROM expected {room} \
         ON CONFLICT DO NOTHING RETURNING *"
    ));
    let query = query
        .bind::<BigInt, _>(arrival)
        .bind::<Text, _>(row.credential)
        .bind::<Text, _>(row.server_name)
        .bind::<Text, _>(row.start_id)
        .bind::<Text, _>(row.object_id)
        .bind::<Text, _>(row.service)
        .bind::<Text, _>(row.user_options)
        .bind::<BigInt, _>(row.jhub_user_id)
        .bind::<BigInt, _>(row.start_date)
        .bind::<Text, _>(row.namespace)
        .bind::<Text, _>(row.state)
        .bind::<Text, _>(row.objects)
        .bind::<Nullable<Text>, _>(row.update_manifest)
        .bind::<Nullable<Text>, _>(row.flavor)
        .bind::<Nullable<BigInt>, _>(row.ends_at)
        .bind::<Nullable<BigInt>, _>(limits.per_user)
        .bind::<Nullable<BigInt>, _>(limits.max)
        .bind::<Nullable<BigInt>, _>(limits.global_per_user);
    let mut connection = pool.connection().await?;
    let rows = in_time(diesel_async::RunQueryDsl::load::<Row>(query, &mut connection)).await;
    keep_if_sound(connection, &rows);
    rows
}

async fn is_expected(pool: &PostgresPool, arrival: i64) -> Result<bool, StoreError> {
    let query =
        diesel::sql_query("SELECT id FROM arrivals WHERE id = $1 AND NOT is_stopped").bind::<BigInt, _>(arrival);
    let mut connection = pool.connection().await?;
    let found = in_time(diesel_async::RunQueryDsl::load::<Id>(query, &mut connection)).await;
    keep_if_sound(connection, &found);
    Ok(found?.iter().any(|it| it.id == arrival))
}
