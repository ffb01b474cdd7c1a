//! Starts of flavors: counted where they are written down.

use futures::future::join_all;

use super::*;
use crate::domain::{LimitReached, Limits};
use crate::store::{Claimed, EndDate, Inserted, NotInserted};

fn of_flavor(hub: &str, lab: &str, flavor: &str, user: i64) -> NewService {
    NewService { flavor: Some(flavor.to_owned()), jhub_user_id: user, ..new_service(hub, lab, "s1") }
}

async fn claim(store: &Store, new: &NewService, limits: Limits) -> Claimed {
    let arrived = store.announce_arrival(&(new.credential.clone(), new.server_name.clone())).await.unwrap();
    let claimed = store.insert_arrived_service(new, arrived, limits).await.unwrap();
    store.forget_arrival(arrived).await.unwrap();
    claimed
}

/// The sequence of one that was written down, or what forbade it.
async fn room(store: &Store, new: &NewService, limits: Limits) -> Result<i64, LimitReached> {
    match claim(store, new, limits).await {
        Ok(Inserted::New(record)) => {
            assert_eq!(record.flavor, new.flavor);
            Ok(record.sequence)
        }
        Err(NotInserted::NoRoom(reached)) => Err(reached),
        other => panic!("{other:?}"),
    }
}

const TWO: Limits = Limits { max: Some(2), per_user: None, global_per_user: None };

pub async fn a_full_flavor_takes_no_more_until_one_is_over(database: TestDatabase) {
    let store = database.connect().await;
    let first = room(&store, &of_flavor("hub", "a", "small", 1), TWO).await.unwrap();
    let second = room(&store, &of_flavor("hub", "b", "small", 2), TWO).await.unwrap();
    let third = of_flavor("hub", "c", "small", 3);
    assert_eq!(room(&store, &third, TWO).await, Err(LimitReached::Max(2)));
    // The same start again is no further one, and neither are others.
    let again = claim(&store, &of_flavor("hub", "a", "small", 1), TWO).await;
    assert!(matches!(again, Ok(Inserted::SameStart(it)) if it.sequence == first));
    room(&store, &of_flavor("hub", "d", "large", 1), TWO).await.unwrap();
    room(&store, &of_flavor("other", "e", "small", 1), TWO).await.unwrap();
    assert_eq!(
        store.flavor_counts(&credential("hub")).await.unwrap(),
        [("large".to_owned(), 1), ("small".to_owned(), 2)]
    );
    // One that stops makes room, and one that ended by itself.
    store.begin_stop(first).await.unwrap();
    let third = room(&store, &third, TWO).await.unwrap();
    let fourth = of_flavor("hub", "f", "small", 4);
    assert_eq!(room(&store, &fourth, TWO).await, Err(LimitReached::Max(2)));
    let details = Details::new("over", "");
    store.mark_running(second, &[]).await.unwrap();
    store.latch_end(second, &details, "2026-11-20T11:00:00Z".parse().unwrap()).await.unwrap();
    room(&store, &fourth, TWO).await.unwrap();
    store.remove_service(third).await.unwrap();
    assert_eq!(
        store.flavor_counts(&credential("hub")).await.unwrap(),
        [("large".to_owned(), 1), ("small".to_owned(), 1)]
    );
}

pub async fn users_have_limits_of_their_own(database: TestDatabase) {
    let store = database.connect().await;
    let limits = Limits { max: Some(3), per_user: Some(1), global_per_user: Some(2) };
    room(&store, &of_flavor("hub", "a", "small", 7), limits).await.unwrap();
    assert_eq!(room(&store, &of_flavor("hub", "b", "small", 7), limits).await, Err(LimitReached::PerUser(1)));
    // What has no flavor counts for the user, too.
    let plain = NewService { jhub_user_id: 7, ..new_service("hub", "c", "s1") };
    store.insert_service(&plain).await.unwrap().expect_new();
    assert_eq!(room(&store, &of_flavor("hub", "d", "large", 7), limits).await, Err(LimitReached::GlobalPerUser(2)));
    room(&store, &of_flavor("hub", "e", "small", 8), limits).await.unwrap();
    room(&store, &of_flavor("other", "f", "small", 7), limits).await.unwrap();
    // A newer start of a name takes the place of the older one.
    let newer = NewService { start_id: StartId::parse("s2").unwrap(), ..of_flavor("hub", "a", "small", 7) };
    let newer = NewService { object_id: ObjectId::new(&newer.server_name, &newer.start_id), ..newer };
    room(&store, &newer, limits).await.unwrap();
    let nobody = Limits { max: Some(0), ..Limits::default() };
    assert_eq!(room(&store, &of_flavor("hub", "g", "none", 1), nobody).await, Err(LimitReached::Max(0)));
}

pub async fn no_race_passes_a_limit(database: TestDatabase) {
    let stores = [database.connect().await, database.connect().await, database.connect().await];
    let limits = Limits { max: Some(10), per_user: Some(3), global_per_user: None };
    let starts = (0..30).map(|number| {
        let store = stores[number % 3].clone();
        let new = of_flavor("hub", &format!("lab{number}"), "small", (number % 15) as i64);
        async move { room(&store, &new, limits).await }
    });
    let outcomes = join_all(starts.map(tokio::spawn)).await;
    let outcomes: Vec<_> = outcomes.into_iter().map(Result::unwrap).collect();
    assert_eq!(outcomes.iter().filter(|it| it.is_ok()).count(), 10);
    assert!(outcomes.iter().all(|it| it.is_ok() || *it == Err(LimitReached::Max(10))), "{outcomes:?}");
    assert_eq!(stores[0].flavor_counts(&credential("hub")).await.unwrap(), [("small".to_owned(), 10)]);
    let of_one = (0..10).map(|number| {
        let store = stores[number % 3].clone();
        let new = of_flavor("hub2", &format!("lab{number}x"), "small", 1);
        tokio::spawn(async move { room(&store, &new, limits).await })
    });
    let outcomes: Vec<_> = join_all(of_one).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(outcomes.iter().filter(|it| it.is_ok()).count(), 3);
    assert!(outcomes.iter().all(|it| it.is_ok() || *it == Err(LimitReached::PerUser(3))), "{outcomes:?}");
}

pub async fn a_caller_that_goes_away_while_it_counts_leaves_nothing_open(database: TestDatabase) {
    let store = database.connect().await;
    for number in 0..40_u64 {
        let new = of_flavor("hub", &format!("lab{number}"), "small", 1);
        let one = store.clone();
        let claiming = tokio::spawn(async move { claim(&one, &new, TWO).await });
        for _ in 0..number {
            tokio::task::yield_now().await;
        }
        claiming.abort();
        let _ = claiming.await;
    }
    // Nobody waits for a lock or a connection of one that went.
    let last = claim(&store, &of_flavor("hub", "last", "small", 1), Limits { max: Some(100), ..TWO }).await;
    assert!(matches!(last, Ok(Inserted::New(_))), "{last:?}");
    let counts = store.flavor_counts(&credential("hub")).await.unwrap();
    assert!(counts[0].1 <= 3, "{counts:?}");
}

pub async fn services_with_an_end_are_found_while_they_run(database: TestDatabase) {
    let store = database.connect().await;
    let at = |text: &str| Some(text.parse().unwrap());
    let first = NewService { ends_at: at("2026-11-20T11:00:00Z"), ..new_service("hub", "a", "s1") };
    let first = store.insert_service(&first).await.unwrap().expect_new();
    let without = store.insert_service(&new_service("hub", "b", "s1")).await.unwrap().expect_new();
    assert_eq!(first.ends_at, at("2026-11-20T11:00:00Z"));
    assert_eq!(store.end_dates().await.unwrap(), []);
    let later = at("2026-11-20T11:00:05.000001Z");
    assert!(store.mark_running_until(first.sequence, &[], later).await.unwrap());
    assert!(store.mark_running(without.sequence, &[]).await.unwrap());
    let expected =
        EndDate { sequence: first.sequence, credential: credential("hub"), flavor: None, ends_at: later.unwrap() };
    assert_eq!(store.end_dates().await.unwrap(), [expected]);
    assert_eq!(store.service(first.sequence).await.unwrap().unwrap().ends_at, later);
    let latest = at("2026-11-20T11:01:00.000002Z");
    assert!(store.set_end_date(first.sequence, latest.unwrap()).await.unwrap());
    assert_eq!(store.service(first.sequence).await.unwrap().unwrap().ends_at, latest);
    store.begin_stop(first.sequence).await.unwrap();
    assert_eq!(store.end_dates().await.unwrap(), []);
    assert!(!store.set_end_date(first.sequence, later.unwrap()).await.unwrap());
    assert_eq!(store.service(first.sequence).await.unwrap().unwrap().ends_at, latest);
}
