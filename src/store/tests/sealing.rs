//! What is kept of requests, sealed: nothing in clear, keys that change, keys that are missing.

use jiff::Timestamp;
use secrecy::ExposeSecret;

use super::*;
use crate::domain::Limits;
use crate::domain::record::{Details, ServiceRecord, ServiceState};
use crate::store::url::Kind;
use crate::store::{CryptKeys, FoundService, Inserted, KeyId, Sealing};

const CANARY: &str = "canary-7c1f";
const OLD: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const NEW: &str = "//////////////////////////////////////////8=";

fn keys(text: &str) -> CryptKeys {
    CryptKeys::read(Some(&text.to_owned().into()), None).unwrap()
}

fn id(key: &str) -> KeyId {
    keys(key).sealing().unwrap().clone()
}

fn with_canary(server_name: &str, start_id: &str) -> NewService {
    NewService {
        user_options: Json::parse(format!(r#"{{"service":"x","token":"{CANARY}-options"}}"#).as_bytes()).unwrap(),
        update_manifest: Some(format!("kind: Pod # {CANARY}-manifest\n")),
        ..new_service("hub", server_name, start_id)
    }
}

fn details() -> Details {
    let (error, detailed_error) = (format!("{CANARY}-error"), format!("<p>{CANARY}-logs</p>"));
    serde_json::from_value(serde_json::json!({ "error": error, "detailed_error": detailed_error })).unwrap()
}

impl TestDatabase {
    async fn with(&self, text: &str) -> Store {
        self.connect().await.unlock(keys(text)).await.unwrap().0
    }

    /// All that stands in the database's files, or in a dump of it.
    fn raw(&self) -> String {
        match self.url.kind() {
            Kind::Sqlite(path) => {
                let file = |end: &str| std::fs::read(format!("{}{end}", path.display())).unwrap_or_default();
                let bytes = [file(""), file("-wal"), file("-journal")].concat();
                String::from_utf8_lossy(&bytes).into_owned()
            }
            Kind::Postgres(url) => {
                let program = postgres_server::programs().join("pg_dump");
                let dump = std::process::Command::new(program).arg(url.url.expose_secret()).output().unwrap();
                assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
                String::from_utf8(dump.stdout).unwrap()
            }
        }
    }
}

/// A service that has ended, with a canary wherever something is kept.
async fn ended(store: &Store, server_name: &str) -> i64 {
    let sequence = store.insert_service(&with_canary(server_name, "s1")).await.unwrap().expect_new().sequence;
    assert!(store.latch_end(sequence, &details(), Timestamp::UNIX_EPOCH).await.unwrap());
    sequence
}

fn assert_whole(record: &ServiceRecord) {
    let wanted = with_canary("lab", "s1");
    assert_eq!((&record.user_options, &record.update_manifest), (&wanted.user_options, &wanted.update_manifest));
    if record.state == ServiceState::Ended {
        assert_eq!(record.details, Some(details()));
    }
}

pub async fn what_is_kept_of_requests_stands_nowhere_in_clear(database: TestDatabase) {
    let store = database.with(OLD).await;
    let sequence = ended(&store, "lab").await;
    let raw = database.raw();
    assert!(raw.contains("sealed:1:") && !raw.contains("canary"), "{raw}");
    assert_whole(&database.with(OLD).await.service(sequence).await.unwrap().unwrap());
    let sealing = store.sealing().await.unwrap();
    assert_eq!(sealing, Sealing { sealed: 1, ..Sealing::default() });
}

pub async fn every_way_to_write_and_read_a_service_knows_the_keys(database: TestDatabase) {
    let store = database.with(OLD).await;
    let mut written = vec![store.insert_service(&with_canary("lab0", "s1")).await.unwrap().expect_new()];
    let name = (credential("hub"), server("lab1"));
    let arrived = store.announce_arrival(&name).await.unwrap();
    let new = NewService { flavor: Some("small".to_owned()), ..with_canary("lab1", "s1") };
    let limits = Limits { max: Some(5), ..Limits::default() };
    match store.insert_arrived_service(&new, arrived, limits).await.unwrap() {
        Ok(inserted) => written.push(inserted.expect_new()),
        other => panic!("{other:?}"),
    }
    let found = FoundService { new: with_canary("lab2", "s1"), is_stopping: false, is_adopted: true };
    written.push(store.insert_found_service(&found).await.unwrap().expect_new());
    match store.insert_service(&with_canary("lab0", "s1")).await.unwrap() {
        Inserted::SameStart(same) => written.push(same),
        other => panic!("{other:?}"),
    }
    written.extend(store.services_of(&credential("hub")).await.unwrap());
    written.extend(store.services_after(0, 10).await.unwrap().0);
    written.extend(store.newest_service(&credential("hub"), &server("lab0")).await.unwrap());
    written.extend(store.services_in(&ServiceState::ALL).await.unwrap());
    written.extend(store.adopted_services().await.unwrap());
    written.extend(store.begin_stops(&credential("hub"), &server("lab1")).await.unwrap());
    assert_eq!(written.len(), 16);
    written.iter().for_each(assert_whole);
    assert!(!database.raw().contains("canary"));
}

pub async fn a_key_that_is_missing_is_told_before_anything_is_done(database: TestDatabase) {
    let store = database.with(OLD).await;
    ended(&store, "lab").await;
    ended(&store, "other").await;
    let before = database.raw();
    for (others, what) in [(keys(NEW), "another"), (CryptKeys::default(), "none")] {
        let error = database.connect().await.unlock(others).await.map(|_| ()).unwrap_err();
        let wanted = format!(
            "what the database keeps of requests is sealed by keys that were not given: {} (2 services). Give them in \
             K8SMGR_CRYPT_KEYS or K8SMGR_CRYPT_KEYS_FILE; where a key is lost for good, `k8smgr rekey --forget <key id>` \
             gives up what it sealed",
            id(OLD)
        );
        assert_eq!((error.to_string(), error.may_come_up()), (wanted, false), "{what}");
    }
    if let Kind::Sqlite(_) = database.url.kind() {
        assert_eq!(database.raw(), before);
    }
}

pub async fn what_cannot_be_opened_stops_neither_polls_nor_other_services(database: TestDatabase) {
    let sequence = ended(&database.with(OLD).await, "lab").await;
    // As by a process that was given its keys in another order.
    let store = database.connect().await.with_keys(keys(NEW));
    let own = ended(&store, "other").await;
    let all = store.services_of(&credential("hub")).await.unwrap();
    assert_eq!(all.iter().map(|it| it.sequence).collect::<Vec<_>>(), [sequence, own]);
    assert_eq!(
        (all[0].user_options.to_text().as_str(), &all[0].update_manifest, &all[0].details),
        ("{}", &None, &None)
    );
    assert_eq!((all[0].state, all[0].object_id.as_str()), (ServiceState::Ended, "lab-s1"));
    assert_whole(&all[1]);
    assert!(store.begin_stop(sequence).await.unwrap());
    // A text in the place of another one's is worth nothing.
    execute(
        &store,
        "UPDATE services SET user_options = (SELECT user_options FROM services WHERE server_name = 'other')",
    )
    .await
    .unwrap();
    let both = database.connect().await.with_keys(keys(&format!("{NEW};{OLD}")));
    assert_eq!(both.service(sequence).await.unwrap().unwrap().user_options.to_text(), "{}");
    assert_whole(&both.service(own).await.unwrap().unwrap());
    assert_eq!(both.sealing().await.unwrap(), Sealing { sealed: 1, damaged: 1, ..Sealing::default() });
    assert_eq!(both.rekey(&[]).await.unwrap().now.damaged, 1);
}

pub async fn keys_are_changed_while_services_are_read(database: TestDatabase) {
    let old = database.with(OLD).await;
    let sequence = ended(&old, "lab").await;
    let both = database.with(&format!("{NEW};{OLD}")).await;
    assert_eq!(both.sealing().await.unwrap(), Sealing { sealed_before: 1, ..Sealing::default() });
    let rekeyed = both.rekey(&[]).await.unwrap();
    assert_eq!((rekeyed.sealed, rekeyed.sealed_anew, rekeyed.forgotten), (0, 3, 0));
    assert_eq!(rekeyed.now, Sealing { sealed: 1, ..Sealing::default() });
    assert_whole(&both.service(sequence).await.unwrap().unwrap());
    let again = both.rekey(&[]).await.unwrap();
    assert_eq!((again.sealed, again.sealed_anew, again.now.sealed), (0, 0, 1));
    // The old one is not needed any more.
    assert_whole(&database.with(NEW).await.service(sequence).await.unwrap().unwrap());
    assert!(matches!(old.rekey(&[]).await.unwrap().now, Sealing { missing, .. } if missing.0[&id(NEW)] == 1));
}

pub async fn what_was_kept_in_clear_is_sealed_and_swept(database: TestDatabase) {
    let clear = database.connect().await;
    assert!(matches!(clear.rekey(&[]).await, Err(StoreError::NoKeys)));
    let sequence = ended(&clear, "lab").await;
    for number in 0..300 {
        clear.insert_service(&with_canary(&format!("lab{number}"), "s1")).await.unwrap().expect_new();
    }
    clear.remove_service(sequence + 1).await.unwrap();
    assert!(database.raw().contains(CANARY));

    let store = database.with(OLD).await;
    assert_eq!(store.sealing().await.unwrap(), Sealing { clear: 300, ..Sealing::default() });
    assert_whole(&store.service(sequence).await.unwrap().unwrap());
    let rekeyed = store.rekey(&[]).await.unwrap();
    assert_eq!((rekeyed.sealed, rekeyed.sealed_anew), (2 * 300 + 1, 0));
    assert_eq!(rekeyed.now, Sealing { sealed: 300, ..Sealing::default() });
    assert_eq!(rekeyed.is_swept, (!store.is_shared()).then_some(true));
    assert!(!database.raw().contains("canary"));
    let all = store.services_of(&credential("hub")).await.unwrap();
    assert_eq!(all.len(), 300);
    all.iter().for_each(assert_whole);
}

pub async fn a_rekey_that_was_cut_short_is_completed_by_the_next(database: TestDatabase) {
    let clear = database.connect().await;
    for number in 0..10 {
        ended(&clear, &format!("lab{number}")).await;
    }
    let (fail, heal): (&[&str], &str) = match database.url.kind() {
        Kind::Sqlite(_) => (
            &["CREATE TRIGGER broken BEFORE UPDATE OF details ON services WHEN NEW.sequence = 6 \
               BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"],
            "DROP TRIGGER broken",
        ),
        Kind::Postgres(_) => (
            &[
                "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'the disk is full'; END $$",
                "CREATE TRIGGER broken BEFORE UPDATE OF details ON services FOR EACH ROW WHEN (NEW.sequence = 6) \
                 EXECUTE FUNCTION broken()",
            ],
            "DROP TRIGGER broken ON services",
        ),
    };
    for sql in fail {
        execute(&clear, sql).await.unwrap();
    }
    let store = database.with(OLD).await;
    assert!(store.rekey(&[]).await.is_err());
    let half = Sealing { sealed: 5, clear: 5, ..Sealing::default() };
    assert_eq!(store.sealing().await.unwrap(), half);
    store.services_of(&credential("hub")).await.unwrap().iter().for_each(assert_whole);
    execute(&store, heal).await.unwrap();
    let rekeyed = store.rekey(&[]).await.unwrap();
    assert_eq!((rekeyed.sealed, rekeyed.now.sealed), (3 * 5 - 2, 10));
    assert!(!database.raw().contains("canary"));
}

pub async fn a_lost_key_is_given_up(database: TestDatabase) {
    let lost = ended(&database.with(OLD).await, "lab").await;
    let store = database.connect().await.with_keys(keys(NEW));
    let kept = ended(&store, "other").await;
    let rekeyed = store.rekey(&[id(NEW)]).await.unwrap();
    assert_eq!((rekeyed.forgotten, rekeyed.now.missing.0[&id(OLD)]), (0, 1), "a key that is there is not forgotten");
    let rekeyed = store.rekey(&[id(OLD)]).await.unwrap();
    assert_eq!((rekeyed.forgotten, rekeyed.now), (3, Sealing { sealed: 2, ..Sealing::default() }));
    let store = database.with(NEW).await;
    let record = store.service(lost).await.unwrap().unwrap();
    assert_eq!((record.user_options.to_text().as_str(), record.update_manifest), ("{}", None));
    assert_eq!(record.details.unwrap().error, "The reason is lost with the key that sealed it");
    assert_whole(&store.service(kept).await.unwrap().unwrap());
}
