//! A user that is deleted while its services run: the API refuses it, a hand at the database or an unlucky moment does not.

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};

use crate::started;
use crate::support::app::{JUPYTERHUB, TestApp};

#[tokio::test(flavor = "multi_thread")]
async fn the_services_of_a_deleted_user_are_stopped_and_no_others() {
    let app = TestApp::start().await;
    started(&app, "orphan").await;
    let told = app.start_service("webonly", "other", "s1", crate::RUN).await;
    assert_eq!(told.status, 201, "{}", told.body);

    let mut database = SqliteConnection::establish(app.path("k8smgr.sqlite3").to_str().unwrap()).unwrap();
    database
        .batch_execute(&format!("PRAGMA busy_timeout = 5000; DELETE FROM users WHERE name = '{JUPYTERHUB}'"))
        .unwrap();
    app.cluster.nothing_of("orphan").await;
    assert!(crate::running(&app.get("webonly", "other").await));
    app.end().await;
}
