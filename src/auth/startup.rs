//! The users that an installation begins with. Users that are there are never changed.

use std::collections::{BTreeMap, BTreeSet};

use secrecy::{ExposeSecret, SecretString};

use super::{PasswordError, hash_password};
use crate::domain::Credential;
use crate::domain::group::Group;
use crate::store::{NewUser, Store, StoreError};

const SUPERUSER: &str = "admin";

#[derive(Debug, thiserror::Error)]
pub enum StartupUsersError {
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Creates hubs whose names and passwords stand beside each other.
pub async fn create_hubs(store: &Store, hubs: &[(Credential, SecretString)]) -> Result<(), StartupUsersError> {
    for (name, password) in hubs {
        create(store, name.clone(), BTreeSet::from([Group::Webservice]), false, password.clone()).await?;
    }
    Ok(())
}

/// Creates the superuser `admin` where a password for it is given, and each user of `create_user` for whom
/// `password_of` has one.
pub async fn create_startup_users(
    store: &Store,
    superuser_pass: Option<SecretString>,
    create_user: &BTreeMap<Credential, Vec<Group>>,
    password_of: impl Fn(&Credential) -> Option<SecretString>,
) -> Result<(), StartupUsersError> {
    let given = |password: Option<SecretString>| password.filter(|it| !it.expose_secret().is_empty());
    if let (Some(password), Ok(name)) = (given(superuser_pass), Credential::parse(SUPERUSER)) {
        create(store, name, BTreeSet::new(), true, password).await?;
    }
    for (name, groups) in create_user {
        match given(password_of(name)) {
            Some(password) => {
                create(store, name.clone(), groups.iter().copied().collect(), false, password).await?;
            }
            None if store.user(name.as_str()).await?.is_some() => {}
            None => tracing::info!("Do not create user {name} - password is missing"),
        }
    }
    Ok(())
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
