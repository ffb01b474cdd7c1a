//! The embedded migrations. What they run under (a lock that keeps other processes out) is the caller's.

use diesel::backend::Backend;
use diesel::migration::{Migration, MigrationSource, MigrationVersion};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::StoreError;

pub(super) const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
pub(super) const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// Brings the tables up to date; refuses a database that holds a migration which this version does not know.
pub(super) fn run<DB: Backend>(
    connection: &mut impl MigrationHarness<DB>,
    migrations: EmbeddedMigrations,
    database: &str,
) -> Result<(), StoreError> {
    let failed = |source| StoreError::Migrate { database: database.to_owned(), source };
    let known: Vec<Box<dyn Migration<DB>>> = migrations.migrations().map_err(failed)?;
    let is_known = |version: &MigrationVersion<'_>| known.iter().any(|it| it.name().version() == *version);
    let applied = connection.applied_migrations().map_err(failed)?;
    if let Some(newer) = applied.iter().find(|it| !is_known(it)) {
        return Err(StoreError::Newer { database: database.to_owned(), migration: newer.to_string() });
    }
    connection.run_pending_migrations(migrations).map_err(failed)?;
    Ok(())
}
