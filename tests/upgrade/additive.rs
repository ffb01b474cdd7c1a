//! A migration only adds: the version before goes on working beside it, for as long as a rolling update takes.

use std::path::Path;

/// What is wrong with a statement, in capitals and with single spaces.
fn objection(statement: &str) -> Option<&'static str> {
    let begins = |words: &str| statement.starts_with(words);
    if let Some(rest) = statement.strip_prefix("ALTER TABLE ") {
        let Some((_, change)) = rest.split_once(' ') else { return Some("it cannot be read") };
        return match change.strip_prefix("ADD COLUMN ") {
            None => Some("a table may only get columns"),
            Some(_) if change.contains(',') => Some("one column a statement, so that each can be looked at"),
            Some(column) if column.contains("NOT NULL") && !column.contains(" DEFAULT ") => {
                Some("the version before does not fill a new column: it needs a DEFAULT")
            }
            Some(column) if column.contains(" UNIQUE") => Some("rows of the version before would collide"),
            Some(_) => None,
        };
    }
    let is_unique_index = begins("CREATE UNIQUE INDEX");
    let creates = ["CREATE TABLE ", "CREATE INDEX ", "CREATE FUNCTION ", "CREATE TRIGGER ", "CREATE SEQUENCE "];
    match () {
        () if is_unique_index => Some("what the version before writes may break it"),
        () if creates.iter().any(|it| begins(it)) || begins("INSERT INTO ") => None,
        () => Some("it changes or removes what is there"),
    }
}

/// The statements, without comments and bodies of functions.
fn statements(sql: &str) -> Vec<String> {
    let lines: Vec<_> = sql.lines().map(|it| it.split("--").next().unwrap_or_default()).collect();
    let text = lines.join(" ");
    // A body stands between two `$$`.
    let outside: Vec<_> = text.split("$$").step_by(2).collect();
    let all = outside.join(" BODY ");
    let words = |it: &str| it.split_whitespace().collect::<Vec<_>>().join(" ").to_uppercase();
    all.split(';').map(words).filter(|it| !it.is_empty()).collect()
}

#[test]
fn every_migration_only_adds() {
    let mut seen = 0;
    for database in ["sqlite", "postgres"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(database);
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path().join("up.sql");
            for statement in statements(&std::fs::read_to_string(&path).unwrap()) {
                seen += 1;
                if let Some(objection) = objection(&statement) {
                    panic!("{}: {objection} (ARCHITECTURE.md, \"Migrations only add\"): {statement}", path.display());
                }
            }
        }
    }
    assert!(seen > 20, "{seen}");
}

#[test]
fn what_would_break_the_version_before_is_seen() {
    for (sql, is_fine) in [
        ("ALTER TABLE services ADD COLUMN a TEXT;", true),
        ("alter table services\n add column a bigint not null default 0; -- DROP TABLE x", true),
        ("ALTER TABLE services ADD COLUMN a TEXT NOT NULL;", false),
        ("ALTER TABLE services DROP COLUMN details;", false),
        ("ALTER TABLE services RENAME COLUMN details TO d;", false),
        ("ALTER TABLE services ALTER COLUMN details SET NOT NULL;", false),
        ("CREATE TABLE t (a TEXT); DROP TABLE users;", false),
        ("UPDATE services SET details = NULL;", false),
        ("CREATE UNIQUE INDEX one ON services (service);", false),
        ("CREATE FUNCTION f() RETURNS trigger AS $$ BEGIN DROP TABLE x; END $$;", true),
        ("CREATE OR REPLACE FUNCTION f() RETURNS trigger AS $$ BEGIN END $$;", false),
    ] {
        assert_eq!(statements(sql).iter().all(|it| objection(it).is_none()), is_fine, "{sql}");
    }
}
