//! The change feed: whoever changes something, everybody is told.

use std::path::Path;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::postgres_server::PostgresServer;
use super::*;
use crate::store::{Batch, Changes};

const PATIENCE: Duration = Duration::from_secs(30);

/// The next batch that satisfies; panics where none comes.
async fn told(changes: &mut Changes, is_it: impl Fn(&Batch) -> bool) -> Batch {
    let look = async {
        loop {
            let batch = changes.next().await;
            if is_it(&batch) {
                return batch;
            }
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("the change is told")
}

/// Waits until nothing older is told any more: a user of its own is changed for it.
async fn settled(store: &Store, changes: &mut Changes) {
    if store.is_shared() {
        told(changes, |batch| batch.everything).await;
    }
    store.set_password("nobody", "x").await.unwrap();
    told(changes, |batch| batch.users).await;
}

/// "Everything" counts: it may be told at any time, and may stand for this change. True: the change was told by name.
async fn told_of(changes: &mut Changes, sequence: i64) -> bool {
    let batch = told(changes, |batch| batch.everything || batch.services.contains(&sequence)).await;
    batch.services.contains(&sequence)
}

/// Looks until it is so.
pub async fn until(is_so: impl Fn() -> bool) {
    let look = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("it comes to pass");
}

pub async fn a_change_is_told_to_every_process(database: TestDatabase) {
    let (one, other) = (database.connect().await, database.connect().await);
    let (mut own, mut others) = (one.changes().await, other.changes().await);
    settled(&one, &mut own).await;
    settled(&other, &mut others).await;
    let sequence = one.insert_service(&new_service("hub", "lab", "s1")).await.unwrap().expect_new().sequence;
    told_of(&mut own, sequence).await;
    told_of(&mut others, sequence).await;
    one.mark_running(sequence, &[]).await.unwrap();
    told_of(&mut own, sequence).await;
    told_of(&mut others, sequence).await;
    one.remove_service(sequence).await.unwrap();
    told_of(&mut own, sequence).await;
    told_of(&mut others, sequence).await;

    let before = other.user_changes();
    one.create_user(&new_user("hub")).await.unwrap();
    told(&mut own, |batch| batch.everything || batch.users).await;
    told(&mut others, |batch| batch.everything || batch.users).await;
    assert_ne!(other.user_changes(), before);
    one.add_token("hub", "h1", "first").await.unwrap();
    told(&mut own, |batch| batch.everything || batch.users).await;
    told(&mut others, |batch| batch.everything || batch.users).await;
    one.delete_log_handler("stream").await.unwrap();
    told(&mut own, |batch| batch.everything || batch.log_handlers).await;
    told(&mut others, |batch| batch.everything || batch.log_handlers).await;
}

#[tokio::test]
async fn what_this_process_changes_is_told_though_its_caller_goes_away() {
    let database = TestDatabase::sqlite();
    let store = database.connect().await;
    let mut changes = store.own_changes();
    let sequence = store.insert_service(&new_service("hub", "lab", "s1")).await.unwrap().expect_new().sequence;
    told(&mut changes, |batch| batch.services.contains(&sequence)).await;
    // The writer waits for somebody else's lock while its caller goes away.
    let path = database.url.to_string().replace("sqlite://", "");
    let mut lock = SqliteConnection::establish(&path).unwrap();
    lock.batch_execute("BEGIN IMMEDIATE").unwrap();
    let caller = {
        let store = store.clone();
        tokio::spawn(async move { store.mark_running(sequence, &[]).await })
    };
    until(|| store.is_writing()).await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    lock.batch_execute("ROLLBACK").unwrap();
    told(&mut changes, |batch| batch.services.contains(&sequence)).await;
}

#[tokio::test]
async fn nothing_is_missed_while_postgresql_cuts_connections_or_is_away() {
    let mut server = PostgresServer::start().await;
    let store = server.database("k8smgr").await.connect().await;
    let mut changes = store.changes().await;
    settled(&store, &mut changes).await;
    for _ in 0..3 {
        server
            .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'k8smgr'")
            .await;
        told(&mut changes, |batch| batch.everything).await;
    }
    server.kill();
    until(|| store.is_away()).await;
    server.restart().await;
    told(&mut changes, |batch| batch.everything).await;
    until(|| !store.is_away()).await;
    // As soon as it listens again, by name.
    for start in 0.. {
        let new = new_service("hub", "lab", &format!("s{start}"));
        let sequence = store.insert_service(&new).await.unwrap().expect_new().sequence;
        if told_of(&mut changes, sequence).await {
            break;
        }
    }
}

#[tokio::test]
async fn changes_are_told_where_a_pooler_keeps_the_notifications() {
    let server = PostgresServer::start().await;
    let database = server.database("k8smgr").await;
    let direct = database.connect().await;
    let pooler = TempDir::new().unwrap();
    let (socket, target) = (pooler.path().join(".s.PGSQL.5432"), server.socket());
    let listener = UnixListener::bind(&socket).unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(forward_without_notifications(client, target.clone()));
        }
    });
    let url = format!("postgres:///k8smgr?user=k8smgr&sslmode=disable&host={}", pooler.path().display());
    let store = Store::connect(&url.parse().unwrap()).await.unwrap();
    let mut changes = store.changes().await;
    settled(&store, &mut changes).await;
    let sequence = direct.insert_service(&new_service("hub", "lab", "s1")).await.unwrap().expect_new().sequence;
    let batch = told(&mut changes, |batch| !batch.services.is_empty()).await;
    assert!(batch.services.contains(&sequence) && !batch.everything, "{batch:?}");
    direct.begin_stop(sequence).await.unwrap();
    told(&mut changes, |batch| batch.services.contains(&sequence)).await;
    direct.remove_service(sequence).await.unwrap();
    told(&mut changes, |batch| batch.services.contains(&sequence)).await;
    direct.create_user(&new_user("hub")).await.unwrap();
    told(&mut changes, |batch| batch.users).await;
}

/// What a pooler in transaction mode does: everything passes but `NotificationResponse`.
async fn forward_without_notifications(client: UnixStream, target: std::path::PathBuf) {
    let Ok(server) = UnixStream::connect(Path::new(&target)).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    tokio::spawn(async move {
        let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
        let _ = to_server.shutdown().await;
    });
    // A message is its kind, its length with itself, and the rest.
    loop {
        let mut head = [0; 5];
        if from_server.read_exact(&mut head).await.is_err() {
            return;
        }
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize - 4;
        let mut rest = vec![0; length];
        if from_server.read_exact(&mut rest).await.is_err() {
            return;
        }
        let is_kept = head[0] == b'A';
        if !is_kept && (to_client.write_all(&head).await.is_err() || to_client.write_all(&rest).await.is_err()) {
            return;
        }
    }
}
