//! Which paths and methods there are: `health.*`, `root.*`, `route.*`, and services that do not exist.

use crate::coverage::scenario;
use crate::support::app::{JUPYTERHUB, TestApp};
use crate::support::records::Claims;

pub const CLAIMS: Claims =
    &["health.*", "root.*", "route.*", "get.unknown*", "put.unknown", "patch.unknown", "delete.unknown", "list.empty"];

const NOT_FOUND: &str = r#"{"detail":"Not found."}"#;
const NO_CREDENTIALS: &str = r#"{"detail":"Authentication credentials were not provided."}"#;

#[tokio::test]
async fn paths_and_methods_answer_as_recorded() {
    let app = TestApp::start().await;
    let records = scenario("routes");

    for (id, status, body) in [
        ("health.noslash", 200, ""),
        ("health.post", 405, r#"{"detail":"Method \"POST\" not allowed."}"#),
        ("root.slash", 404, NOT_FOUND),
        ("root.unknown", 404, NOT_FOUND),
        ("route.list.noslash", 200, "[]"),
        ("route.one.noslash", 404, NOT_FOUND),
        ("route.delete.noslash", 404, NOT_FOUND),
        ("route.noslash.query", 200, "[]"),
        ("route.noslash.noauth", 401, NO_CREDENTIALS),
        ("route.doubleslash", 404, NOT_FOUND),
        ("route.list.json", 404, NOT_FOUND),
        ("route.format.query", 200, "[]"),
        ("route.format.query.bad", 200, "[]"),
        ("route.accept.xml", 200, "[]"),
        ("route.accept.xml.noauth", 401, NO_CREDENTIALS),
        ("route.admin", 404, NOT_FOUND),
        ("route.admin.noslash", 404, NOT_FOUND),
        ("get.unknown.dot", 404, NOT_FOUND),
        ("get.unknown.encoded", 404, NOT_FOUND),
        ("get.unknown.slash", 404, NOT_FOUND),
    ] {
        let record = records.record(id);
        if record.is_same() {
            app.same(record).await.assert(status, body);
        } else {
            app.differs_with(record, status, body).await;
        }
    }
    for (id, allow) in [
        ("route.options.list", "GET, POST, HEAD, OPTIONS"),
        ("route.options.one", "GET, PUT, PATCH, DELETE, HEAD, OPTIONS"),
    ] {
        let answer = app.differs(records.record(id), 200).await;
        assert_eq!(answer.header("allow"), Some(allow), "{id}");
    }
    let posted = records.record("route.post.noslash");

    for record in records.rest() {
        app.same(record).await;
    }

    let answer = app.differs(posted, 201).await;
    let name = answer.json().member("servername").text().to_owned();
    assert_eq!(app.get(JUPYTERHUB, &name).await.status, 200);
    app.end().await;
}
