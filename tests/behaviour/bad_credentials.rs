//! Every route asks for credentials before anything else, but for health and the roots.

use crate::support::app::{TestApp, basic};
use crate::support::wire::{Answer, Request};

const PATHS: [&str; 14] = [
    "/api/services/",
    "/api/services",
    "/api/services/x/",
    "/api/services/x",
    "/api/userjobs/",
    "/api/userjobs/x/",
    "/api/logs/handler/",
    "/api/logs/handler/stream/",
    "/api/logs/logtest/",
    "/api/users/",
    "/api/users/x",
    "/api/users/x/tokens/",
    "/api/users/x/tokens/y/",
    "/api/services/%2e%2e/",
];
const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "FOO"];
const BAD: [&str; 9] =
    ["", "Basic", "Basic a b", "Basic !!!", "Basic eA==", "Bearer x", "token", "token a b", "token 0000"];

fn assert_challenged(answer: &Answer, what: &str) {
    assert_eq!(answer.status, 401, "{what}: {}", answer.body);
    assert_eq!(answer.header("www-authenticate"), Some("Basic realm=\"api\""), "{what}");
    assert_eq!(answer.header("content-type"), Some("application/json"), "{what}");
    assert!(!answer.json().member("detail").text().is_empty(), "{what}");
}

#[tokio::test]
async fn every_route_refuses_every_bad_credential() {
    let app = TestApp::start().await;
    let before = app.everything().await;
    for path in PATHS {
        for method in METHODS {
            assert_challenged(&app.send(&Request::new(method, path)).await, &format!("{method} {path}"));
        }
        for bad in BAD {
            let request = Request::get(path).header("Authorization", bad);
            assert_challenged(&app.send(&request).await, &format!("{path} {bad:?}"));
        }
        let head = app.send(&Request::new("HEAD", path)).await;
        assert_eq!((head.status, head.header("www-authenticate")), (401, Some("Basic realm=\"api\"")));
    }
    // One wrong password a path: they are slowed on purpose.
    for (path, user) in PATHS.iter().zip(["jupyterhub:wrong", "nopass:", "nobody:x", "admin:", ":superpw"]) {
        let request = Request::get(path).header("Authorization", &basic(user));
        assert_challenged(&app.send(&request).await, user);
    }
    assert_eq!(app.everything().await, before);
    app.end().await;
}

#[tokio::test]
async fn credentials_are_not_looked_at_where_none_are_needed() {
    let app = TestApp::start().await;
    for path in ["/api/health/", "/api/health", "/api/", "/api", "/api/logs/", "/api/logs"] {
        for bad in BAD {
            let answer = app.send(&Request::get(path).header("Authorization", bad)).await;
            assert_eq!(answer.status, 200, "{path} {bad:?}: {}", answer.body);
        }
    }
    app.end().await;
}

#[tokio::test]
async fn a_group_opens_only_its_own_part() {
    let app = TestApp::start().await;
    let forbidden = r#"{"detail":"You do not have permission to perform this action."}"#;
    for (user, path) in [
        ("logonly:logpw", "/api/services/"),
        ("logonly:logpw", "/api/services/x/"),
        ("logonly:logpw", "/api/userjobs/"),
        ("webonly:webpw", "/api/logs/handler/"),
        ("webonly:webpw", "/api/logs/logtest/"),
        ("nogroup:nogrouppw", "/api/services/x/"),
    ] {
        for method in ["GET", "POST", "DELETE", "FOO"] {
            let answer = app.send_as(user, Request::new(method, path)).await;
            assert_eq!((answer.status, answer.body.as_str()), (403, forbidden), "{user} {method} {path}");
        }
    }
    app.list("webonly:webpw").await.assert(200, "[]");
    app.end().await;
}
