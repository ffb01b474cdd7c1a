//! What is SQLite's own: the file, its folder and modes, damage, a lock held by somebody else.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};

use super::*;

async fn error_of(path: &Path) -> StoreError {
    Store::connect(&DatabaseUrl::sqlite(path).unwrap()).await.err().unwrap()
}

#[tokio::test]
async fn folder_and_file_are_made_for_us_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("var/lib/k8smgr.sqlite3");
    let store = Store::connect(&DatabaseUrl::sqlite(&path).unwrap()).await.unwrap();
    store.create_user(&new_user("hub")).await.unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    for name in ["k8smgr.sqlite3", "k8smgr.sqlite3-wal", "k8smgr.sqlite3-shm"] {
        assert_eq!(mode(&path.with_file_name(name)), 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let error = error_of(&folder.path().join("file/k8smgr.sqlite3")).await;
    assert!(matches!(&error, StoreError::Create { path, .. } if path.ends_with("file/k8smgr.sqlite3")), "{error:?}");
    let error = error_of(&folder.path().join("file/folder/k8smgr.sqlite3")).await;
    assert!(matches!(&error, StoreError::Create { path, .. } if path.ends_with("file/folder")), "{error:?}");
}

/// /sys takes no files, not even root's.
#[tokio::test]
async fn a_folder_that_cannot_be_written_to_is_told() {
    let path = Path::new("/sys/k8smgr.sqlite3");
    let lock = ProcessLock::take(&DatabaseUrl::sqlite(path).unwrap()).unwrap_err();
    for error in [error_of(path).await, lock] {
        let told = error.to_string();
        assert!(told.starts_with("failed to create /sys/k8smgr.sqlite3"), "{told}");
        assert!(told.contains("must be able to write to the folder of its database"), "{told}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    let text = "not a database, ".repeat(100);
    std::fs::write(&path, &text).unwrap();
    let error = error_of(&path).await;
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    assert!(error.to_string().contains("put a backup in its place"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[tokio::test]
async fn a_damaged_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("k8smgr.sqlite3");
    let mut connection = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    connection.batch_execute("CREATE TABLE t (x TEXT); CREATE INDEX i ON t (x);").unwrap();
    connection
        .batch_execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) INSERT INTO t SELECT 'row ' || i FROM n")
        .unwrap();
    drop(connection);
    let whole = std::fs::read(&path).unwrap();
    let middle = whole.len() / 2;
    let mut garbage = whole.clone();
    garbage[middle..middle + 8192].fill(0x5a);
    let damages = [
        ("garbage in the middle", garbage),
        ("cut in the middle", whole[..middle].to_vec()),
        ("cut in a page", whole[..whole.len() - 100].to_vec()),
        ("cut in the header", whole[..50].to_vec()),
        ("another file", b"#!/bin/sh\n".repeat(1000)),
        ("zeros", vec![0; whole.len()]),
    ];
    for (what, bytes) in damages {
        std::fs::write(&path, &bytes).unwrap();
        let error = error_of(&path).await;
        assert!(matches!(error, StoreError::Corrupt { .. }), "{what}: {error:?}");
        let told = error.to_string();
        assert!(told.contains("k8smgr restore") && told.contains("k8smgr rebuild"), "{told}");
        assert_eq!(std::fs::metadata(&path).unwrap().len(), bytes.len() as u64, "{what}: left for whoever may mend it");
    }
}

#[tokio::test]
async fn one_process_serves_a_database_and_a_link_to_it_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made/here/k8smgr.sqlite3");
    let url = DatabaseUrl::sqlite(&path).unwrap();
    let lock = ProcessLock::take(&url).unwrap();
    Store::connect(&url).await.unwrap().ping().await.unwrap();
    let link = folder.path().join("link.sqlite3");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for url in [&url, &DatabaseUrl::sqlite(&link).unwrap()] {
        let told = ProcessLock::take(url).unwrap_err().to_string();
        let process = format!("another K8s Manager (process {}) serves the database", std::process::id());
        assert!(told.starts_with(&process), "{told}");
    }
    drop(lock);
    ProcessLock::take(&url).unwrap();
}

#[tokio::test]
async fn a_writer_waits_for_another_process() {
    let database = TestDatabase::sqlite();
    let store = database.connect().await;
    let path = database.url.to_string().replace("sqlite://", "");
    let mut other = SqliteConnection::establish(&path).unwrap();
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.create_user(&new_user("hub")).await }
    });
    changes::until(|| store.is_writing()).await;
    // Readers are not held up by it.
    assert_eq!(store.users().await.unwrap(), []);
    assert!(!waiting.is_finished());
    other.batch_execute("COMMIT").unwrap();
    assert!(waiting.await.unwrap().unwrap());
}

#[tokio::test]
async fn a_reader_cannot_write() {
    let database = TestDatabase::sqlite();
    let store = database.connect().await;
    let written =
        query!(store.read, |connection| diesel::sql_query("DELETE FROM users").execute(connection)).unwrap_err();
    assert!(format!("{written:?}").contains("readonly"), "{written:?}");
}

#[derive(diesel::QueryableByName)]
struct PlanLine {
    #[diesel(sql_type = diesel::sql_types::Text)]
    detail: String,
}

#[tokio::test]
async fn a_poll_reads_one_row_by_index() {
    let database = TestDatabase::sqlite();
    let store = database.connect().await;
    let plan = query!(store.read, |connection| diesel::sql_query(
        "EXPLAIN QUERY PLAN SELECT * FROM services WHERE credential = 'a' AND server_name = 'b' ORDER BY sequence DESC LIMIT 1"
    )
    .load::<PlanLine>(connection))
    .unwrap();
    let plan: Vec<String> = plan.into_iter().map(|it| it.detail).collect();
    assert_eq!(plan, ["SEARCH services USING INDEX services_newest (credential=? AND server_name=?)"]);
}

#[derive(diesel::QueryableByName)]
struct Step {
    #[diesel(sql_type = diesel::sql_types::Text)]
    detail: String,
}

/// Asked for every few seconds, of thousands of services of which it concerns none.
#[tokio::test]
async fn what_is_asked_now_and_then_does_not_read_all_that_run() {
    use diesel::RunQueryDsl;
    use diesel::connection::{Instrumentation, InstrumentationEvent, set_default_instrumentation};

    static ASKED: std::sync::Mutex<Vec<String>> = std::sync::Mutex::new(Vec::new());
    fn noting() -> Option<Box<dyn Instrumentation>> {
        Some(Box::new(|event: InstrumentationEvent<'_>| {
            if let InstrumentationEvent::StartQuery { query, .. } = event {
                ASKED.lock().unwrap().push(query.to_string());
            }
        }))
    }
    set_default_instrumentation(noting).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("k8smgr.sqlite3");
    let store = Store::connect(&DatabaseUrl::sqlite(&path).unwrap()).await.unwrap();
    assert!(store.adopted_services().await.unwrap().is_empty());
    assert_eq!(store.end_dates().await.unwrap(), []);
    set_default_instrumentation(|| None).unwrap();

    let mut connection = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    for (condition, index) in [
        ("`services`.`is_adopted` AND", "services_adopted"),
        ("(`services`.`ends_at` IS NOT NULL)", "services_with_end"),
    ] {
        let asked = ASKED.lock().unwrap().clone();
        let of_it = |it: &&String| it.starts_with("SELECT") && it.contains(condition) && it.contains("ORDER BY");
        let query = asked.iter().find(of_it).unwrap_or_else(|| panic!("no query with {condition} in {asked:?}"));
        let query = query.split(" -- binds").next().unwrap();
        let plan = diesel::sql_query(format!("EXPLAIN QUERY PLAN {query}")).load::<Step>(&mut connection).unwrap();
        assert!(plan.iter().any(|it| it.detail.contains(index)), "{:?}", plan[0].detail);
    }
}
