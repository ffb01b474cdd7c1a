//! The log handlers in the database: looked at as the API would, and nothing is made by looking.

use std::path::Path;

use k8smgr::domain::Json;
use k8smgr::log_handlers::{Configuration, HandlerKind};
use k8smgr::store::{DatabaseUrl, Store};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::tool::{installation, run};

/// The sound installation, which may log into its folder `logs`, and whose database has these handlers beside the one
/// that each begins with.
async fn with_handlers(handlers: impl Fn(&Path) -> Vec<(&'static str, Value)>) -> TempDir {
    let folder = installation(None);
    let config = folder.path().join("config.json");
    let mut value: Value = serde_json::from_str(&std::fs::read_to_string(&config).unwrap()).unwrap();
    let logs = folder.path().join("logs");
    std::fs::create_dir(&logs).unwrap();
    value["logs"]["directories"] = json!([logs]);
    std::fs::write(config, value.to_string()).unwrap();
    let url = DatabaseUrl::sqlite(&folder.path().join("k8smgr.sqlite3")).unwrap();
    let store = Store::connect(&url).await.unwrap();
    for (name, configuration) in handlers(&logs) {
        let given = Json::parse(configuration.to_string().as_bytes()).unwrap();
        let complete = Configuration::merged(HandlerKind::named(name).unwrap(), None, Some(&given)).unwrap().json;
        assert!(store.insert_log_handler(name, &complete).await.unwrap());
    }
    folder
}

fn files(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|it| !it.contains("sqlite3-")).collect();
    names.sort();
    names
}

#[tokio::test]
async fn stored_log_handlers_that_can_work_are_no_findings() {
    let folder =
        with_handlers(|logs| vec![("file", json!({"filename": logs.join("k8smgr.log"), "level": "INFO"}))]).await;
    let before = files(folder.path());
    let found = run(folder.path(), &["check"]);
    assert_eq!((found.status, found.stderr.as_str()), (0, ""), "{}", found.stdout);
    assert_eq!(files(folder.path()), before);
    assert_eq!(files(&folder.path().join("logs")), Vec::<String>::new(), "looking makes no file");
}

#[tokio::test]
async fn stored_log_handlers_that_cannot_work_are_told_with_the_reason() {
    let handlers = |_: &Path| {
        vec![
            ("file", json!({"filename": "/etc/k8smgr.log", "level": "INFO"})),
            ("syslog", json!({"address": ["169.254.169.254", 514]})),
            ("smtp", json!({"mailhost": "10.0.0.1", "fromaddr": "a@b", "toaddrs": ["c@d"]})),
        ]
    };
    let folder = with_handlers(handlers).await;
    let found = run(folder.path(), &["check", "--format", "json"]);
    assert_eq!((found.status, found.findings()), (1, vec!["- error log-handler".to_owned(); 3]));
    for told in
        ["log handler file: ", "is not in a folder of logs.directories", "log handler syslog: ", "log handler smtp: "]
    {
        assert!(found.stdout.contains(told), "{told}: {}", found.stdout);
    }
    let table = run(folder.path(), &["check"]).stdout;
    assert!(
        table.contains("log-handler  log handler syslog: 169.254.169.254:514 is not among logs.targets"),
        "{table}"
    );
}

#[test]
fn a_check_makes_no_database_and_a_database_out_of_reach_is_no_mistake() {
    let folder = installation(None);
    let before = files(folder.path());
    assert_eq!(run(folder.path(), &["check"]).status, 0);
    assert_eq!(files(folder.path()), before);

    let mut command = crate::tool::k8smgr(folder.path());
    command.arg("check").env("DATABASE_URL", "postgresql://me:hidden@127.0.0.1:1/k8s");
    let found = crate::tool::Run::from(command.output().unwrap());
    assert_eq!(found.status, 0, "{}", found.stdout);
    assert!(found.stderr.contains("the stored log handlers were not checked: "), "{}", found.stderr);
    assert!(!found.stderr.contains("hidden"), "{}", found.stderr);
}
