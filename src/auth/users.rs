//! What may be done with users: the rules that the command line and the API share, each told in the same words.

use std::collections::BTreeSet;

use secrecy::{ExposeSecret, SecretString};

use super::{PasswordError, TokenError, hash_password, imported_token, new_token, token_hash};
use crate::domain::group::Group;
use crate::domain::{Credential, NameError};
use crate::store::{NewUser, Store, StoreError, Token, TokenAdded, User, UserChange};

/// More would not fit into the head of a request.
const LONGEST_PASSWORD: usize = 1024;
const LONGEST_LABEL: usize = 100;
/// The label of a token that was given none.
pub const DEFAULT_LABEL: &str = "default";

#[derive(Debug, thiserror::Error)]
pub enum UserError {
    #[error("`{0}` is no user name")]
    Name(String, #[source] NameError),
    #[error("user `{0}` exists already")]
    Exists(String),
    #[error("there is no user `{0}`")]
    NotFound(String),
    #[error("the password is empty")]
    EmptyPassword,
    #[error("a password has at most {LONGEST_PASSWORD} bytes")]
    LongPassword,
    #[error("a label is up to {LONGEST_LABEL} letters, digits, spaces and @ . + - _, and not dots alone")]
    Label,
    #[error("user `{user}` has a token labelled `{label}`")]
    LabelTaken { user: String, label: String },
    #[error("somebody has this token already")]
    TokenTaken,
    #[error("user `{user}` has no token labelled `{label}`")]
    NoSuchToken { user: String, label: String },
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Somebody who is to be added.
#[derive(Debug)]
pub struct NewAccount {
    pub name: Credential,
    /// `None`: only tokens let this user in.
    pub password: Option<SecretString>,
    pub is_superuser: bool,
    pub groups: BTreeSet<Group>,
}

/// What is to be different; `None` stays as it is.
#[derive(Debug, Default)]
pub struct AccountChange {
    pub password: Option<SecretString>,
    pub is_active: Option<bool>,
    pub groups: Option<BTreeSet<Group>>,
}

impl AccountChange {
    /// What is to be different, for the log.
    pub fn keys(&self) -> Vec<&'static str> {
        let keys = [
            ("password", self.password.is_some()),
            ("is_active", self.is_active.is_some()),
            ("groups", self.groups.is_some()),
        ];
        keys.into_iter().filter_map(|(key, changes)| changes.then_some(key)).collect()
    }
}

/// The users of the API, in the database.
#[derive(Clone)]
pub struct Users {
    store: Store,
}

impl Users {
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// All users by name, each with its tokens.
    pub async fn list(&self) -> Result<Vec<(User, Vec<Token>)>, UserError> {
        let mut all = Vec::new();
        for user in self.store.users().await? {
            let tokens = self.store.tokens(user.name.as_str()).await?;
            all.push((user, tokens));
        }
        Ok(all)
    }

    pub async fn find(&self, name: &str) -> Result<(User, Vec<Token>), UserError> {
        let user = self.store.user(name).await?.ok_or_else(|| UserError::NotFound(name.to_owned()))?;
        let tokens = self.store.tokens(name).await?;
        Ok((user, tokens))
    }

    /// A name that can be somebody's and is nobody's yet.
    pub async fn free_name(&self, name: &str) -> Result<Credential, UserError> {
        let credential = Credential::parse(name).map_err(|error| UserError::Name(name.to_owned(), error))?;
        match self.store.user(name).await? {
            None => Ok(credential),
            Some(_) => Err(UserError::Exists(name.to_owned())),
        }
    }

    pub async fn add(&self, account: NewAccount) -> Result<(), UserError> {
        let NewAccount { name, password, is_superuser, groups } = account;
        let password_hash = hashed(password).await?;
        let new = NewUser { name: name.clone(), password_hash, is_superuser, groups };
        match self.store.create_user(&new).await? {
            true => Ok(()),
            false => Err(UserError::Exists(name.to_string())),
        }
    }

    pub async fn change(&self, name: &str, change: AccountChange) -> Result<(), UserError> {
        let AccountChange { password, is_active, groups } = change;
        let change = UserChange { password_hash: hashed(password).await?, is_active, groups };
        found(name, self.store.change_user(name, &change).await?)
    }

    pub async fn grant(&self, name: &str, group: Group) -> Result<(), UserError> {
        found(name, self.store.grant(name, group).await?)
    }

    pub async fn revoke(&self, name: &str, group: Group) -> Result<(), UserError> {
        found(name, self.store.revoke(name, group).await?)
    }

    /// Refused while the user has services: nobody else could stop them.
    pub async fn delete(&self, name: &str) -> Result<(), UserError> {
        found(name, self.store.delete_user(name).await?)
    }

    /// Checks what can be checked before a token is asked for.
    pub async fn check_label(&self, name: &str, label: &str) -> Result<(), UserError> {
        let is_plain = |c: char| c.is_alphanumeric() || "@.+-_ ".contains(c);
        let is_blank = label.trim().is_empty() || label.chars().all(|c| c == '.');
        if is_blank || label.chars().count() > LONGEST_LABEL || !label.chars().all(is_plain) {
            return Err(UserError::Label);
        }
        found(name, self.store.user(name).await?.is_some())
    }

    /// Gives the user a new token, or the one that is `imported`. What is returned cannot be shown again.
    pub async fn add_token(
        &self,
        name: &str,
        label: &str,
        imported: Option<&SecretString>,
    ) -> Result<SecretString, UserError> {
        self.check_label(name, label).await?;
        let token = match imported {
            Some(text) => imported_token(text.expose_secret())?,
            None => new_token(),
        };
        match self.store.add_token(name, &token_hash(&token), label).await? {
            TokenAdded::Added => Ok(token),
            TokenAdded::NoSuchUser => Err(UserError::NotFound(name.to_owned())),
            TokenAdded::Exists if self.store.tokens(name).await?.iter().any(|it| it.label == label) => {
                Err(UserError::LabelTaken { user: name.to_owned(), label: label.to_owned() })
            }
            TokenAdded::Exists => Err(UserError::TokenTaken),
        }
    }

    pub async fn revoke_token(&self, name: &str, label: &str) -> Result<(), UserError> {
        found(name, self.store.user(name).await?.is_some())?;
        match self.store.revoke_token(name, label).await? {
            true => Ok(()),
            false => Err(UserError::NoSuchToken { user: name.to_owned(), label: label.to_owned() }),
        }
    }
}

fn found(name: &str, found: bool) -> Result<(), UserError> {
    if found { Ok(()) } else { Err(UserError::NotFound(name.to_owned())) }
}

async fn hashed(password: Option<SecretString>) -> Result<Option<String>, UserError> {
    match password {
        None => Ok(None),
        Some(password) if password.expose_secret().is_empty() => Err(UserError::EmptyPassword),
        Some(password) if password.expose_secret().len() > LONGEST_PASSWORD => Err(UserError::LongPassword),
        Some(password) => Ok(Some(hash_password(password).await?)),
    }
}
