//! Server names as users choose them: `post.uuid.*`.

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};

use crate::coverage::scenario;
use crate::support::app::{JUPYTERHUB, TestApp};
use crate::support::records::Claims;

pub const CLAIMS: Claims = &["post.uuid.*"];

#[tokio::test]
async fn odd_server_names_work_and_impossible_ones_are_refused() {
    let app = TestApp::start().await;
    let records = scenario("names");

    for id in ["slash", "traversal"] {
        let answer = app.refused(records.record(&format!("post.uuid.{id}"))).await;
        assert!(answer.body.starts_with(r#"{"servername":["#), "{id}: {}", answer.body);
    }

    for (id, name) in [
        ("upper", "ABC"),
        ("underscore", "a_b"),
        ("dot", "a.b"),
        ("space", "a b"),
        ("percent", "a%20b"),
        ("quote", "a'b\"c"),
        ("angle", "a<id>b"),
        ("long", &"l".repeat(60)),
        ("verylong", &"v".repeat(240)),
        ("utf8", "ü"),
        ("dash", "-a-"),
        ("newlineish", "a\\nb"),
        ("star", "*"),
    ] {
        let answer = app.differs(records.record(&format!("post.uuid.{id}")), 201).await;
        assert_eq!(answer.json().member("servername").text(), name, "{id}");
        let encoded = percent_encode(name.as_bytes(), NON_ALPHANUMERIC).to_string();
        let polled = match id {
            "dash" => app.differs(records.record("post.uuid.dash.get"), 200).await,
            _ => app.get(JUPYTERHUB, &encoded).await,
        };
        assert!(polled.body.ends_with(r#","running":true}"#), "{id}: {}", polled.body);
        let names = app.cluster.names().await;
        for prefix in ["ConfigMap/cm-", "Deployment/depl-", "Secret/secret-", "Service/svc-"] {
            let ours: Vec<_> = names.iter().filter_map(|it| it.strip_prefix(prefix)).collect();
            let [object_id] = ours.as_slice() else { panic!("{id}: one {prefix}* in {names:?}") };
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(object_id.chars().all(plain), "{id}: {object_id}");
        }
        app.delete(JUPYTERHUB, &encoded).await.assert(204, "");
        app.cluster.nothing_of("").await;
        assert!(app.names_in("services").is_empty(), "{id}");
    }

    for record in records.rest() {
        app.same(record).await;
    }
    app.end().await;
}
