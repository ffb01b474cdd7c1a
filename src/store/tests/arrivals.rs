//! Starts on their way in, and the stops that meet them.

use futures::future::join;

use super::*;
use crate::domain::Limits;
use crate::store::{Arrived, Inserted, NotInserted};

fn name() -> (Credential, ServerName) {
    (credential("hub"), server("lab"))
}

/// `None`: it was stopped.
async fn insert(store: &Store, new: &NewService, arrived: Arrived) -> Option<Inserted> {
    match store.insert_arrived_service(new, arrived, Limits::default()).await.unwrap() {
        Ok(inserted) => Some(inserted),
        Err(NotInserted::Stopped) => None,
        Err(NotInserted::NoRoom(reached)) => panic!("{reached:?}"),
    }
}

pub async fn a_start_is_written_down_as_without_arrivals(database: TestDatabase) {
    let store = database.connect().await;
    let arrived = store.announce_arrival(&name()).await.unwrap();
    let new = new_service("hub", "lab", "s1");
    let Inserted::New(made) = insert(&store, &new, arrived).await.unwrap() else { panic!() };
    let read = store.service(made.sequence).await.unwrap().unwrap();
    assert_eq!(format!("{made:?}"), format!("{read:?}"));
    let again = insert(&store, &new, arrived).await;
    assert!(matches!(&again, Some(Inserted::SameStart(it)) if it.sequence == made.sequence), "{again:?}");
    let other_hub = (credential("other"), server("lab"));
    let others = store.announce_arrival(&other_hub).await.unwrap();
    let taken = insert(&store, &new_service("other", "lab", "s1"), others).await;
    assert!(matches!(taken, Some(Inserted::IdTaken)), "{taken:?}");
    store.forget_arrival(arrived).await.unwrap();
    assert!(!store.stop_arrivals(&name()).await.unwrap(), "the start is not on its way any more");
}

/// On SQLite other processes start nothing, and this one keeps its own in memory.
pub async fn a_stop_counts_for_a_start_that_is_not_written_down(database: TestDatabase) {
    let (one, other) = (database.connect().await, database.connect().await);
    let arrived = one.announce_arrival(&name()).await.unwrap();
    let of_another_name = one.announce_arrival(&(credential("hub"), server("lab2"))).await.unwrap();
    let was_told = other.stop_arrivals(&name()).await.unwrap();
    assert_eq!(was_told, one.is_shared());
    let inserted = insert(&one, &new_service("hub", "lab", "s1"), arrived).await;
    assert_eq!(inserted.is_none(), one.is_shared(), "{inserted:?}");
    let inserted = insert(&one, &new_service("hub", "lab2", "s1"), of_another_name).await;
    assert!(matches!(inserted, Some(Inserted::New(_))), "{inserted:?}");
    // A later start is not stopped by it.
    let later = one.announce_arrival(&name()).await.unwrap();
    let inserted = insert(&one, &new_service("hub", "lab", "s2"), later).await;
    assert!(matches!(inserted, Some(Inserted::New(_))), "{inserted:?}");
}

/// Whatever the order: a stop finds the record, or there is none.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_stop_is_missed_by_a_start_at_the_same_moment() {
    let server = postgres_server::PostgresServer::start().await;
    let database = server.database("moment").await;
    let (one, other) = (database.connect().await, database.connect().await);
    let mut outcomes = BTreeSet::new();
    for round in 0..300 {
        let lab = format!("lab{round}");
        let name = (credential("hub"), super::server(&lab));
        let arrived = one.announce_arrival(&name).await.unwrap();
        let new = new_service("hub", &lab, "s1");
        let start = async {
            let inserted = insert(&one, &new, arrived).await;
            one.forget_arrival(arrived).await.unwrap();
            inserted.is_some()
        };
        let stop = async {
            let told = other.stop_arrivals(&name).await.unwrap();
            let found = !other.services_named(&name.0, &name.1).await.unwrap().is_empty();
            (told, found)
        };
        // Whoever is asked first is usually first.
        let (started, (told, found)) = match round % 2 {
            0 => join(start, stop).await,
            _ => {
                let (stop, start) = join(stop, start).await;
                (start, stop)
            }
        };
        assert!(told || found, "the stop missed a start that had arrived");
        assert_eq!(started, found, "round {round}: started {started}, found {found}");
        outcomes.insert(started);
    }
    assert_eq!(outcomes.len(), 2, "both orders were seen");
}
