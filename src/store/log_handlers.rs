//! The log handlers that are configured: one row each, the same for all processes.

use diesel::result::{DatabaseErrorKind, Error};
use diesel::{ExpressionMethods, Insertable, QueryDsl};

use super::schema::log_handlers::{self, dsl};
use super::{Change, Store, StoreError, query};
use crate::domain::Json;

/// A handler's name and its configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct LogHandlerRow {
    pub handler: String,
    pub configuration: Json,
}

#[derive(Insertable)]
#[diesel(table_name = log_handlers)]
struct NewRow {
    handler: String,
    configuration: String,
}

impl Store {
    /// All handlers, oldest first.
    pub async fn log_handlers(&self) -> Result<Vec<LogHandlerRow>, StoreError> {
        let rows = query!(self.read, |connection| dsl::log_handlers
            .order(dsl::sequence)
            .select((dsl::handler, dsl::configuration))
            .load::<(String, String)>(connection))?;
        rows.into_iter()
            .map(|(handler, text)| match Json::parse(text.as_bytes()) {
                Ok(configuration) => Ok(LogHandlerRow { handler, configuration }),
                Err(_) => Err(StoreError::Unreadable { what: "log handler", value: handler }),
            })
            .collect()
    }

    /// False: there is one of this name.
    pub async fn insert_log_handler(&self, handler: &str, configuration: &Json) -> Result<bool, StoreError> {
        let row = NewRow { handler: handler.to_owned(), configuration: configuration.to_text() };
        let inserted =
            query!(self.write, |_| Some(Change::LogHandlers), |connection| diesel::insert_into(dsl::log_handlers)
                .values(&row)
                .execute(connection));
        match inserted {
            Ok(_) => Ok(true),
            Err(StoreError::Query(Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _))) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// False: it is not `old` any more. Somebody has changed or removed it.
    pub async fn replace_log_handler(&self, handler: &str, old: &Json, new: &Json) -> Result<bool, StoreError> {
        let (handler, old, new) = (handler.to_owned(), old.to_text(), new.to_text());
        let changed = query!(self.write, |_| Some(Change::LogHandlers), |connection| diesel::update(
            dsl::log_handlers.filter(dsl::handler.eq(&handler)).filter(dsl::configuration.eq(&old))
        )
        .set(dsl::configuration.eq(&new))
        .execute(connection))?;
        Ok(changed == 1)
    }

    /// False: there is none of this name.
    pub async fn delete_log_handler(&self, handler: &str) -> Result<bool, StoreError> {
        let handler = handler.to_owned();
        let deleted = query!(self.write, |_| Some(Change::LogHandlers), |connection| diesel::delete(
            dsl::log_handlers.filter(dsl::handler.eq(&handler))
        )
        .execute(connection))?;
        Ok(deleted == 1)
    }
}
