//! Connecting: several at once, again, to what a newer version wrote.

use std::collections::HashSet;

use futures::future::join_all;

use super::*;

pub async fn many_processes_may_start_at_once(database: TestDatabase) {
    let stores = join_all((0..6).map(|_| database.connect())).await;
    for store in stores {
        store.ping().await.unwrap();
        assert!(store.users().await.unwrap().is_empty());
    }
    database.connect().await.ping().await.unwrap();
}

pub async fn a_database_of_a_newer_version_is_refused(database: TestDatabase) {
    let store = database.connect().await;
    execute(&store, "INSERT INTO __diesel_schema_migrations (version) VALUES ('29990101000001')").await.unwrap();
    let error = Store::connect(&database.url).await.err().unwrap();
    assert!(
        matches!(&error, StoreError::Newer { migration, .. } if migration == "29990101000001"),
        "{error}: {error:?}"
    );
}

pub async fn the_installation_id_is_made_once(database: TestDatabase) {
    let stores = join_all((0..4).map(|_| database.connect())).await;
    let ids = join_all(stores.iter().map(Store::installation_id)).await;
    let ids: HashSet<String> = ids.into_iter().map(Result::unwrap).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    let id = ids.into_iter().next().unwrap();
    assert!(id.starts_with(|c: char| c.is_ascii_lowercase()) && id.len() == 12, "{id}");
    assert!(id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()), "{id}");
    assert_eq!(database.connect().await.installation_id().await.unwrap(), id);
}

pub async fn a_caller_that_goes_away_leaves_the_store_usable(database: TestDatabase) {
    let store = database.connect().await;
    for round in 0..50 {
        let (store, name) = (store.clone(), format!("user{round}"));
        let caller = tokio::spawn(async move { store.create_user(&new_user(&name)).await });
        tokio::task::yield_now().await;
        caller.abort();
    }
    assert!(store.create_user(&new_user("last")).await.unwrap());
    assert!(store.user("last").await.unwrap().is_some());
}
