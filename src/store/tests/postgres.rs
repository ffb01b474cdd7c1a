//! What is PostgreSQL's own: connections that are lost, a server that comes back.

use std::time::Duration;

use super::postgres_server::PostgresServer;
use super::*;

#[tokio::test]
async fn a_lost_connection_is_replaced() {
    let mut server = PostgresServer::start().await;
    let store = server.database("k8smgr").await.connect().await;
    store.insert_service(&new_service("hub", "lab", "s1")).await.unwrap();
    for _ in 0..10 {
        server
            .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'k8smgr'")
            .await;
        assert_eq!(store.services_of(&credential("hub")).await.unwrap().len(), 1);
    }

    server.restart().await;
    assert_eq!(store.services_of(&credential("hub")).await.unwrap().len(), 1);

    server.kill();
    let error = store.ping().await.unwrap_err();
    assert!(matches!(error, StoreError::Connect(_) | StoreError::Query(_)), "{error:?}");
    server.restart().await;
    store.ping().await.unwrap();
    assert!(store.create_user(&new_user("hub")).await.unwrap());
}

#[tokio::test]
async fn a_server_that_is_not_up_is_worth_waiting_for_and_one_that_refuses_is_not() {
    let mut server = PostgresServer::start().await;
    let url: DatabaseUrl = server.create_database("k8smgr").await.parse().unwrap();
    let error_of = async |url: &str| Store::connect(&url.parse().unwrap()).await.err().unwrap();

    let error = error_of(&server.url("nothing")).await;
    assert!(matches!(error, StoreError::Refused { .. }) && !error.may_come_up(), "{error:?}");
    let told = format!("{:#}", anyhow::Error::from(error));
    assert!(told.contains("check user, password, name") && told.contains("\"nothing\" does not exist"), "{told}");

    let full = "ALTER ROLE k8smgr NOSUPERUSER CONNECTION LIMIT 0";
    server.execute("CREATE ROLE root SUPERUSER LOGIN").await;
    server.execute(full).await;
    let error = Store::connect(&url).await.err().unwrap();
    assert!(error.may_come_up(), "too many connections: {error:?}");

    server.kill();
    let error = Store::connect(&url).await.err().unwrap();
    assert!(matches!(error, StoreError::NotUp { .. }) && error.may_come_up(), "{error:?}");
    let error = error_of("postgres://k8smgr@127.0.0.1:1/k8smgr").await;
    assert!(error.may_come_up(), "nobody listens: {error:?}");
    let error = error_of("postgres://k8smgr@no-such-host.invalid/k8smgr").await;
    assert!(error.may_come_up(), "a name that does not resolve yet: {error:?}");
}

#[tokio::test]
async fn the_leaders_lock_is_one_processs_and_goes_with_it() {
    let mut server = PostgresServer::start().await;
    let database = server.database("k8smgr").await;
    let (one, other) = (database.connect().await, database.connect().await);
    let outlives = Duration::from_secs(60);
    let mut first = one.leader_lock(outlives).await.unwrap();
    let mut second = other.leader_lock(outlives).await.unwrap();
    assert!(first.take_or_keep().await.unwrap());
    assert!(first.take_or_keep().await.unwrap());
    assert!(!second.take_or_keep().await.unwrap());
    first.release().await;
    assert!(second.take_or_keep().await.unwrap());
    // A process that dies takes its connection along.
    drop(second);
    let mut third = one.leader_lock(outlives).await.unwrap();
    while !third.take_or_keep().await.unwrap() {
        tokio::task::yield_now().await;
    }
    server.restart().await;
    assert!(third.take_or_keep().await.is_err(), "the lock went with the server");
}

#[tokio::test]
async fn the_leaders_lock_of_a_process_that_is_silent_goes_to_another() {
    let server = PostgresServer::start().await;
    let database = server.database("k8smgr").await;
    let (one, other) = (database.connect().await, database.connect().await);
    // It hangs: its connection stays open, and nothing comes.
    let mut hanging = one.leader_lock(Duration::from_secs(3)).await.unwrap();
    assert!(hanging.take_or_keep().await.unwrap());
    let mut next = other.leader_lock(Duration::from_secs(60)).await.unwrap();
    while !next.take_or_keep().await.unwrap() {
        tokio::task::yield_now().await;
    }
    assert!(hanging.take_or_keep().await.is_err());
}
