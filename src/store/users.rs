//! The users of the API: hubs and operators, with their passwords' hashes and groups.

use std::collections::BTreeSet;
use std::fmt;

use diesel::{AsChangeset, ExpressionMethods, Insertable, QueryDsl, Queryable, Selectable, SelectableHelper};

use super::schema::users::{self, dsl};
use super::schema::{services, tokens};
use super::services::readable;
use super::{Change, Store, StoreError, query};
use crate::domain::Credential;
use crate::domain::group::Group;

#[derive(Clone)]
pub struct NewUser {
    pub name: Credential,
    /// `None`: only tokens let this user in.
    pub password_hash: Option<String>,
    pub is_superuser: bool,
    pub groups: BTreeSet<Group>,
}

#[derive(Clone, PartialEq, Eq)]
pub struct User {
    pub name: Credential,
    pub password_hash: Option<String>,
    pub is_superuser: bool,
    pub is_active: bool,
    pub groups: BTreeSet<Group>,
}

/// What of a user is to be different; `None` stays as it is.
#[derive(Clone, Default)]
pub struct UserChange {
    pub password_hash: Option<String>,
    pub is_active: Option<bool>,
    pub groups: Option<BTreeSet<Group>>,
}

impl UserChange {
    fn is_empty(&self) -> bool {
        self.password_hash.is_none() && self.is_active.is_none() && self.groups.is_none()
    }
}

impl fmt::Debug for NewUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewUser({}, superuser: {}, groups: {:?})", self.name, self.is_superuser, self.groups)
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let User { name, is_superuser, is_active, groups, .. } = self;
        write!(f, "User({name}, superuser: {is_superuser}, active: {is_active}, groups: {groups:?})")
    }
}

#[derive(AsChangeset)]
#[diesel(table_name = users)]
struct Changes {
    password_hash: Option<String>,
    is_active: Option<bool>,
    access_to_webservice: Option<bool>,
    access_to_logging: Option<bool>,
}

#[derive(Insertable, Queryable, Selectable)]
#[diesel(table_name = users)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) password_hash: Option<String>,
    pub(super) is_superuser: bool,
    pub(super) is_active: bool,
    pub(super) access_to_webservice: bool,
    pub(super) access_to_logging: bool,
}

impl Store {
    /// False: the name is taken, and nothing was changed.
    pub async fn create_user(&self, new: &NewUser) -> Result<bool, StoreError> {
        let row = Row {
            name: new.name.to_string(),
            password_hash: new.password_hash.clone(),
            is_superuser: new.is_superuser,
            is_active: true,
            access_to_webservice: new.groups.contains(&Group::Webservice),
            access_to_logging: new.groups.contains(&Group::Logging),
        };
        self.insert_user_row(row).await
    }

    /// False: the name is taken, and nothing was changed.
    pub(super) async fn insert_user_row(&self, row: Row) -> Result<bool, StoreError> {
        let inserted = query!(self.write, |_| Some(Change::Users), |connection| diesel::insert_into(dsl::users)
            .values(&row)
            .on_conflict_do_nothing()
            .execute(connection))?;
        Ok(inserted == 1)
    }

    pub async fn user(&self, name: &str) -> Result<Option<User>, StoreError> {
        if name.contains('\0') {
            return Ok(None);
        }
        let name = name.to_owned();
        first(query!(self.read, |connection| dsl::users
            .filter(dsl::name.eq(&name))
            .select(Row::as_select())
            .load(connection))?)
    }

    pub async fn user_by_token_hash(&self, token_hash: &str) -> Result<Option<User>, StoreError> {
        let token_hash = token_hash.to_owned();
        first(query!(self.read, |connection| dsl::users
            .inner_join(tokens::table)
            .filter(tokens::token_hash.eq(&token_hash))
            .select(Row::as_select())
            .load(connection))?)
    }

    /// All users by name.
    pub async fn users(&self) -> Result<Vec<User>, StoreError> {
        let rows =
            query!(self.read, |connection| dsl::users.order(dsl::name).select(Row::as_select()).load(connection))?;
        rows.into_iter().map(User::try_from).collect()
    }

    /// False: there is no such user; so with all that follow.
    pub async fn set_password(&self, name: &str, hash: &str) -> Result<bool, StoreError> {
        let (name, hash) = (name.to_owned(), hash.to_owned());
        let changed = query!(self.write, |_| Some(Change::Users), |connection| diesel::update(dsl::users.find(&name))
            .set(dsl::password_hash.eq(&hash))
            .execute(connection))?;
        Ok(changed == 1)
    }

    pub async fn set_active(&self, name: &str, active: bool) -> Result<bool, StoreError> {
        let name = name.to_owned();
        let changed = query!(self.write, |_| Some(Change::Users), |connection| diesel::update(dsl::users.find(&name))
            .set(dsl::is_active.eq(active))
            .execute(connection))?;
        Ok(changed == 1)
    }

    /// All of it at once.
    pub async fn change_user(&self, name: &str, change: &UserChange) -> Result<bool, StoreError> {
        let member = |group| change.groups.as_ref().map(|groups| groups.contains(&group));
        let changes = Changes {
            password_hash: change.password_hash.clone(),
            is_active: change.is_active,
            access_to_webservice: member(Group::Webservice),
            access_to_logging: member(Group::Logging),
        };
        if change.is_empty() {
            return Ok(self.user(name).await?.is_some());
        }
        let name = name.to_owned();
        let changed = query!(self.write, |_| Some(Change::Users), |connection| diesel::update(dsl::users.find(&name))
            .set(&changes)
            .execute(connection))?;
        Ok(changed == 1)
    }

    pub async fn grant(&self, name: &str, group: Group) -> Result<bool, StoreError> {
        self.set_group(name, group, true).await
    }

    pub async fn revoke(&self, name: &str, group: Group) -> Result<bool, StoreError> {
        self.set_group(name, group, false).await
    }

    async fn set_group(&self, name: &str, group: Group, member: bool) -> Result<bool, StoreError> {
        let name = name.to_owned();
        let changed = match group {
            Group::Webservice => {
                query!(self.write, |_| Some(Change::Users), |connection| diesel::update(dsl::users.find(&name))
                    .set(dsl::access_to_webservice.eq(member))
                    .execute(connection))?
            }
            Group::Logging => {
                query!(self.write, |_| Some(Change::Users), |connection| diesel::update(dsl::users.find(&name))
                    .set(dsl::access_to_logging.eq(member))
                    .execute(connection))?
            }
        };
        Ok(changed == 1)
    }

    /// Deletes a user and its tokens. Refused while it has services: nobody else could stop them.
    pub async fn delete_user(&self, name: &str) -> Result<bool, StoreError> {
        let (deleted, counted) = (name.to_owned(), name.to_owned());
        let changed = query!(self.write, |_| Some(Change::Users), |connection| diesel::delete(
            dsl::users.find(&deleted).filter(diesel::dsl::not(diesel::dsl::exists(
                services::table.filter(services::credential.eq(&deleted))
            )))
        )
        .execute(connection))?;
        if changed == 1 {
            return Ok(true);
        }
        let services = query!(self.read, |connection| services::table
            .filter(services::credential.eq(&counted))
            .count()
            .get_result::<i64>(connection))?;
        if services > 0 && self.user(name).await?.is_some() {
            return Err(StoreError::UserHasServices { name: name.to_owned(), services });
        }
        Ok(false)
    }
}

impl TryFrom<Row> for User {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let groups = [(Group::Webservice, row.access_to_webservice), (Group::Logging, row.access_to_logging)];
        Ok(User {
            name: readable("user name", &row.name, |it| Credential::parse(it).ok())?,
            password_hash: row.password_hash,
            is_superuser: row.is_superuser,
            is_active: row.is_active,
            groups: groups.into_iter().filter_map(|(group, member)| member.then_some(group)).collect(),
        })
    }
}

fn first(rows: Vec<Row>) -> Result<Option<User>, StoreError> {
    rows.into_iter().next().map(User::try_from).transpose()
}
