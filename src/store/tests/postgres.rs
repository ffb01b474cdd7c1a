//! What is PostgreSQL's own: connections that are lost, a server that comes back.

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
