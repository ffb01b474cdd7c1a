//! The service records: one row a start, and the transitions between their states.

use std::borrow::Cow;

use diesel::backend::Backend;
use diesel::dsl::count_star;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, HasSqlType, Nullable, Text};
use diesel::{
    ExpressionMethods, Insertable, QueryDsl, QueryResult, Queryable, QueryableByName, Selectable, SelectableHelper,
};
use jiff::Timestamp;

use super::crypt_keys::{CryptKeys, NotOpened, Place};
use super::schema::services::{self, dsl};
use super::sealing::{DETAILS, UPDATE_MANIFEST, USER_OPTIONS};
use super::{Change, Store, StoreError, query};
use crate::domain::record::{AppliedObject, Details, NewService, ServiceRecord, ServiceState};
use crate::domain::{Credential, Json, ObjectId, ServerName, ServiceName, StartId};

/// What became of a start that was written down.
#[derive(Clone, Debug)]
pub enum Inserted {
    New(ServiceRecord),
    /// The same start (credential, server name, start id) was there already and is unchanged.
    SameStart(ServiceRecord),
    /// Another start's objects have this id.
    IdTaken,
}

// NULL where there is nothing: the statement is the same each time, and is prepared once.
#[derive(Clone, Insertable)]
#[diesel(table_name = services, treat_none_as_default_value = false)]
pub(super) struct NewRow {
    pub(super) credential: String,
    pub(super) server_name: String,
    pub(super) start_id: String,
    pub(super) object_id: String,
    pub(super) service: String,
    pub(super) user_options: String,
    pub(super) jhub_user_id: i64,
    pub(super) start_date: i64,
    pub(super) namespace: String,
    pub(super) state: &'static str,
    pub(super) objects: String,
    pub(super) update_manifest: Option<String>,
    pub(super) is_adopted: bool,
    pub(super) flavor: Option<String>,
    pub(super) ends_at: Option<i64>,
}

/// What every start ends with. Written out, because diesel has each UPDATE prepared anew: on PostgreSQL that is one more answer to wait
/// for.
#[derive(Clone, QueryId)]
struct MarkRunning {
    sequence: i64,
    objects: String,
    ends_at: Option<i64>,
}

impl<DB> QueryFragment<DB> for MarkRunning
where
    DB: Backend + HasSqlType<Text> + HasSqlType<BigInt>,
    String: ToSql<Text, DB>,
    str: ToSql<Text, DB>,
    i64: ToSql<BigInt, DB>,
    Option<i64>: ToSql<Nullable<BigInt>, DB>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        out.push_sql("UPDATE services SET state = ");
        out.push_bind_param::<Text, _>(ServiceState::Running.as_str())?;
        out.push_sql(", objects = ");
        out.push_bind_param::<Text, _>(&self.objects)?;
        out.push_sql(", ends_at = coalesce(");
        out.push_bind_param::<Nullable<BigInt>, _>(&self.ends_at)?;
        out.push_sql(", ends_at) WHERE state = ");
        out.push_bind_param::<Text, _>(ServiceState::Starting.as_str())?;
        out.push_sql(" AND sequence = ");
        out.push_bind_param::<BigInt, _>(&self.sequence)
    }
}

impl<C> diesel::RunQueryDsl<C> for MarkRunning {}

#[derive(Queryable, QueryableByName, Selectable)]
#[diesel(table_name = services)]
pub(super) struct Row {
    pub(super) sequence: i64,
    credential: String,
    server_name: String,
    start_id: String,
    object_id: String,
    service: String,
    user_options: String,
    jhub_user_id: i64,
    start_date: i64,
    namespace: String,
    state: String,
    objects: String,
    update_manifest: Option<String>,
    details: Option<String>,
    ended_at: Option<i64>,
    flavor: Option<String>,
    ends_at: Option<i64>,
}

impl Store {
    /// Writes a start down as `Starting`. Unique constraints decide between callers in any number of processes.
    pub async fn insert_service(&self, new: &NewService) -> Result<Inserted, StoreError> {
        self.insert_row(self.new_row(new)?, new).await
    }

    pub(super) async fn insert_row(&self, wanted: NewRow, new: &NewService) -> Result<Inserted, StoreError> {
        // A service that stands in the way may be removed before we can look at it; then there is room.
        loop {
            let row = wanted.clone();
            let inserted = self.first(query!(
                self.write,
                |rows| rows.last().map(|it: &Row| Change::Service(it.sequence)),
                |connection| diesel::insert_into(dsl::services)
                    .values(&row)
                    .on_conflict_do_nothing()
                    .returning(Row::as_returning())
                    .load(connection)
            )?)?;
            if let Some(record) = inserted {
                return Ok(Inserted::New(record));
            }
            if let Some(same) = self.same_start(new).await? {
                return Ok(Inserted::SameStart(same));
            }
            if self.object_id_is_taken(&new.object_id).await? {
                return Ok(Inserted::IdTaken);
            }
        }
    }

    pub(super) async fn same_start(&self, new: &NewService) -> Result<Option<ServiceRecord>, StoreError> {
        let (credential, server_name) = (new.credential.to_string(), new.server_name.to_string());
        let start_id = new.start_id.to_string();
        self.first(query!(self.read, |connection| dsl::services
            .filter(dsl::credential.eq(&credential))
            .filter(dsl::server_name.eq(&server_name))
            .filter(dsl::start_id.eq(&start_id))
            .select(Row::as_select())
            .load(connection))?)
    }

    pub(super) async fn object_id_is_taken(&self, object_id: &ObjectId) -> Result<bool, StoreError> {
        let object_id = object_id.to_string();
        let taken = query!(self.read, |connection| dsl::services
            .filter(dsl::object_id.eq(&object_id))
            .count()
            .get_result::<i64>(connection))?;
        Ok(taken > 0)
    }

    pub async fn service(&self, sequence: i64) -> Result<Option<ServiceRecord>, StoreError> {
        self.first(query!(self.read, |connection| dsl::services
            .filter(dsl::sequence.eq(sequence))
            .select(Row::as_select())
            .load(connection))?)
    }

    /// The services of these sequences, as far as they are there.
    pub async fn services_by_sequence(&self, sequences: &[i64]) -> Result<Vec<ServiceRecord>, StoreError> {
        let sequences = sequences.to_owned();
        self.all(query!(self.read, |connection| dsl::services
            .filter(dsl::sequence.eq_any(&sequences))
            .order(dsl::sequence)
            .select(Row::as_select())
            .load(connection))?)
    }

    /// Services beyond a sequence, lowest first, at most so many: all of them, a page at a time. With the last sequence
    /// of the page; `None`: there are no more.
    pub async fn services_after(
        &self,
        sequence: i64,
        most: i64,
    ) -> Result<(Vec<ServiceRecord>, Option<i64>), StoreError> {
        let rows = query!(self.read, |connection| dsl::services
            .filter(dsl::sequence.gt(sequence))
            .order(dsl::sequence)
            .limit(most)
            .select(Row::as_select())
            .load(connection))?;
        let last = rows.last().map(|row: &Row| row.sequence);
        Ok((self.all(rows)?, last))
    }

    /// The newest start of a name, whatever its state: what a poll asks for. One row by index.
    pub async fn newest_service(
        &self,
        credential: &Credential,
        server_name: &ServerName,
    ) -> Result<Option<ServiceRecord>, StoreError> {
        let (credential, server_name) = (credential.to_string(), server_name.to_string());
        self.first(query!(self.read, |connection| dsl::services
            .filter(dsl::credential.eq(&credential))
            .filter(dsl::server_name.eq(&server_name))
            .order(dsl::sequence.desc())
            .limit(1)
            .select(Row::as_select())
            .load(connection))?)
    }

    /// All starts of a name, oldest first.
    pub async fn services_named(
        &self,
        credential: &Credential,
        server_name: &ServerName,
    ) -> Result<Vec<ServiceRecord>, StoreError> {
        let (credential, server_name) = (credential.to_string(), server_name.to_string());
        self.all(query!(self.read, |connection| dsl::services
            .filter(dsl::credential.eq(&credential))
            .filter(dsl::server_name.eq(&server_name))
            .order(dsl::sequence)
            .select(Row::as_select())
            .load(connection))?)
    }

    /// All starts of a credential, oldest first.
    pub async fn services_of(&self, credential: &Credential) -> Result<Vec<ServiceRecord>, StoreError> {
        let credential = credential.to_string();
        self.all(query!(self.read, |connection| dsl::services
            .filter(dsl::credential.eq(&credential))
            .order(dsl::sequence)
            .select(Row::as_select())
            .load(connection))?)
    }

    /// All starts of one user of a credential, oldest first.
    pub async fn services_of_user(
        &self,
        credential: &Credential,
        jhub_user_id: i64,
    ) -> Result<Vec<ServiceRecord>, StoreError> {
        let credential = credential.to_string();
        self.all(query!(self.read, |connection| dsl::services
            .filter(dsl::credential.eq(&credential))
            .filter(dsl::jhub_user_id.eq(jhub_user_id))
            .order(dsl::sequence)
            .select(Row::as_select())
            .load(connection))?)
    }

    /// All starts of a credential, oldest first: which there are and their states. What is not understood is left out.
    pub async fn sequences_of(&self, credential: &Credential) -> Result<Vec<(i64, ServiceState)>, StoreError> {
        let credential = credential.to_string();
        let rows = query!(self.read, |connection| dsl::services
            .filter(dsl::credential.eq(&credential))
            .order(dsl::sequence)
            .select((dsl::sequence, dsl::state))
            .load::<(i64, String)>(connection))?;
        Ok(rows.into_iter().filter_map(|(it, state)| Some((it, ServiceState::from_stored(&state)?))).collect())
    }

    /// All services in one of these states, oldest first.
    pub async fn services_in(&self, states: &[ServiceState]) -> Result<Vec<ServiceRecord>, StoreError> {
        let states: Vec<&'static str> = states.iter().map(|it| it.as_str()).collect();
        self.all(query!(self.read, |connection| dsl::services
            .filter(dsl::state.eq_any(&states))
            .order(dsl::sequence)
            .select(Row::as_select())
            .load(connection))?)
    }

    /// Names with several starts that are not being stopped.
    pub async fn names_with_several_starts(&self) -> Result<Vec<(Credential, ServerName)>, StoreError> {
        let names = query!(self.read, |connection| dsl::services
            .filter(dsl::state.ne(ServiceState::Stopping.as_str()))
            .group_by((dsl::credential, dsl::server_name))
            .having(count_star().gt(1))
            .select((dsl::credential, dsl::server_name))
            .load::<(String, String)>(connection))?;
        let name = |(credential, server_name): (String, String)| {
            Ok((
                readable("credential", &credential, |it| Credential::parse(it).ok())?,
                readable("server name", &server_name, |it| ServerName::stored(it).ok())?,
            ))
        };
        names.into_iter().map(name).collect()
    }

    pub async fn set_objects(&self, sequence: i64, objects: &[AppliedObject]) -> Result<(), StoreError> {
        let text = to_json("objects", objects)?;
        query!(self.write, |_| Some(Change::Service(sequence)), |connection| diesel::update(
            dsl::services.find(sequence)
        )
        .set(dsl::objects.eq(&text))
        .execute(connection))?;
        Ok(())
    }

    /// Starting becomes Running, with all that was made. False: it is not starting any more, a stop came in between; the
    /// objects are not written then.
    pub async fn mark_running(&self, sequence: i64, objects: &[AppliedObject]) -> Result<bool, StoreError> {
        self.mark_running_until(sequence, objects, None).await
    }

    /// The same, with another end date than it was written down with.
    pub async fn mark_running_until(
        &self,
        sequence: i64,
        objects: &[AppliedObject],
        ends_at: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let ends_at = ends_at.map(Timestamp::as_microsecond);
        let running = MarkRunning { sequence, objects: to_json("objects", objects)?, ends_at };
        let changed =
            query!(self.write, |_| Some(Change::Service(sequence)), |connection| running.clone().execute(connection))?;
        Ok(changed == 1)
    }

    /// Starting, Running or Ended becomes Stopping. False: it was stopping already, or is gone.
    pub async fn begin_stop(&self, sequence: i64) -> Result<bool, StoreError> {
        let changed = query!(self.write, |_| Some(Change::Service(sequence)), |connection| diesel::update(
            dsl::services.find(sequence)
        )
        .filter(dsl::state.ne(ServiceState::Stopping.as_str()))
        .set(dsl::state.eq(ServiceState::Stopping.as_str()))
        .execute(connection))?;
        Ok(changed == 1)
    }

    /// Every start of a name becomes Stopping, whatever it was. Gives them as they are then, oldest first: a stop is read
    /// and written down in one statement.
    pub async fn begin_stops(
        &self,
        credential: &Credential,
        server_name: &ServerName,
    ) -> Result<Vec<ServiceRecord>, StoreError> {
        let (credential, server_name) = (credential.to_string(), server_name.to_string());
        let changes = |rows: &Vec<Row>| rows.iter().map(|it| Change::Service(it.sequence)).collect::<Vec<_>>();
        let mut rows = query!(self.write, changes, |connection| diesel::update(
            dsl::services.filter(dsl::credential.eq(&credential)).filter(dsl::server_name.eq(&server_name))
        )
        .set(dsl::state.eq(ServiceState::Stopping.as_str()))
        .returning(Row::as_returning())
        .load(connection))?;
        rows.sort_by_key(|it| it.sequence);
        self.all(rows)
    }

    /// Starting or Running becomes Ended, with its explanation. False: it had ended, was stopping, or is gone.
    pub async fn latch_end(&self, sequence: i64, details: &Details, ended_at: Timestamp) -> Result<bool, StoreError> {
        let row = sequence.to_string();
        let text = self.sealed(DETAILS.of(&row), to_json("details", details)?)?;
        let alive = [ServiceState::Starting.as_str(), ServiceState::Running.as_str()];
        let ended_at = ended_at.as_microsecond();
        let changed = query!(self.write, |_| Some(Change::Service(sequence)), |connection| diesel::update(
            dsl::services.find(sequence)
        )
        .filter(dsl::state.eq_any(alive))
        .set((dsl::state.eq(ServiceState::Ended.as_str()), dsl::details.eq(&text), dsl::ended_at.eq(ended_at),))
        .execute(connection))?;
        Ok(changed == 1)
    }

    pub async fn remove_service(&self, sequence: i64) -> Result<(), StoreError> {
        query!(self.write, |_| Some(Change::Service(sequence)), |connection| diesel::delete(
            dsl::services.find(sequence)
        )
        .execute(connection))?;
        Ok(())
    }
}

impl Store {
    /// What is kept of a start, as it is kept.
    pub(super) fn new_row(&self, new: &NewService) -> Result<NewRow, StoreError> {
        let object_id = new.object_id.as_str();
        let update_manifest = new.update_manifest.clone();
        Ok(NewRow {
            credential: new.credential.to_string(),
            server_name: new.server_name.to_string(),
            start_id: new.start_id.to_string(),
            object_id: object_id.to_owned(),
            service: new.service.to_string(),
            user_options: self.sealed(USER_OPTIONS.of(object_id), new.user_options.to_text())?,
            jhub_user_id: new.jhub_user_id,
            start_date: new.start_date.as_microsecond(),
            namespace: new.namespace.clone(),
            state: ServiceState::Starting.as_str(),
            objects: to_json("objects", &new.objects)?,
            update_manifest: update_manifest.map(|it| self.sealed(UPDATE_MANIFEST.of(object_id), it)).transpose()?,
            is_adopted: false,
            flavor: new.flavor.clone(),
            ends_at: new.ends_at.map(Timestamp::as_microsecond),
        })
    }

    pub(super) fn first(&self, rows: Vec<Row>) -> Result<Option<ServiceRecord>, StoreError> {
        rows.into_iter().next().map(|row| row.into_record(&self.keys)).transpose()
    }

    pub(super) fn all(&self, rows: Vec<Row>) -> Result<Vec<ServiceRecord>, StoreError> {
        // One row that cannot be read must not hide the others.
        let readable = rows.into_iter().filter_map(|row| {
            let sequence = row.sequence;
            row.into_record(&self.keys)
                .inspect_err(|error| tracing::error!(sequence, %error, "a stored service is skipped"))
                .ok()
        });
        Ok(readable.collect())
    }
}

impl Row {
    fn into_record(self, keys: &CryptKeys) -> Result<ServiceRecord, StoreError> {
        let row = self;
        let sequence = row.sequence.to_string();
        let options = opened(keys, USER_OPTIONS.of(&row.object_id), &row.user_options);
        let manifest = row.update_manifest.as_deref();
        let manifest = manifest.and_then(|it| opened(keys, UPDATE_MANIFEST.of(&row.object_id), it));
        let details = row.details.as_deref().and_then(|it| opened(keys, DETAILS.of(&sequence), it));
        Ok(ServiceRecord {
            sequence: row.sequence,
            credential: readable("credential", &row.credential, |it| Credential::parse(it).ok())?,
            server_name: readable("server name", &row.server_name, |it| ServerName::stored(it).ok())?,
            start_id: readable("start id", &row.start_id, |it| StartId::parse(it).ok())?,
            service: readable("service", &row.service, |it| ServiceName::parse(it).ok())?,
            user_options: match options {
                Some(text) => hidden("user options", Json::parse(text.as_bytes()).ok())?,
                None => Json::Object(Vec::new()),
            },
            jhub_user_id: row.jhub_user_id,
            start_date: time("start date", row.start_date)?,
            state: readable("state", &row.state, ServiceState::from_stored)?,
            objects: readable("objects", &row.objects, |it| serde_json::from_str(it).ok())?,
            update_manifest: manifest.map(Cow::into_owned),
            ends_at: row.ends_at.map(|it| time("end date", it)).transpose()?,
            details: details.map(|text| hidden("details", serde_json::from_str(&text).ok())).transpose()?,
            ended_at: row.ended_at.map(|it| time("end", it)).transpose()?,
            object_id: ObjectId::from_stored(row.object_id),
            namespace: row.namespace,
            flavor: row.flavor,
        })
    }
}

/// What polls and stops need is in clear: a text that cannot be opened is told and left out, and the service goes on.
fn opened<'a>(keys: &CryptKeys, place: Place<'_>, text: &'a str) -> Option<Cow<'a, str>> {
    let not_opened = |error: &NotOpened| {
        tracing::error!(column = place.column, row = place.row, %error, "a text of a service cannot be read");
    };
    keys.open(place, text).inspect_err(not_opened).ok()
}

/// Like `readable`, of what no log may show.
fn hidden<T>(what: &'static str, read: Option<T>) -> Result<T, StoreError> {
    read.ok_or_else(|| StoreError::Unreadable { what, value: "***".to_owned() })
}

pub(super) fn to_json<T: serde::Serialize + ?Sized>(what: &'static str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|source| StoreError::Unwritable { what, source })
}

pub(super) fn readable<'a, T>(
    what: &'static str,
    value: &'a str,
    read: impl FnOnce(&'a str) -> Option<T>,
) -> Result<T, StoreError> {
    // A long text would fill the log.
    read(value).ok_or_else(|| StoreError::Unreadable { what, value: value.chars().take(100).collect() })
}

pub(super) fn time(what: &'static str, microseconds: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_microsecond(microseconds)
        .map_err(|_| StoreError::Unreadable { what, value: microseconds.to_string() })
}
