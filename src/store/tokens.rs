//! The tokens of users: kept as hashes only, told apart by a label.

use diesel::result::{DatabaseErrorKind, Error};
use diesel::{ExpressionMethods, Insertable, QueryDsl};
use jiff::Timestamp;

use super::schema::tokens::{self, dsl};
use super::services::time;
use super::{Change, Store, StoreError, query};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub label: String,
    pub created_at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenAdded {
    Added,
    NoSuchUser,
    /// The user has a token of this label, or somebody has this very token.
    Exists,
}

#[derive(Insertable)]
#[diesel(table_name = tokens)]
struct NewRow {
    user_name: String,
    token_hash: String,
    label: String,
    created_at: i64,
}

impl Store {
    pub async fn add_token(&self, name: &str, token_hash: &str, label: &str) -> Result<TokenAdded, StoreError> {
        let row = NewRow {
            user_name: name.to_owned(),
            token_hash: token_hash.to_owned(),
            label: label.to_owned(),
            created_at: Timestamp::now().as_microsecond(),
        };
        let inserted = query!(self.write, |_| Some(Change::Users), |connection| diesel::insert_into(dsl::tokens)
            .values(&row)
            .execute(connection));
        match inserted {
            Ok(_) => Ok(TokenAdded::Added),
            Err(StoreError::Query(Error::DatabaseError(DatabaseErrorKind::ForeignKeyViolation, _))) => {
                Ok(TokenAdded::NoSuchUser)
            }
            Err(StoreError::Query(Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _))) => {
                Ok(TokenAdded::Exists)
            }
            Err(error) => Err(error),
        }
    }

    /// A user's tokens, oldest first.
    pub async fn tokens(&self, name: &str) -> Result<Vec<Token>, StoreError> {
        let name = name.to_owned();
        let rows = query!(self.read, |connection| dsl::tokens
            .filter(dsl::user_name.eq(&name))
            .order(dsl::id)
            .select((dsl::label, dsl::created_at))
            .load::<(String, i64)>(connection))?;
        rows.into_iter().map(|(label, at)| Ok(Token { label, created_at: time("token's date", at)? })).collect()
    }

    /// False: the user has no token of this label.
    pub async fn revoke_token(&self, name: &str, label: &str) -> Result<bool, StoreError> {
        let (name, label) = (name.to_owned(), label.to_owned());
        let deleted = query!(self.write, |_| Some(Change::Users), |connection| diesel::delete(
            dsl::tokens.filter(dsl::user_name.eq(&name)).filter(dsl::label.eq(&label))
        )
        .execute(connection))?;
        Ok(deleted == 1)
    }
}
