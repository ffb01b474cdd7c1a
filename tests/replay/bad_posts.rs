//! POSTs that are refused before anything is made: `post.bad.*`.

use crate::coverage::scenario;
use crate::support::app::{JUPYTERHUB, TestApp};
use crate::support::records::Claims;

pub const CLAIMS: Claims = &["post.bad.*"];

#[tokio::test]
async fn wrong_bodies_are_refused_as_recorded_and_leave_nothing() {
    let app = TestApp::start().await;
    let records = scenario("bad_posts");
    let before = app.everything().await;

    for id in ["invalidjson", "invalidjson2", "invalidjson3", "invalidjson4", "nan", "latin1", "bom"] {
        let answer = app.refused(records.record(&format!("post.bad.{id}"))).await;
        let detail = answer.json().member("detail").text().to_owned();
        assert!(detail.starts_with("JSON parse error - "), "{id}: {detail}");
        assert!(detail.len() > "JSON parse error - ".len(), "{id}: says where and why");
    }
    for id in ["list", "string", "number", "null"] {
        let answer = app.refused(records.record(&format!("post.bad.{id}"))).await;
        assert!(answer.body.contains("object"), "{id}: {}", answer.body);
    }
    for (field, kinds) in
        [("env", ["string", "list", "null", "number"]), ("user_options", ["string", "list", "null", "number"])]
    {
        for kind in kinds {
            let answer = app.refused(records.record(&format!("post.bad.type.{field}.{kind}"))).await;
            assert!(answer.body.contains(field), "{field} is named: {}", answer.body);
        }
    }
    let form = r#"{"detail":"Unsupported media type \"application/x-www-form-urlencoded\" in request."}"#;
    app.differs_with(records.record("post.bad.form"), 415, form).await;
    let charset = app.differs(records.record("post.bad.ctcharset"), 400).await;
    charset.assert(400, r#"["Missing key in input data: env"]"#);

    let aftermath = records.record("post.bad.aftermath");
    for record in records.rest() {
        app.same(record).await;
    }

    app.assert_cluster_names(aftermath).await;
    assert_eq!(app.everything().await, before);
    assert!(app.names_in("services").is_empty() && app.names_in("userhomes").is_empty());
    app.list(JUPYTERHUB).await.assert(200, "[]");
    app.end().await;
}
