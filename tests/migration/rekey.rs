//! Keys of what is kept of requests: sealed from the start, changed while it serves, missing, lost.

use diesel::connection::SimpleConnection;
use diesel::{Connection, RunQueryDsl, SqliteConnection, sql_query};
use k8smgr::app::App;
use serde_json::json;

use crate::commands::{Ended, command, k8smgr_with, stop};
use crate::support::app::{JUPYTERHUB, TestApp, start_body};
use crate::support::wait::eventually;

const OLD: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const NEW: &str = "//////////////////////////////////////////8=";
const VARIABLE: &str = "K8SMGR_CRYPT_KEYS";
const CANARY: &str = "canary-3e81";

async fn rekey(app: &TestApp, keys: &str, more: &[&str]) -> Ended {
    k8smgr_with(app, &[&["rekey"], more].concat(), &[(VARIABLE, keys)]).await
}

/// A server whose user options hold a canary.
async fn start(app: &TestApp, name: &str) -> String {
    let mut body = start_body("JupyterLab/Run", "a0000001");
    body["user_options"]["token"] = json!(CANARY);
    let started = app.post(JUPYTERHUB, name, &body).await;
    assert_eq!(started.status, 201, "{}", started.body);
    eventually("it runs", async || {
        let answer = app.get(JUPYTERHUB, name).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body.ends_with(r#""running":true}"#).then_some(answer.body)
    })
    .await
}

/// All that the database's files hold.
fn raw(app: &TestApp) -> String {
    let file = |end: &str| std::fs::read(app.path(format!("k8smgr.sqlite3{end}"))).unwrap_or_default();
    String::from_utf8_lossy(&[file(""), file("-wal")].concat()).into_owned()
}

#[tokio::test]
async fn keys_are_introduced_and_changed_without_anybody_noticing() {
    let mut app = TestApp::start().await;
    let answer = start(&app, "lab").await;
    assert!(answer.contains(CANARY) && raw(&app).contains(CANARY));
    stop(&mut app).await;

    app.set_variable(VARIABLE, OLD);
    app.start_process().await;
    start(&app, "second").await;
    assert!(raw(&app).contains(CANARY), "what was there before is left to rekey");
    let told = rekey(&app, OLD, &[]).await.succeeded();
    assert!(told.contains("\n2 services are sealed by the key f828fc5b\n"), "{told}");
    assert!(raw(&app).contains("sealed:1:f828fc5b:") && !raw(&app).contains(CANARY));
    eventually("it is polled as before", async || (app.get(JUPYTERHUB, "lab").await.body == answer).then_some(()))
        .await;

    app.set_variable(VARIABLE, &format!("{NEW};{OLD}"));
    app.restart().await;
    let told = rekey(&app, &format!("{NEW};{OLD}"), &[]).await.succeeded();
    assert!(told.starts_with("0 texts that were in clear and "), "{told}");
    assert!(!raw(&app).contains("sealed:1:f828fc5b:"));
    let again = rekey(&app, &format!("{NEW};{OLD}"), &[]).await.succeeded();
    assert!(again.starts_with("0 texts that were in clear and 0 of other keys are sealed now\n"), "{again}");
    app.set_variable(VARIABLE, NEW);
    app.restart().await;
    eventually("it is polled as before", async || (app.get(JUPYTERHUB, "lab").await.body == answer).then_some(()))
        .await;
    for name in ["lab", "second"] {
        app.delete(JUPYTERHUB, name).await.assert(204, "");
    }
    app.cluster.nothing_of("").await;
    app.end().await;
}

#[derive(diesel::QueryableByName)]
struct Options {
    #[diesel(sql_type = diesel::sql_types::Text)]
    user_options: String,
}

#[tokio::test]
async fn a_rekey_that_is_killed_is_completed_by_the_next() {
    let mut app = TestApp::start().await;
    for name in ["first", "second", "third"] {
        start(&app, name).await;
    }
    stop(&mut app).await;
    let mut database = SqliteConnection::establish(app.path("k8smgr.sqlite3").to_str().unwrap()).unwrap();
    // It comes to the second service and no further.
    let hang = "CREATE VIEW endless AS WITH RECURSIVE number(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM number) SELECT x FROM number;
        CREATE TRIGGER hang BEFORE UPDATE OF user_options ON services WHEN NEW.sequence = 2
        BEGIN SELECT count(*) FROM endless; END;";
    database.batch_execute(hang).unwrap();
    let mut rekey_that_hangs = command(&app, &["rekey"], &[(VARIABLE, OLD)]).kill_on_drop(true).spawn().unwrap();
    let sealed = |database: &mut SqliteConnection| {
        let query = sql_query("SELECT user_options FROM services ORDER BY sequence");
        let rows: Vec<Options> = query.load(database).unwrap();
        rows.iter().map(|it| it.user_options.starts_with("sealed:1:")).collect::<Vec<_>>()
    };
    let database = std::cell::RefCell::new(database);
    let first_is_sealed = async || (sealed(&mut database.borrow_mut()) == [true, false, false]).then_some(());
    eventually("the first is sealed", first_is_sealed).await;
    rekey_that_hangs.kill().await.unwrap();
    let mut database = database.into_inner();
    assert_eq!(sealed(&mut database), [true, false, false]);
    database.batch_execute("DROP TRIGGER hang; DROP VIEW endless").unwrap();
    drop(database);

    let told = rekey(&app, OLD, &[]).await.succeeded();
    assert!(told.contains("\n3 services are sealed by the key f828fc5b\n"), "{told}");
    assert!(!raw(&app).contains(CANARY));
    app.set_variable(VARIABLE, OLD);
    app.start_process().await;
    for name in ["first", "second", "third"] {
        let runs = async || app.get(JUPYTERHUB, name).await.body.contains(CANARY).then_some(());
        eventually("it is polled as before", runs).await;
        app.delete(JUPYTERHUB, name).await.assert(204, "");
    }
    app.cluster.nothing_of("").await;
    app.end().await;
}

#[tokio::test]
async fn a_wrong_key_is_refused_at_the_start_and_a_lost_one_given_up() {
    let mut app = TestApp::builder().variable(VARIABLE, OLD).start().await;
    start(&app, "lab").await;
    stop(&mut app).await;
    for keys in ["", NEW] {
        app.set_variable(VARIABLE, keys);
        let error = App::start(app.settings()).await.err().expect("it is refused");
        let error = format!("{error:#}");
        assert!(error.contains("sealed by keys that were not given: f828fc5b (1 services)"), "{error}");
    }
    let broken = rekey(&app, "canary", &[]).await.failed().1;
    assert!(broken.contains("key 1 in K8SMGR_CRYPT_KEYS is not the base64 of 32 bytes"), "{broken}");
    let none = rekey(&app, "", &[]).await.failed().1;
    assert!(none.contains("there is no key to seal with"), "{none}");
    let missing = rekey(&app, NEW, &[]).await.failed().1;
    assert!(missing.contains("f828fc5b (1 services)"), "{missing}");
    let forgotten = rekey(&app, NEW, &["--forget", "f828fc5b"]).await.succeeded();
    assert!(forgotten.contains(" given up\n1 services are sealed by the key "), "{forgotten}");
    app.start_process().await;
    let answer = eventually("it runs", async || {
        let answer = app.get(JUPYTERHUB, "lab").await;
        answer.body.ends_with(r#""running":true}"#).then_some(answer.body)
    });
    assert!(answer.await.contains(r#""user_options":{}"#));
    app.delete(JUPYTERHUB, "lab").await.assert(204, "");
    app.cluster.nothing_of("").await;
    app.end().await;
}
