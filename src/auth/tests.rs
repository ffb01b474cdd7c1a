//! The authenticator on a real store.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::future::join_all;
use secrecy::SecretString;

use super::memory::REMEMBERED_FOR;
use super::*;
use crate::store::{DatabaseUrl, TokenAdded};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

struct TestAuth {
    store: Store,
    authenticator: Arc<Authenticator>,
    now: Arc<Mutex<Instant>>,
    folder: tempfile::TempDir,
}

impl TestAuth {
    /// Users as `startup.users` records them.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = DatabaseUrl::sqlite(&folder.path().join("k8smgr.sqlite3")).unwrap();
        let store = Store::connect(&url).await.unwrap();
        create_startup_users(&store, Some("adminpw".into()), &create_user(), password_of).await.unwrap();
        let now = Arc::new(Mutex::new(Instant::now()));
        let clock = Arc::clone(&now);
        let authenticator = Authenticator::with_clock(store.clone(), Arc::new(move || *clock.lock().unwrap()));
        Self { authenticator: Arc::new(authenticator), now, store, folder }
    }

    fn advance(&self, time: Duration) {
        *self.now.lock().unwrap() += time;
    }

    /// The credential's name, or the error's text.
    async fn login(&self, header: &str) -> String {
        match self.authenticator.authenticate(Some(header.as_bytes()), HERE).await {
            Ok(principal) => principal.credential.to_string(),
            Err(error) => error.to_string(),
        }
    }
}

fn create_user() -> BTreeMap<Credential, Vec<Group>> {
    let user = |name: &str, groups: &[Group]| (Credential::parse(name).unwrap(), groups.to_vec());
    BTreeMap::from([
        user("jupyterhub", &Group::ALL),
        user("nogroup", &[]),
        user("webonly", &[Group::Webservice]),
        user("logonly", &[Group::Logging]),
        user("nopass", &[Group::Webservice]),
        user("emptypass", &[Group::Webservice]),
    ])
}

fn password_of(name: &Credential) -> Option<SecretString> {
    let password = match name.as_str() {
        "jupyterhub" => "jhubpw",
        "nogroup" => "nogrouppw",
        "webonly" => "webpw",
        "logonly" => "logpw",
        "emptypass" => "",
        _ => return None,
    };
    Some(SecretString::from(password))
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

#[tokio::test]
async fn credentials_are_answered_as_the_contract_says() {
    let auth = TestAuth::new().await;
    let token = SecretString::from("b1a3d3b531cdde047d01ec8a27b92c267005b8b5");
    let added = auth.store.add_token("jupyterhub", &token_hash(&token), "hub").await.unwrap();
    assert_eq!(added, TokenAdded::Added);
    let wrong = "Invalid username/password.";
    for (header, expected) in [
        (basic("jupyterhub", "jhubpw"), "jupyterhub"),
        (basic("jupyterhub", "jhubpw").replace("Basic", "bAsIc"), "jupyterhub"),
        ("Token b1a3d3b531cdde047d01ec8a27b92c267005b8b5".to_owned(), "jupyterhub"),
        (basic("admin", "adminpw"), "admin"),
        (basic("jupyterhub", "wrong"), wrong),
        (basic("JupyterHub", "jhubpw"), wrong),
        (basic("nobody", "x"), wrong),
        (basic("", ""), wrong),
        (basic("jupyterhub\0", "jhubpw"), wrong),
        ("Basic anVweXRlcmh1Yg==".to_owned(), wrong),
        ("token 0000".to_owned(), "Invalid token."),
        ("Bearer b1a3d3b531cdde047d01ec8a27b92c267005b8b5".to_owned(), "Authentication credentials were not provided."),
    ] {
        assert_eq!(auth.login(&header).await, expected, "{header}");
    }
}

#[tokio::test]
async fn groups_are_those_of_the_configuration() {
    let auth = TestAuth::new().await;
    for (name, password, web, log) in [
        ("admin", "adminpw", true, true),
        ("jupyterhub", "jhubpw", true, true),
        ("nogroup", "nogrouppw", false, false),
        ("webonly", "webpw", true, false),
        ("logonly", "logpw", false, true),
    ] {
        let header = basic(name, password);
        let principal = auth.authenticator.authenticate(Some(header.as_bytes()), HERE).await.unwrap();
        assert_eq!((principal.may(Group::Webservice), principal.may(Group::Logging)), (web, log), "{name}");
        assert_eq!(principal.is_superuser, name == "admin");
    }
    for nobody in ["nopass", "emptypass"] {
        assert!(auth.store.user(nobody).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn users_that_exist_are_not_changed_at_the_next_start() {
    let auth = TestAuth::new().await;
    let new_hash = hash_password(SecretString::from("changed")).await.unwrap();
    auth.store.set_password("jupyterhub", &new_hash).await.unwrap();
    auth.store.revoke("jupyterhub", Group::Logging).await.unwrap();
    let before = auth.store.users().await.unwrap();
    create_startup_users(&auth.store, Some("other".into()), &create_user(), password_of).await.unwrap();
    assert_eq!(auth.store.users().await.unwrap(), before);
    assert_eq!(auth.login(&basic("jupyterhub", "jhubpw")).await, "Invalid username/password.");
    assert_eq!(auth.login(&basic("jupyterhub", "changed")).await, "jupyterhub");
}

#[tokio::test]
async fn a_change_of_a_user_shows_at_once() {
    let auth = TestAuth::new().await;
    let header = basic("webonly", "webpw");
    assert_eq!(auth.login(&header).await, "webonly");
    auth.store.set_active("webonly", false).await.unwrap();
    assert_eq!(auth.login(&header).await, "Invalid username/password.");
    auth.store.set_active("webonly", true).await.unwrap();
    assert_eq!(auth.login(&header).await, "webonly");
    auth.store.grant("webonly", Group::Logging).await.unwrap();
    let principal = auth.authenticator.authenticate(Some(header.as_bytes()), HERE).await.unwrap();
    assert!(principal.may(Group::Logging));

    let token = new_token();
    auth.store.add_token("webonly", &token_hash(&token), "t").await.unwrap();
    let header = format!("token {}", token.expose_secret());
    assert_eq!(auth.login(&header).await, "webonly");
    auth.store.set_active("webonly", false).await.unwrap();
    assert_eq!(auth.login(&header).await, "Invalid token.");
    auth.store.set_active("webonly", true).await.unwrap();
    assert_eq!(auth.login(&header).await, "webonly");
    auth.store.revoke_token("webonly", "t").await.unwrap();
    assert_eq!(auth.login(&header).await, "Invalid token.");
}

/// Another process has its own `Store`, so this one is told nothing of the change.
#[tokio::test]
async fn a_change_by_another_process_shows_within_the_memorys_life() {
    let auth = TestAuth::new().await;
    let url = DatabaseUrl::sqlite(&auth.folder.path().join("k8smgr.sqlite3")).unwrap();
    let other = Store::connect(&url).await.unwrap();
    let header = basic("webonly", "webpw");
    assert_eq!(auth.login(&header).await, "webonly");
    other.set_active("webonly", false).await.unwrap();
    assert_eq!(auth.login(&header).await, "webonly");
    auth.advance(REMEMBERED_FOR);
    assert_eq!(auth.login(&header).await, "Invalid username/password.");
}

#[tokio::test]
async fn a_known_password_is_checked_once() {
    let auth = TestAuth::new().await;
    // No permit: whoever needed an argon2 check would wait for ever.
    let header = basic("jupyterhub", "jhubpw");
    assert_eq!(auth.login(&header).await, "jupyterhub");
    let permits = u32::try_from(auth.authenticator.checks.available_permits()).unwrap();
    let _all = auth.authenticator.checks.acquire_many(permits).await.unwrap();
    assert_eq!(auth.login(&header).await, "jupyterhub");
    auth.advance(REMEMBERED_FOR * 2);
    assert_eq!(auth.login(&header).await, "jupyterhub");
}

#[tokio::test]
async fn a_right_password_passes_at_once_whatever_failed_before() {
    let auth = TestAuth::new().await;
    let name = auth.authenticator.key(b"name", &["jupyterhub"]);
    for _ in 0..40 {
        auth.authenticator.throttle.failed(name, HERE, auth.authenticator.now());
    }
    // Wrong ones at the same time wait for seconds now, and do not hold the right one up.
    let wrong: Vec<_> = (0..4)
        .map(|_| {
            let authenticator = Arc::clone(&auth.authenticator);
            tokio::spawn(async move {
                authenticator.authenticate(Some(basic("jupyterhub", "wrong").as_bytes()), HERE).await.is_err()
            })
        })
        .collect();
    tokio::task::yield_now().await;
    assert_eq!(auth.login(&basic("jupyterhub", "jhubpw")).await, "jupyterhub");
    assert!(wrong.iter().all(|it| !it.is_finished()));
    for it in wrong {
        it.abort();
    }
}

#[tokio::test]
async fn many_logins_at_once_with_one_password_all_pass() {
    let auth = TestAuth::new().await;
    let header = basic("jupyterhub", "jhubpw");
    let names = join_all((0..100).map(|_| auth.login(&header))).await;
    assert!(names.iter().all(|it| it == "jupyterhub"), "{names:?}");
}

#[tokio::test]
async fn a_failure_of_the_store_is_no_wrong_password() {
    let folder = tempfile::tempdir().unwrap();
    let url = DatabaseUrl::sqlite(&folder.path().join("k8smgr.sqlite3")).unwrap();
    let authenticator = Authenticator::new(Store::connect(&url).await.unwrap());
    folder.close().unwrap();
    for header in [basic("jupyterhub", "jhubpw"), "token 0000".to_owned()] {
        let error = authenticator.authenticate(Some(header.as_bytes()), HERE).await.unwrap_err();
        assert!(matches!(error, AuthError::Store(_)), "{error:?}");
    }
}
