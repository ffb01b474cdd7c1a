//! Users, groups and tokens.

use super::*;
use crate::domain::group::Group;
use crate::store::{TokenAdded, UserChange};

pub async fn a_user_is_created_once(database: TestDatabase) {
    let store = database.connect().await;
    let mut user = new_user("hub");
    user.groups = BTreeSet::from([Group::Webservice]);
    assert!(store.create_user(&user).await.unwrap());
    let created = store.user("hub").await.unwrap().unwrap();
    assert_eq!(created.groups, user.groups);
    assert!(created.is_active && !created.is_superuser);

    let other = NewUser { password_hash: None, is_superuser: true, groups: BTreeSet::from(Group::ALL), ..user };
    assert!(!store.create_user(&other).await.unwrap());
    assert_eq!(store.user("hub").await.unwrap().unwrap(), created);
    for nobody in ["Hub", "", "hub ", "hub\0"] {
        assert_eq!(store.user(nobody).await.unwrap(), None, "{nobody}");
    }
    store.create_user(&new_user("admin")).await.unwrap();
    let names: Vec<_> = store.users().await.unwrap().into_iter().map(|it| it.name.to_string()).collect();
    assert_eq!(names, ["admin", "hub"]);
}

pub async fn a_user_is_changed(database: TestDatabase) {
    let store = database.connect().await;
    store.create_user(&new_user("hub")).await.unwrap();
    store.create_user(&new_user("other")).await.unwrap();
    assert!(store.set_password("hub", "new").await.unwrap());
    assert!(store.set_active("hub", false).await.unwrap());
    assert!(store.grant("hub", Group::Logging).await.unwrap());
    assert!(store.grant("hub", Group::Webservice).await.unwrap());
    assert!(store.grant("hub", Group::Webservice).await.unwrap());
    assert!(store.revoke("hub", Group::Logging).await.unwrap());
    let user = store.user("hub").await.unwrap().unwrap();
    assert_eq!(user.password_hash.as_deref(), Some("new"));
    assert!(!user.is_active);
    assert_eq!(user.groups, BTreeSet::from([Group::Webservice]));
    let other = store.user("other").await.unwrap().unwrap();
    assert!(other.is_active && other.groups.is_empty() && other.password_hash.as_deref() == Some("hash"));

    let change =
        UserChange { password_hash: Some("newer".to_owned()), is_active: Some(true), groups: Some(BTreeSet::new()) };
    assert!(store.change_user("hub", &change).await.unwrap());
    let user = store.user("hub").await.unwrap().unwrap();
    assert!(user.is_active && user.groups.is_empty() && user.password_hash.as_deref() == Some("newer"));
    let groups = Some(BTreeSet::from([Group::Logging]));
    assert!(store.change_user("hub", &UserChange { groups: groups.clone(), ..UserChange::default() }).await.unwrap());
    let user = store.user("hub").await.unwrap().unwrap();
    assert_eq!((user.is_active, user.password_hash.as_deref(), Some(user.groups)), (true, Some("newer"), groups));
    assert!(store.change_user("hub", &UserChange::default()).await.unwrap());
    assert!(!store.change_user("nobody", &UserChange::default()).await.unwrap());
    assert!(!store.change_user("nobody", &change).await.unwrap());
    assert!(store.user("other").await.unwrap().unwrap().is_active);
    assert!(!store.set_password("nobody", "new").await.unwrap());
    assert!(!store.set_active("nobody", true).await.unwrap());
    assert!(!store.grant("nobody", Group::Logging).await.unwrap());
    assert!(!store.revoke("nobody", Group::Logging).await.unwrap());
}

pub async fn a_token_finds_its_user(database: TestDatabase) {
    let store = database.connect().await;
    store.create_user(&new_user("hub")).await.unwrap();
    store.create_user(&new_user("other")).await.unwrap();
    assert_eq!(store.add_token("hub", "h1", "first").await.unwrap(), TokenAdded::Added);
    assert_eq!(store.add_token("hub", "h2", "second").await.unwrap(), TokenAdded::Added);
    assert_eq!(store.add_token("hub", "h3", "second").await.unwrap(), TokenAdded::Exists);
    assert_eq!(store.add_token("other", "h1", "x").await.unwrap(), TokenAdded::Exists);
    assert_eq!(store.add_token("nobody", "h4", "x").await.unwrap(), TokenAdded::NoSuchUser);

    let user = store.user_by_token_hash("h1").await.unwrap().unwrap();
    assert_eq!(user.name.as_str(), "hub");
    assert_eq!(store.user_by_token_hash("h4").await.unwrap(), None);
    let labels: Vec<_> = store.tokens("hub").await.unwrap().into_iter().map(|it| it.label).collect();
    assert_eq!(labels, ["first", "second"]);
    assert!(!store.revoke_token("other", "first").await.unwrap());
    assert!(store.revoke_token("hub", "first").await.unwrap());
    assert!(!store.revoke_token("hub", "first").await.unwrap());
    assert_eq!(store.user_by_token_hash("h1").await.unwrap(), None);
}

pub async fn a_user_with_services_is_not_deleted(database: TestDatabase) {
    let store = database.connect().await;
    store.create_user(&new_user("hub")).await.unwrap();
    store.add_token("hub", "h1", "first").await.unwrap();
    store.insert_service(&new_service("hub", "lab", "s1")).await.unwrap();
    let error = store.delete_user("hub").await.unwrap_err().to_string();
    assert_eq!(error, "user `hub` still has 1 services; stop them first");
    let service = store.services_of(&credential("hub")).await.unwrap().remove(0);
    store.remove_service(service.sequence).await.unwrap();
    assert!(store.delete_user("hub").await.unwrap());
    assert!(!store.delete_user("hub").await.unwrap());
    assert_eq!(store.user_by_token_hash("h1").await.unwrap(), None);
}
