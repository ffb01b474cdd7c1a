//! Log handlers: the default of a new database, and who wins when several change one.

use super::*;

fn json(text: &str) -> Json {
    Json::parse(text.as_bytes()).unwrap()
}

async fn listed(store: &Store) -> Vec<String> {
    let rows = store.log_handlers().await.unwrap();
    rows.into_iter().map(|it| format!("{} {}", it.handler, it.configuration.to_text())).collect()
}

pub async fn a_new_database_has_the_stream_handler(database: TestDatabase) {
    let store = database.connect().await;
    let default = r#"stream {"level":10,"formatter":"simple","stream":"ext://sys.stdout"}"#;
    assert_eq!(listed(&store).await, [default]);
    assert!(store.delete_log_handler("stream").await.unwrap());
    assert!(!store.delete_log_handler("stream").await.unwrap());
    // Also after the next start.
    assert_eq!(listed(&database.connect().await).await, Vec::<String>::new());
}

pub async fn log_handlers_are_listed_as_they_were_added(database: TestDatabase) {
    let (store, other) = (database.connect().await, database.connect().await);
    store.delete_log_handler("stream").await.unwrap();
    for handler in ["syslog", "file", "stream"] {
        assert!(store.insert_log_handler(handler, &json(r#"{"level":1.0,"a":"ü"}"#)).await.unwrap());
    }
    assert!(!other.insert_log_handler("file", &json("{}")).await.unwrap());
    let rows = ["syslog", "file", "stream"].map(|it| format!(r#"{it} {{"level":1.0,"a":"ü"}}"#));
    assert_eq!(listed(&other).await, rows);
}

pub async fn a_log_handler_is_replaced_only_as_it_was_read(database: TestDatabase) {
    let store = database.connect().await;
    let (old, new) = (store.log_handlers().await.unwrap()[0].configuration.clone(), json(r#"{"level":20}"#));
    assert!(store.replace_log_handler("stream", &old, &new).await.unwrap());
    assert!(!store.replace_log_handler("stream", &old, &new).await.unwrap());
    assert!(!store.replace_log_handler("file", &old, &new).await.unwrap());
    assert_eq!(listed(&store).await, [r#"stream {"level":20}"#]);
}
