//! Starts of flavors are counted where they are written down, so that no race passes a limit.
//!
//! SQLite has one writer: count and insert are one transaction on its thread, which ends whatever becomes of the caller. On
//! PostgreSQL they are one statement (`arrivals.rs`), whose function waits for the others of the hub.

use diesel::dsl::count_star;
use diesel::sqlite::SqliteConnection;
use diesel::{
    BoolExpressionMethods, ExpressionMethods, NullableExpressionMethods, QueryDsl, QueryResult, SelectableHelper,
};

use super::schema::services::dsl;
use super::services::{NewRow, Row};
use super::{Backend, Change, Inserted, Store, StoreError, query};
use crate::domain::flavor::Counted;
use crate::domain::record::{NewService, ServiceState};
use crate::domain::{Credential, LimitReached, Limits};

/// Why a start that had arrived is not written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotInserted {
    /// A stop came since it arrived.
    Stopped,
    /// There is no room for one more of its flavor.
    NoRoom(LimitReached),
}

/// What became of a start that had arrived.
pub type Claimed = Result<Inserted, NotInserted>;

/// What does not count any more.
const OVER: [&str; 2] = [ServiceState::Stopping.as_str(), ServiceState::Ended.as_str()];

/// Whether anybody has to count before this one is written down.
pub(super) fn is_counted(flavor: Option<&String>, limits: Limits) -> bool {
    flavor.is_some() && limits != Limits::default()
}

impl Store {
    /// How many starts of a hub are of which flavor and neither stopping nor over, by the names of the flavors.
    pub async fn flavor_counts(&self, hub: &Credential) -> Result<Vec<(String, i64)>, StoreError> {
        let hub = hub.to_string();
        query!(self.read, |connection| dsl::services
            .filter(dsl::credential.eq(&hub))
            .filter(dsl::flavor.is_not_null())
            .filter(dsl::state.ne_all(OVER))
            .group_by(dsl::flavor)
            .select((dsl::flavor.assume_not_null(), count_star()))
            .order(dsl::flavor)
            .load::<(String, i64)>(connection))
    }

    /// Which limit one more start would pass, as it is now.
    pub(super) async fn limit_reached(
        &self,
        new: &NewService,
        limits: Limits,
    ) -> Result<Option<LimitReached>, StoreError> {
        if !is_counted(new.flavor.as_ref(), limits) {
            return Ok(None);
        }
        let (hub, name) = (new.credential.to_string(), new.server_name.to_string());
        let (flavor, user) = (new.flavor.clone().unwrap_or_default(), new.jhub_user_id);
        let counts = query!(self.read, |connection| counted!(hub, name, flavor, user).load::<Counts>(connection))?;
        Ok(limits.reached(sum(&counts, new.flavor.as_deref().unwrap_or_default(), user)))
    }

    /// Like `insert_service`, unless its flavor is full. For SQLite.
    pub(super) async fn insert_within_limits(&self, new: &NewService, limits: Limits) -> Result<Claimed, StoreError> {
        let (Backend::Sqlite(pools), true) = (&self.backend, is_counted(new.flavor.as_ref(), limits)) else {
            return self.insert_service(new).await.map(Ok);
        };
        let wanted = self.new_row(new)?;
        // A service that stands in the way may be removed before we can look at it; then there is room.
        loop {
            let (row, announcer) = (wanted.clone(), self.feed.announcer().clone());
            let attempt = pools.write(move |connection| {
                let attempt = connection.immediate_transaction(|connection| attempt(connection, &row, limits));
                if let Ok(Ok(Some(row))) = &attempt {
                    announcer.announce(Change::Service(row.sequence));
                }
                attempt
            });
            let inserted = match attempt.await? {
                Ok(row) => self.first(row.into_iter().collect())?,
                Err(reached) => {
                    let same = self.same_start(new).await?;
                    return Ok(same.map_or(Err(NotInserted::NoRoom(reached)), |it| Ok(Inserted::SameStart(it))));
                }
            };
            if let Some(record) = inserted {
                return Ok(Ok(Inserted::New(record)));
            }
            if let Some(same) = self.same_start(new).await? {
                return Ok(Ok(Inserted::SameStart(same)));
            }
            if self.object_id_is_taken(&new.object_id).await? {
                return Ok(Ok(Inserted::IdTaken));
            }
        }
    }
}

/// The starts of a hub that count, by flavor and user. Older starts of the very name do not: they make way for the newer.
macro_rules! counted {
    ($hub:ident, $name:ident, $flavor:ident, $user:ident) => {
        dsl::services
            .filter(dsl::credential.eq(&*$hub))
            .filter(dsl::server_name.ne(&*$name))
            .filter(dsl::state.ne_all(OVER))
            .filter(dsl::flavor.eq(&*$flavor).or(dsl::jhub_user_id.eq($user)))
            .group_by((dsl::flavor, dsl::jhub_user_id))
            .select((dsl::flavor, dsl::jhub_user_id, count_star()))
    };
}
use counted;

type Counts = (Option<String>, i64, i64);

fn sum(counts: &[Counts], flavor: &str, user: i64) -> Counted {
    let mut sum = Counted::default();
    for (of_flavor, of_user, count) in counts {
        let (is_flavor, is_user) = (of_flavor.as_deref() == Some(flavor), *of_user == user);
        sum.of_flavor += if is_flavor { *count } else { 0 };
        sum.of_user += if is_user { *count } else { 0 };
        sum.of_flavor_and_user += if is_flavor && is_user { *count } else { 0 };
    }
    sum
}

fn attempt(
    connection: &mut SqliteConnection,
    row: &NewRow,
    limits: Limits,
) -> QueryResult<Result<Option<Row>, LimitReached>> {
    let (hub, name, user) = (&row.credential, &row.server_name, row.jhub_user_id);
    let flavor = row.flavor.as_deref().unwrap_or_default();
    let counts = diesel::RunQueryDsl::load::<Counts>(counted!(hub, name, flavor, user), connection)?;
    if let Some(reached) = limits.reached(sum(&counts, flavor, user)) {
        return Ok(Err(reached));
    }
    let insert = diesel::insert_into(dsl::services).values(row).on_conflict_do_nothing().returning(Row::as_returning());
    Ok(Ok(diesel::RunQueryDsl::load(insert, connection)?.into_iter().next()))
}
