//! What was there before its record.

use super::*;
use crate::domain::ServiceState;
use crate::domain::group::Group;
use crate::store::{FoundService, Inserted, User};

fn found(server_name: &str, start_id: &str, is_stopping: bool, is_adopted: bool) -> FoundService {
    FoundService { new: new_service("hub", server_name, start_id), is_stopping, is_adopted }
}

async fn insert(store: &Store, found: &FoundService) -> crate::domain::ServiceRecord {
    match store.insert_found_service(found).await.unwrap() {
        Inserted::New(record) => record,
        other => panic!("{other:?}"),
    }
}

pub async fn a_found_service_runs_at_once_and_is_written_down_once(database: TestDatabase) {
    let store = database.connect().await;
    let running = found("lab", "s1", false, true);
    let record = insert(&store, &running).await;
    assert_eq!((record.state, record.start_date), (ServiceState::Running, running.new.start_date));
    assert_eq!(insert(&store, &found("lab", "s2", true, true)).await.state, ServiceState::Stopping);

    store.begin_stop(record.sequence).await.unwrap();
    match store.insert_found_service(&running).await.unwrap() {
        Inserted::SameStart(same) => assert_eq!((same.sequence, same.state), (record.sequence, ServiceState::Stopping)),
        other => panic!("{other:?}"),
    }
    let mut other = found("other", "s1", false, true);
    other.new.object_id = running.new.object_id;
    assert!(matches!(store.insert_found_service(&other).await.unwrap(), Inserted::IdTaken));
}

pub async fn only_running_adopted_services_are_looked_after(database: TestDatabase) {
    let store = database.connect().await;
    let adopted = insert(&store, &found("adopted", "s1", false, true)).await;
    let rebuilt = insert(&store, &found("rebuilt", "s2", false, false)).await;
    let stopping = insert(&store, &found("stopping", "s3", true, true)).await;
    for (record, expected) in [(adopted, true), (rebuilt, false), (stopping, false)] {
        assert_eq!(store.is_adopted_and_runs(record.sequence).await.unwrap(), expected, "{}", record.server_name);
    }
    store.insert_service(&new_service("hub", "started", "s4")).await.unwrap();
    let names: Vec<_> = store.adopted_services().await.unwrap().into_iter().map(|it| it.server_name).collect();
    assert_eq!(names, [server("adopted")]);
}

pub async fn a_later_start_of_the_name_is_known(database: TestDatabase) {
    let store = database.connect().await;
    let present = new_service("hub", "lab", "s1");
    store.insert_service(&present).await.unwrap();
    let at = |name: &str, start_id: &str, seconds: i64| {
        let mut new = new_service("hub", name, start_id);
        new.start_date += jiff::SignedDuration::from_secs(seconds);
        new
    };
    assert!(store.has_newer_service(&at("lab", "s0", -1)).await.unwrap());
    assert!(!store.has_newer_service(&at("lab", "s2", 1)).await.unwrap());
    assert!(!store.has_newer_service(&at("lab", "s1", -1)).await.unwrap(), "itself");
    assert!(!store.has_newer_service(&at("other", "s0", -1)).await.unwrap());
}

pub async fn a_user_is_taken_as_it_is(database: TestDatabase) {
    let store = database.connect().await;
    let user = User {
        name: credential("hub"),
        password_hash: Some("pbkdf2_sha256$1$x$y".to_owned()),
        is_superuser: true,
        is_active: false,
        groups: BTreeSet::from([Group::Logging]),
    };
    assert!(store.insert_user(&user).await.unwrap());
    let other = User { is_active: true, password_hash: None, ..user.clone() };
    assert!(!store.insert_user(&other).await.unwrap());
    assert_eq!(store.user("hub").await.unwrap(), Some(user));
}

pub async fn a_password_hash_is_replaced_only_as_it_was_read(database: TestDatabase) {
    let store = database.connect().await;
    store.create_user(&new_user("hub")).await.unwrap();
    assert!(!store.replace_password_hash("hub", "another", "new").await.unwrap());
    assert!(!store.replace_password_hash("nobody", "hash", "new").await.unwrap());
    assert!(store.replace_password_hash("hub", "hash", "new").await.unwrap());
    assert_eq!(store.user("hub").await.unwrap().unwrap().password_hash.as_deref(), Some("new"));
}

pub async fn a_database_with_services_stays_its_installations(database: TestDatabase) {
    let store = database.connect().await;
    let own = store.installation_id().await.unwrap();
    assert!(store.take_over_installation("another").await.unwrap());
    assert_eq!(database.connect().await.installation_id().await.unwrap(), "another");
    insert(&store, &found("lab", "s1", false, false)).await;
    assert!(!store.take_over_installation(&own).await.unwrap());
    assert!(store.take_over_installation("another").await.unwrap());
    assert_eq!(store.installation_id().await.unwrap(), "another");
}
