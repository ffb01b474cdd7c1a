//! Services and users that were there before their record: taken over from the reference, or found in the cluster.

use diesel::dsl::not;
use diesel::{ExpressionMethods, QueryDsl, SelectableHelper};

use super::schema::services::dsl;
use super::schema::users;
use super::services::{Inserted, NewRow, Row};
use super::users::{Row as UserRow, User};
use super::{Store, StoreError, query};
use crate::domain::group::Group;
use crate::domain::record::{NewService, ServiceRecord, ServiceState};

/// A service that runs already. It is never `Starting`: a start that was cut short is removed.
#[derive(Clone, Debug)]
pub struct FoundService {
    pub new: NewService,
    pub is_stopping: bool,
    /// Its pod templates do not carry our labels.
    pub is_adopted: bool,
}

impl Store {
    /// Writes a service down that is there. What is recorded already is left as it is.
    pub async fn insert_found_service(&self, found: &FoundService) -> Result<Inserted, StoreError> {
        let state = if found.is_stopping { ServiceState::Stopping } else { ServiceState::Running };
        let row = NewRow { state: state.as_str(), is_adopted: found.is_adopted, ..self.new_row(&found.new)? };
        self.insert_row(row, &found.new).await
    }

    /// The services that run and whose pod templates do not carry our labels.
    pub async fn adopted_services(&self) -> Result<Vec<ServiceRecord>, StoreError> {
        self.all(query!(self.read, |connection| dsl::services
            .filter(dsl::is_adopted)
            .filter(dsl::state.eq(ServiceState::Running.as_str()))
            .order(dsl::sequence)
            .select(Row::as_select())
            .load(connection))?)
    }

    pub async fn is_adopted_and_runs(&self, sequence: i64) -> Result<bool, StoreError> {
        let found = query!(self.read, |connection| dsl::services
            .filter(dsl::sequence.eq(sequence))
            .filter(dsl::is_adopted)
            .filter(dsl::state.eq(ServiceState::Running.as_str()))
            .count()
            .get_result::<i64>(connection))?;
        Ok(found == 1)
    }

    /// Adds a user as it is, with any kind of password hash. False: the name is taken, and nothing was changed.
    pub async fn insert_user(&self, user: &User) -> Result<bool, StoreError> {
        self.insert_user_row(UserRow {
            name: user.name.to_string(),
            password_hash: user.password_hash.clone(),
            is_superuser: user.is_superuser,
            is_active: user.is_active,
            access_to_webservice: user.groups.contains(&Group::Webservice),
            access_to_logging: user.groups.contains(&Group::Logging),
        })
        .await
    }

    /// Puts another hash of the same password in place of `old`. False: the password is another since.
    pub async fn replace_password_hash(&self, name: &str, old: &str, new: &str) -> Result<bool, StoreError> {
        let (name, old, new) = (name.to_owned(), old.to_owned(), new.to_owned());
        let changed = query!(self.write, |connection| diesel::update(
            users::table.find(&name).filter(users::password_hash.eq(&old))
        )
        .set(users::password_hash.eq(&new))
        .execute(connection))?;
        Ok(changed == 1)
    }

    /// Whether another start of the same name is later than this one.
    pub async fn has_newer_service(&self, new: &NewService) -> Result<bool, StoreError> {
        let (credential, server_name) = (new.credential.to_string(), new.server_name.to_string());
        let (start_id, start_date) = (new.start_id.to_string(), new.start_date.as_microsecond());
        let newer = query!(self.read, |connection| dsl::services
            .filter(dsl::credential.eq(&credential))
            .filter(dsl::server_name.eq(&server_name))
            .filter(not(dsl::start_id.eq(&start_id)))
            .filter(dsl::start_date.gt(start_date))
            .count()
            .get_result::<i64>(connection))?;
        Ok(newer > 0)
    }
}
