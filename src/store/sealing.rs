//! What is kept of requests is sealed where there are keys: which texts these are, whether all can be opened, and `rekey`, which
//! brings what was written before under the key that seals now.
//!
//! Names, states, dates and the list of objects are in clear: they are searched for, and stand on the objects in the cluster as
//! well. So polls and stops need no key.

use std::collections::BTreeMap;
use std::fmt;

use diesel::sql_types::Integer;
use diesel::{ExpressionMethods, QueryDsl};

use super::crypt_keys::{CryptKeys, Kept, KeyId, NotOpened, Place};
use super::schema::services::dsl;
use super::{Backend, Change, Store, StoreError, query};

/// Rows that are read at once.
const PAGE: i64 = 200;
/// In the place of an explanation that was given up.
const LOST_DETAILS: &str = r#"{"error":"The reason is lost with the key that sealed it","detailed_error":""}"#;

/// A column whose texts are sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Column(&'static str);

pub(super) const USER_OPTIONS: Column = Column("services.user_options");
pub(super) const UPDATE_MANIFEST: Column = Column("services.update_manifest");
/// Written when only the sequence is known, to which it is bound; the others to the object id, before there is a sequence.
pub(super) const DETAILS: Column = Column("services.details");

impl Column {
    pub(super) fn of(self, row: &str) -> Place<'_> {
        Place { column: self.0, row }
    }
}

/// How many services keep their texts in which way. One counts where its worst text does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sealing {
    pub clear: usize,
    /// By the key that seals.
    pub sealed: usize,
    /// By other keys that were given.
    pub sealed_before: usize,
    /// By keys that were not given.
    pub missing: MissingKeys,
    /// What no key opens.
    pub damaged: usize,
}

/// Keys that were not given, with the number of services that need them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MissingKeys(pub BTreeMap<KeyId, usize>);

impl fmt::Display for MissingKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<String> = self.0.iter().map(|(key, services)| format!("{key} ({services} services)")).collect();
        f.write_str(&keys.join(", "))
    }
}

/// What `rekey` did, in texts, and how the services are kept now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rekeyed {
    /// Texts that were in clear.
    pub sealed: usize,
    /// Texts that were sealed by an older key.
    pub sealed_anew: usize,
    /// Texts that were given up with their key.
    pub forgotten: usize,
    pub now: Sealing,
    /// What was there before is gone from the file, too. `None`: that is up to the database server.
    pub is_swept: Option<bool>,
}

/// The texts of one service, as they are kept.
struct Texts {
    sequence: i64,
    object_id: String,
    user_options: String,
    update_manifest: Option<String>,
    details: Option<String>,
}

impl Texts {
    fn each(&self) -> impl Iterator<Item = (Column, String, &str)> {
        let id = || self.object_id.clone();
        let user_options = Some((USER_OPTIONS, id(), self.user_options.as_str()));
        let update_manifest = self.update_manifest.as_deref().map(|it| (UPDATE_MANIFEST, id(), it));
        let details = self.details.as_deref().map(|it| (DETAILS, self.sequence.to_string(), it));
        [user_options, update_manifest, details].into_iter().flatten()
    }

    fn count(&self, keys: &CryptKeys, sealing: &mut Sealing) {
        let kept: Vec<Kept> = self.each().map(|(column, row, text)| keys.kept(column.of(&row), text)).collect();
        for closed in &kept {
            if let Kept::Closed(NotOpened::UnknownKey(key)) = closed {
                *sealing.missing.0.entry(key.clone()).or_default() += 1;
                return;
            }
        }
        let has = |is_one: fn(&Kept) -> bool| kept.iter().any(is_one);
        let slot = match () {
            () if has(|it| matches!(it, Kept::Closed(_))) => &mut sealing.damaged,
            () if has(|it| *it == Kept::Clear) => &mut sealing.clear,
            () if has(|it| *it == Kept::SealedBefore) => &mut sealing.sealed_before,
            () => &mut sealing.sealed,
        };
        *slot += 1;
    }
}

impl Store {
    /// Seals what is written from now on, and opens what was sealed. Fails where a key is missing: nothing was changed then.
    pub async fn unlock(self, keys: CryptKeys) -> Result<(Store, Sealing), StoreError> {
        let store = self.with_keys(keys);
        let sealing = store.sealing().await?;
        match sealing.missing.0.is_empty() {
            true => Ok((store, sealing)),
            false => Err(StoreError::KeysMissing(sealing.missing)),
        }
    }

    /// The same where a key may be missing: what it sealed stays closed.
    pub fn with_keys(self, keys: CryptKeys) -> Store {
        Store { keys, ..self }
    }

    /// How the services are kept.
    pub async fn sealing(&self) -> Result<Sealing, StoreError> {
        let (mut sealing, mut last) = (Sealing::default(), 0);
        loop {
            let page = self.texts_after(last).await?;
            let Some(texts) = page.last() else { return Ok(sealing) };
            last = texts.sequence;
            page.iter().for_each(|it| it.count(&self.keys, &mut sealing));
        }
    }

    /// Brings every text under the key that seals, also while services are started and polled: each is changed only as it was
    /// read. What the keys `forget` sealed, and no key that we have opens, is given up. Done twice, it changes nothing more; one
    /// that was cut short is completed by the next.
    pub async fn rekey(&self, forget: &[KeyId]) -> Result<Rekeyed, StoreError> {
        if self.keys.is_empty() {
            return Err(StoreError::NoKeys);
        }
        let (mut rekeyed, mut last) = (Rekeyed::default(), 0);
        loop {
            let page = self.texts_after(last).await?;
            let Some(texts) = page.last() else { break };
            last = texts.sequence;
            for texts in &page {
                self.rekey_service(texts, forget, &mut rekeyed).await?;
            }
        }
        rekeyed.is_swept = self.sweep_file().await?;
        rekeyed.now = self.sealing().await?;
        Ok(rekeyed)
    }

    async fn rekey_service(&self, texts: &Texts, forget: &[KeyId], rekeyed: &mut Rekeyed) -> Result<(), StoreError> {
        for (column, row, old) in texts.each() {
            let place = column.of(&row);
            let (count, text) = match self.keys.kept(place, old) {
                Kept::Clear => (&mut rekeyed.sealed, Some(old.to_owned())),
                Kept::SealedBefore => match self.keys.open(place, old) {
                    Ok(text) => (&mut rekeyed.sealed_anew, Some(text.into_owned())),
                    Err(_) => continue,
                },
                Kept::Closed(NotOpened::UnknownKey(key)) if forget.contains(&key) => {
                    (&mut rekeyed.forgotten, lost(column).map(str::to_owned))
                }
                Kept::Sealed | Kept::Closed(_) => continue,
            };
            let new = text.map(|it| self.sealed(place, it)).transpose()?;
            if self.replace_text(texts.sequence, column, old, new).await? {
                *count += 1;
            }
        }
        Ok(())
    }

    /// What to keep of a text.
    pub(super) fn sealed(&self, place: Place<'_>, text: String) -> Result<String, StoreError> {
        self.keys.seal(place, text).ok_or(StoreError::NotSealed(place.column))
    }

    /// False: it is not `old` any more, or gone.
    async fn replace_text(
        &self,
        sequence: i64,
        column: Column,
        old: &str,
        new: Option<String>,
    ) -> Result<bool, StoreError> {
        let old = old.to_owned();
        let row = dsl::services.find(sequence);
        let change = move |_: &usize| Some(Change::Service(sequence));
        let changed = match (column, new) {
            (USER_OPTIONS, Some(new)) => {
                query!(self.write, change, |connection| diesel::update(row.filter(dsl::user_options.eq(&old)))
                    .set(dsl::user_options.eq(&new))
                    .execute(connection))?
            }
            (UPDATE_MANIFEST, new) => {
                query!(self.write, change, |connection| diesel::update(row.filter(dsl::update_manifest.eq(&old)))
                    .set(dsl::update_manifest.eq(&new))
                    .execute(connection))?
            }
            (_, new) => query!(self.write, change, |connection| diesel::update(row.filter(dsl::details.eq(&old)))
                .set(dsl::details.eq(&new))
                .execute(connection))?,
        };
        Ok(changed == 1)
    }

    async fn texts_after(&self, sequence: i64) -> Result<Vec<Texts>, StoreError> {
        type Columns = (i64, String, String, Option<String>, Option<String>);
        let rows = query!(self.read, |connection| dsl::services
            .filter(dsl::sequence.gt(sequence))
            .order(dsl::sequence)
            .limit(PAGE)
            .select((dsl::sequence, dsl::object_id, dsl::user_options, dsl::update_manifest, dsl::details))
            .load::<Columns>(connection))?;
        let texts = |(sequence, object_id, user_options, update_manifest, details)| Texts {
            sequence,
            object_id,
            user_options,
            update_manifest,
            details,
        };
        Ok(rows.into_iter().map(texts).collect())
    }

    /// SQLite leaves what was overwritten in its file and in its write-ahead log. False: somebody keeps it from being removed.
    async fn sweep_file(&self) -> Result<Option<bool>, StoreError> {
        use diesel::RunQueryDsl;
        let Backend::Sqlite(pools) = &self.backend else { return Ok(None) };
        let swept = pools.write(|connection| {
            diesel::sql_query("VACUUM").execute(connection)?;
            diesel::sql_query("PRAGMA wal_checkpoint(TRUNCATE)").get_result::<Checkpoint>(connection)
        });
        match swept.await {
            Ok(checkpoint) => Ok(Some(checkpoint.busy == 0)),
            Err(StoreError::Query(error)) => {
                tracing::warn!(%error, "the database file cannot be rewritten");
                Ok(Some(false))
            }
            Err(error) => Err(error),
        }
    }
}

#[derive(diesel::QueryableByName)]
struct Checkpoint {
    #[diesel(sql_type = Integer)]
    busy: i32,
}

/// What stands for a text that was given up.
fn lost(column: Column) -> Option<&'static str> {
    match column {
        USER_OPTIONS => Some("{}"),
        DETAILS => Some(LOST_DETAILS),
        _ => None,
    }
}
