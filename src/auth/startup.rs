//! The users that an installation begins with. Users that are there are never changed.

use std::collections::{BTreeMap, BTreeSet};

use secrecy::{ExposeSecret, SecretString};

use super::{PasswordError, hash_password};
use crate::domain::group::{Group, UnknownGroup};
use crate::domain::{Credential, NameError};
use crate::store::{NewUser, Store, StoreError};

const SUPERUSER: &str = "admin";

#[derive(Debug, thiserror::Error)]
pub enum StartupUsersError {
    #[error("startup.create_user: `{name}` is no user name")]
    Name { name: String, source: NameError },
    #[error("startup.create_user: user `{name}`")]
    Group { name: String, source: UnknownGroup },
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The environment variable that holds a user's first password.
pub fn password_variable(name: &str) -> String {
    format!("{}_USER_PASS", name.to_uppercase())
}

/// Creates the superuser `admin` where a password for it is given, and each user of `create_user` (name, groups) for
/// whom `password_of` has one; it gets the user's name.
pub async fn create_startup_users(
    store: &Store,
    superuser_pass: Option<SecretString>,
    create_user: &BTreeMap<String, Vec<String>>,
    password_of: impl Fn(&str) -> Option<SecretString>,
) -> Result<(), StartupUsersError> {
    let mut wanted = Vec::new();
    for (name, groups) in create_user {
        let credential = credential(name)?;
        let groups: Result<BTreeSet<Group>, _> = groups.iter().map(|it| it.parse()).collect();
        let groups = groups.map_err(|source| StartupUsersError::Group { name: name.clone(), source })?;
        wanted.push((credential, groups));
    }
    let given = |password: Option<SecretString>| password.filter(|it| !it.expose_secret().is_empty());
    if let Some(password) = given(superuser_pass) {
        create(store, credential(SUPERUSER)?, BTreeSet::new(), true, password).await?;
    }
    for (name, groups) in wanted {
        match given(password_of(name.as_str())) {
            Some(password) => create(store, name, groups, false, password).await?,
            None if store.user(name.as_str()).await?.is_some() => {}
            None => tracing::info!("Do not create user {name} - password is missing"),
        }
    }
    Ok(())
}

fn credential(name: &str) -> Result<Credential, StartupUsersError> {
    Credential::parse(name).map_err(|source| StartupUsersError::Name { name: name.to_owned(), source })
}

async fn create(
    store: &Store,
    name: Credential,
    groups: BTreeSet<Group>,
    is_superuser: bool,
    password: SecretString,
) -> Result<(), StartupUsersError> {
    if store.user(name.as_str()).await?.is_some() {
        return Ok(());
    }
    let password_hash = Some(hash_password(password).await?);
    if store.create_user(&NewUser { name: name.clone(), password_hash, is_superuser, groups }).await? {
        tracing::info!("Created user {name}");
    }
    Ok(())
}
