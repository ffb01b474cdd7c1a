//! Service records: uniqueness, what is read back, states, queries.

use futures::future::join_all;
use jiff::Timestamp;

use super::*;
use crate::domain::record::{AppliedObject, Details, ServiceRecord, ServiceState};
use crate::store::Inserted;

impl Inserted {
    pub(super) fn expect_new(self) -> ServiceRecord {
        match self {
            Inserted::New(record) => record,
            other => panic!("{other:?}"),
        }
    }
}

fn details() -> Details {
    Details::new("Service status is Failed", "<details>a\0b</details>")
}

fn second(number: i64) -> Timestamp {
    Timestamp::from_second(number).unwrap()
}

fn sequences(records: &[ServiceRecord]) -> Vec<i64> {
    records.iter().map(|it| it.sequence).collect()
}

pub async fn a_start_is_written_down_once(database: TestDatabase) {
    let store = database.connect().await;
    let first = store.insert_service(&new_service("hub", "lab", "s1")).await.unwrap().expect_new();
    assert_eq!(first.state, ServiceState::Starting);

    let mut again = new_service("hub", "lab", "s1");
    again.jhub_user_id = 99;
    match store.insert_service(&again).await.unwrap() {
        Inserted::SameStart(same) => assert_eq!((same.sequence, same.jhub_user_id), (first.sequence, 7)),
        other => panic!("{other:?}"),
    }
    let other_hub = new_service("other", "lab", "s1");
    assert!(matches!(store.insert_service(&other_hub).await.unwrap(), Inserted::IdTaken));
    assert!(store.services_of(&other_hub.credential).await.unwrap().is_empty());
    store.insert_service(&new_service("hub", "lab", "s2")).await.unwrap().expect_new();
}

pub async fn of_many_equal_starts_one_is_new(database: TestDatabase) {
    let stores = [database.connect().await, database.connect().await];
    let new = new_service("hub", "lab", "s1");
    let results = join_all((0..20).map(|number| stores[number % 2].insert_service(&new))).await;
    let results: Vec<_> = results.into_iter().map(Result::unwrap).collect();
    assert_eq!(results.iter().filter(|it| matches!(it, Inserted::New(_))).count(), 1);
    assert_eq!(results.iter().filter(|it| matches!(it, Inserted::SameStart(_))).count(), 19);
    assert_eq!(stores[0].services_of(&new.credential).await.unwrap().len(), 1);
}

pub async fn of_two_starts_with_one_object_id_one_wins(database: TestDatabase) {
    let stores = [database.connect().await, database.connect().await];
    let rounds = (0..10).map(|round| {
        let name = format!("lab{round}");
        let stores = &stores;
        async move {
            let (mine, other) = (new_service("hub", &name, "s1"), new_service("other", &name, "s1"));
            let (mine, other) = tokio::join!(stores[0].insert_service(&mine), stores[1].insert_service(&other));
            let results = (mine.unwrap(), other.unwrap());
            assert!(
                matches!(results, (Inserted::New(_), Inserted::IdTaken) | (Inserted::IdTaken, Inserted::New(_))),
                "{results:?}"
            );
        }
    });
    join_all(rounds).await;
}

pub async fn everything_written_is_read_back(database: TestDatabase) {
    let store = database.connect().await;
    let mut new = new_service("hub", "Ü \"lab\"' ; --", "s 1");
    let options =
        r#"{"service":"x","a":[1,-2.5e300,null,true,"\u0000\u001f😀<&>"],"big":123456789012345678901234567890}"#;
    new.user_options = Json::parse(options.as_bytes()).unwrap();
    new.jhub_user_id = i64::MIN;
    let mut objects = vec![
        AppliedObject {
            api_version: "v1".to_owned(),
            kind: "Secret".to_owned(),
            namespace: Some("golden".to_owned()),
            name: "secret-x".to_owned(),
            uid: Some("u1".to_owned()),
            is_workload: false,
            is_kept: true,
            address: None,
        },
        AppliedObject {
            api_version: "example.org/v1".to_owned(),
            kind: "Widget".to_owned(),
            namespace: None,
            name: "w".to_owned(),
            uid: None,
            is_workload: true,
            is_kept: false,
            address: None,
        },
    ];
    new.objects = objects.clone();
    new.update_manifest = Some("kind: Deployment\n---\n".to_owned());
    let inserted = store.insert_service(&new).await.unwrap().expect_new();
    assert_eq!(inserted.objects, objects);
    let sequence = inserted.sequence;
    objects[1].uid = Some("u2".to_owned());
    store.set_objects(sequence, &objects).await.unwrap();
    let ended_at = "2026-11-20T10:45:39.000001Z".parse().unwrap();
    assert!(store.latch_end(sequence, &details(), ended_at).await.unwrap());

    let record = database.connect().await.service(sequence).await.unwrap().unwrap();
    assert_eq!(record.credential, new.credential);
    assert_eq!(record.server_name, new.server_name);
    assert_eq!(record.start_id, new.start_id);
    assert_eq!(record.object_id, new.object_id);
    assert_eq!(record.service, new.service);
    assert_eq!(record.user_options, new.user_options);
    assert_eq!(record.jhub_user_id, i64::MIN);
    assert_eq!(record.start_date.to_string(), "2026-11-20T10:45:39.779477Z");
    assert_eq!(record.namespace, "golden");
    assert_eq!(record.state, ServiceState::Ended);
    assert_eq!(record.objects, objects);
    assert_eq!(record.update_manifest.as_deref(), Some("kind: Deployment\n---\n"));
    assert_eq!(record.details, Some(details()));
    assert_eq!(record.ended_at, Some(ended_at));
}

pub async fn a_service_moves_between_its_states(database: TestDatabase) {
    use ServiceState::{Ended, Running, Starting, Stopping};
    let store = database.connect().await;
    // From a state: where mark_running, begin_stop and latch_end lead (None: refused).
    let table = [
        (Starting, [Some(Running), Some(Stopping), Some(Ended)]),
        (Running, [None, Some(Stopping), Some(Ended)]),
        (Ended, [None, Some(Stopping), None]),
        (Stopping, [None, None, None]),
    ];
    for (number, (from, outcomes)) in table.into_iter().enumerate() {
        for (transition, outcome) in outcomes.into_iter().enumerate() {
            let name = format!("lab{number}-{transition}");
            let sequence = store.insert_service(&new_service("hub", &name, "s1")).await.unwrap().expect_new().sequence;
            let reached = match from {
                Starting => true,
                Running => store.mark_running(sequence, &[]).await.unwrap(),
                Ended => store.latch_end(sequence, &details(), second(1)).await.unwrap(),
                Stopping => store.begin_stop(sequence).await.unwrap(),
            };
            assert!(reached);
            let changed = match transition {
                0 => store.mark_running(sequence, &[]).await.unwrap(),
                1 => store.begin_stop(sequence).await.unwrap(),
                _ => store.latch_end(sequence, &details(), second(2)).await.unwrap(),
            };
            let state = store.service(sequence).await.unwrap().unwrap().state;
            assert_eq!((changed, state), (outcome.is_some(), outcome.unwrap_or(from)), "{from:?} {transition}");
        }
    }
    assert!(!store.mark_running(-1, &[]).await.unwrap());
    assert!(!store.begin_stop(-1).await.unwrap());
    assert!(!store.latch_end(-1, &details(), second(1)).await.unwrap());
    store.remove_service(-1).await.unwrap();
}

pub async fn of_many_stops_one_begins(database: TestDatabase) {
    let stores = [database.connect().await, database.connect().await];
    let sequence = stores[0].insert_service(&new_service("hub", "lab", "s1")).await.unwrap().expect_new().sequence;
    let began = join_all((0..12).map(|number| stores[number % 2].begin_stop(sequence))).await;
    assert_eq!(began.into_iter().filter(|it| *it.as_ref().unwrap()).count(), 1);
    assert!(!stores[1].mark_running(sequence, &[]).await.unwrap());
}

pub async fn all_starts_of_a_name_stop_at_once(database: TestDatabase) {
    let store = database.connect().await;
    let mut made = Vec::new();
    for (hub, name, start_id) in
        [("hub", "lab", "s1"), ("hub", "lab", "s2"), ("hub", "lab2", "s3"), ("other", "lab", "s4")]
    {
        made.push(store.insert_service(&new_service(hub, name, start_id)).await.unwrap().expect_new().sequence);
    }
    assert!(store.mark_running(made[0], &[]).await.unwrap());
    for _ in 0..2 {
        let stopping = store.begin_stops(&credential("hub"), &server("lab")).await.unwrap();
        assert_eq!(sequences(&stopping), made[..2]);
        assert!(stopping.iter().all(|it| it.stop_pending()));
    }
    assert_eq!(sequences(&store.services_in(&[ServiceState::Stopping]).await.unwrap()), made[..2]);
    assert!(store.begin_stops(&credential("hub"), &server("nobody")).await.unwrap().is_empty());
}

pub async fn the_newest_start_of_a_name_is_found(database: TestDatabase) {
    let store = database.connect().await;
    let (hub, lab) = (credential("hub"), server("lab"));
    assert!(store.newest_service(&hub, &lab).await.unwrap().is_none());
    let first = store.insert_service(&new_service("hub", "lab", "s1")).await.unwrap().expect_new();
    let newest = store.insert_service(&new_service("hub", "lab", "s2")).await.unwrap().expect_new();
    store.insert_service(&new_service("hub", "lab2", "s3")).await.unwrap().expect_new();
    store.insert_service(&new_service("other", "lab", "s4")).await.unwrap().expect_new();

    let found = store.newest_service(&hub, &lab).await.unwrap().unwrap();
    assert_eq!((found.sequence, found.start_id), (newest.sequence, newest.start_id));
    let named = store.services_named(&hub, &lab).await.unwrap();
    assert_eq!(sequences(&named), [first.sequence, newest.sequence]);
    store.remove_service(newest.sequence).await.unwrap();
    assert_eq!(store.newest_service(&hub, &lab).await.unwrap().unwrap().sequence, first.sequence);
}

pub async fn a_credential_sees_its_own_services(database: TestDatabase) {
    let store = database.connect().await;
    let mut mine = Vec::new();
    for name in ["a", "b", "c"] {
        mine.push(store.insert_service(&new_service("hub", name, "s1")).await.unwrap().expect_new().sequence);
        store.insert_service(&new_service("Hub", name, "s2")).await.unwrap().expect_new();
    }
    assert_eq!(sequences(&store.services_of(&credential("hub")).await.unwrap()), mine);
    assert!(store.services_of(&credential("nobody")).await.unwrap().is_empty());
    store.begin_stop(mine[1]).await.unwrap();
    use ServiceState::{Starting, Stopping};
    let expected = [(mine[0], Starting), (mine[1], Stopping), (mine[2], Starting)];
    assert_eq!(store.sequences_of(&credential("hub")).await.unwrap(), expected);
}

pub async fn services_are_found_by_state_and_end(database: TestDatabase) {
    let store = database.connect().await;
    let mut made = Vec::new();
    for name in ["a", "b", "c", "d"] {
        made.push(store.insert_service(&new_service("hub", name, "s1")).await.unwrap().expect_new().sequence);
    }
    store.mark_running(made[1], &[]).await.unwrap();
    store.begin_stop(made[2]).await.unwrap();
    store.latch_end(made[3], &details(), second(100)).await.unwrap();
    let found = store.services_in(&[ServiceState::Starting, ServiceState::Stopping]).await.unwrap();
    assert_eq!(sequences(&found), [made[0], made[2]]);
    assert_eq!(store.services_in(&ServiceState::ALL).await.unwrap().len(), 4);
    assert!(store.services_in(&[]).await.unwrap().is_empty());
    assert_eq!(store.ended().await.unwrap(), [(made[3], second(100))]);
    let keys = store.service_keys().await.unwrap();
    assert_eq!(keys.iter().map(|it| it.sequence).collect::<Vec<_>>(), made);
    let states = [ServiceState::Starting, ServiceState::Running, ServiceState::Stopping, ServiceState::Ended];
    assert_eq!(keys.iter().map(|it| it.state).collect::<Vec<_>>(), states);
    let record = store.service(made[0]).await.unwrap().unwrap();
    let key = &keys[0];
    assert_eq!(
        (&key.credential, &key.server_name, &key.start_id, key.start_date),
        (&record.credential, &record.server_name, &record.start_id, record.start_date)
    );
}

pub async fn an_ended_service_is_found_as_long_as_it_has_a_workload(database: TestDatabase) {
    let store = database.connect().await;
    let mut new = new_service("hub", "a", "s1");
    new.objects = vec![AppliedObject {
        api_version: "v1".to_owned(),
        kind: "Pod".to_owned(),
        namespace: Some("n".to_owned()),
        name: "p".to_owned(),
        uid: None,
        is_workload: true,
        is_kept: false,
        address: None,
    }];
    let with = store.insert_service(&new).await.unwrap().expect_new();
    let running = NewService { server_name: ServerName::parse("b").unwrap(), ..new };
    let running = NewService { object_id: ObjectId::new(&running.server_name, &running.start_id), ..running };
    store.insert_service(&running).await.unwrap().expect_new();
    store.latch_end(with.sequence, &details(), second(100)).await.unwrap();
    assert_eq!(sequences(&store.ended_with_workload().await.unwrap()), [with.sequence]);
    let mut objects = with.objects.clone();
    objects[0].is_workload = false;
    store.set_objects(with.sequence, &objects).await.unwrap();
    assert!(store.ended_with_workload().await.unwrap().is_empty());
}

pub async fn all_services_are_read_a_page_at_a_time(database: TestDatabase) {
    let store = database.connect().await;
    let mut made = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        made.push(store.insert_service(&new_service("hub", name, "s1")).await.unwrap().expect_new().sequence);
    }
    let (mut read, mut last) = (Vec::new(), i64::MIN);
    while let (page, Some(end)) = store.services_after(last, 2).await.unwrap() {
        assert!(page.len() <= 2);
        read.extend(sequences(&page));
        last = end;
    }
    assert_eq!(read, made);
    let found = store.services_by_sequence(&[made[3], made[1], made[4] + 1]).await.unwrap();
    assert_eq!(sequences(&found), [made[1], made[3]]);
}

pub async fn a_sequence_is_never_used_again(database: TestDatabase) {
    let store = database.connect().await;
    let first = store.insert_service(&new_service("hub", "lab", "s1")).await.unwrap().expect_new().sequence;
    store.remove_service(first).await.unwrap();
    assert!(store.service(first).await.unwrap().is_none());
    let second = store.insert_service(&new_service("hub", "lab", "s1")).await.unwrap().expect_new().sequence;
    assert!(second > first);
}

pub async fn a_row_that_cannot_be_read_is_told(database: TestDatabase) {
    let store = database.connect().await;
    let sequence = store.insert_service(&new_service("hub", "lab", "s1")).await.unwrap().expect_new().sequence;
    execute(&store, "UPDATE services SET state = 'dreaming'").await.unwrap();
    let error = store.service(sequence).await.unwrap_err().to_string();
    assert_eq!(error, "failed to read state `dreaming` from the database");
}

pub async fn names_with_several_starts_are_found(database: TestDatabase) {
    let store = database.connect().await;
    for (hub, lab, start) in [("hub", "a", "s1"), ("hub", "a", "s2"), ("hub", "b", "s3"), ("other", "b", "s4")] {
        store.insert_service(&new_service(hub, lab, start)).await.unwrap().expect_new();
    }
    let stopped = store.insert_service(&new_service("hub", "b", "s5")).await.unwrap().expect_new().sequence;
    store.begin_stop(stopped).await.unwrap();
    assert_eq!(store.names_with_several_starts().await.unwrap(), [(credential("hub"), server("a"))]);
}
