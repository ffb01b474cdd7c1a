//! A user that is deleted while its services run: the API refuses it, a hand at the database or an unlucky moment does not.

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};

use crate::support::app::{OTHERHUB, TestApp};
use crate::{RUN, running, started};

#[tokio::test(flavor = "multi_thread")]
async fn the_services_of_a_deleted_user_are_stopped_and_no_others() {
    let app = TestApp::start().await;
    started(&app, "orphan").await;
    let other = app.start_service(OTHERHUB, "other", "s1", RUN).await;
    assert_eq!(other.status, 201, "{}", other.body);

    let mut database = SqliteConnection::establish(app.path("k8smgr.sqlite3").to_str().unwrap()).unwrap();
    database.batch_execute("PRAGMA busy_timeout = 5000; DELETE FROM users WHERE name = 'jupyterhub'").unwrap();
    app.cluster.nothing_of("orphan").await;
    assert!(running(&app.get(OTHERHUB, "other").await));
    app.end().await;
}
