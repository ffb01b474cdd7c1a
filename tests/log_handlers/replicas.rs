//! Processes that share a database have the same handlers.

use k8smgr::config::{Config, SharedConfig};
use k8smgr::domain::Json;
use k8smgr::log_handlers::{HandlerKind, LogHandlers};
use k8smgr::store::{DatabaseUrl, Store};
use k8smgr::stored_log_handlers::{ChangeError, StoredLogHandlers};

use crate::support::wait::eventually;

struct Replica {
    handlers: LogHandlers,
    stored: std::sync::Arc<StoredLogHandlers>,
}

async fn replica(folder: &std::path::Path) -> Replica {
    let store = Store::connect(&DatabaseUrl::sqlite(&folder.join("k.sqlite3")).unwrap()).await.unwrap();
    let mut config = Config::default();
    config.logs.directories = vec![folder.to_owned()];
    let handlers = LogHandlers::default();
    let stored = StoredLogHandlers::new(store, handlers.clone(), SharedConfig::new(config), None);
    stored.synchronise().await.unwrap();
    tokio::spawn(stored.clone().follow_forever());
    Replica { handlers, stored }
}

fn kinds(replica: &Replica) -> Vec<&'static str> {
    replica.handlers.statuses().into_iter().map(|(kind, _)| kind).collect()
}

fn json(text: &str) -> Json {
    Json::parse(text.as_bytes()).unwrap()
}

#[tokio::test]
async fn a_change_on_one_is_seen_by_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (replica(folder.path()).await, replica(folder.path()).await);
    assert_eq!(kinds(&other), ["stream"]);
    let given = json(&format!(r#"{{"filename":"{}"}}"#, folder.path().join("k.log").display()));
    one.stored.create(HandlerKind::File, Some(&given)).await.unwrap();
    assert_eq!(kinds(&one), ["stream", "file"]);
    eventually("the file handler is there", async || (kinds(&other) == ["stream", "file"]).then_some(())).await;
    other.stored.delete(HandlerKind::Stream).await.unwrap();
    assert_eq!(kinds(&other), ["file"]);
    eventually("the stream handler is gone", async || (kinds(&one) == ["file"]).then_some(())).await;
}

#[tokio::test]
async fn changes_at_the_same_time_all_count() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (replica(folder.path()).await, replica(folder.path()).await);
    let (level, formatter) = (json(r#"{"level":40}"#), json(r#"{"formatter":"json"}"#));
    let (first, second) = tokio::join!(
        one.stored.change(HandlerKind::Stream, Some(&level)),
        other.stored.change(HandlerKind::Stream, Some(&formatter)),
    );
    first.unwrap();
    second.unwrap();
    let stored = one.stored.get(HandlerKind::Stream).await.unwrap().unwrap();
    assert_eq!(stored.configuration.to_text(), r#"{"level":40,"formatter":"json","stream":"ext://sys.stdout"}"#);
    let (first, second) =
        tokio::join!(one.stored.create(HandlerKind::Smtp, None), other.stored.create(HandlerKind::Smtp, None));
    let made = [first, second].into_iter().filter(|it| !matches!(it, Err(ChangeError::Exists))).count();
    assert_eq!(made, 1);
}
