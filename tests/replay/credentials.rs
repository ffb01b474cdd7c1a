//! Who may come in: `auth.*` and `authz.*`.

use crate::coverage::scenario;
use crate::support::app::TestApp;
use crate::support::records::Claims;

pub const CLAIMS: Claims = &["auth.*", "authz.*"];

/// Refused like the others; only the text is ours.
const TEXT_IS_OURS: [&str; 4] = ["auth.basic.notb64", "auth.basic.notutf8", "auth.basic.latin1", "auth.token.nonascii"];

#[tokio::test]
async fn credentials_are_judged_and_refused_as_recorded() {
    let app = TestApp::start().await;
    let records = scenario("credentials");

    for id in TEXT_IS_OURS {
        let answer = app.differs(records.record(id), 401).await;
        assert_eq!(answer.header("www-authenticate"), Some("Basic realm=\"api\""), "{id}");
        assert!(!answer.json().member("detail").text().is_empty());
    }

    app.same(records.record("auth.inactive.before")).await;
    app.app().store.set_active("webonly", false).await.unwrap();
    app.same(records.record("auth.inactive")).await;

    for record in records.rest() {
        app.same(record).await;
    }
    app.end().await;
}
