//! The superuser manages users over the API, by the rules of the command line.

use serde_json::{Value, json};

use crate::support::app::{ADMIN, JUPYTERHUB, TestApp, basic};
use crate::support::wait::eventually;
use crate::support::wire::{Answer, Request};

const USERS: &str = "/api/users/";

async fn send(app: &TestApp, method: &str, path: &str, body: Value) -> Answer {
    app.send_as(ADMIN, Request::new(method, path).json(&body)).await
}

async fn get(app: &TestApp, path: &str) -> Answer {
    app.send_as(ADMIN, Request::get(path)).await
}

async fn logs_in(app: &TestApp, authorization: &str) -> u16 {
    app.send(&Request::get("/api/services/").header("Authorization", authorization)).await.status
}

#[tokio::test]
async fn a_user_is_added_and_can_log_in() {
    let app = TestApp::start().await;
    let body = json!({"name": "hub2", "password": "hub2pw", "groups": ["access_to_webservice"]});
    let expected = r#"{"name":"hub2","is_superuser":false,"is_active":true,"has_password":true,"groups":["access_to_webservice"],"tokens":[]}"#;
    send(&app, "POST", USERS, body).await.assert(201, expected);
    get(&app, "/api/users/hub2/").await.assert(200, expected);
    get(&app, "/api/users/hub2").await.assert(200, expected);
    assert_eq!(logs_in(&app, &basic("hub2:hub2pw")).await, 200);

    let all = get(&app, "/api/users").await.value();
    let names: Vec<&str> = all.as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["admin", "hub2", "jupyterhub", "logonly", "nogroup", "otherhub", "webonly"]);
    assert_eq!(all[2]["tokens"][0]["label"], "records");

    let without = send(&app, "POST", USERS, json!({"name": "robot", "is_superuser": true})).await;
    without.assert(
        201,
        r#"{"name":"robot","is_superuser":true,"is_active":true,"has_password":false,"groups":[],"tokens":[]}"#,
    );
    app.end().await;
}

#[tokio::test]
async fn what_a_user_may_not_be_is_told() {
    let app = TestApp::start().await;
    let credential = "Use letters, digits and @ . + - _ only, at most 150 characters.";
    for (body, answer) in [
        (json!({}), json!(["Missing key in input data: name"])),
        (
            json!({"name": "x", "group": []}),
            json!(["Unknown key in input data: group. Known keys: name, password, groups, is_superuser"]),
        ),
        (json!({"name": null}), json!({"name": ["This field may not be null."]})),
        (json!({"name": "a/b"}), json!({"name": [credential]})),
        (json!({"name": "x", "password": ""}), json!({"password": ["the password is empty"]})),
        (
            json!({"name": "x", "password": "x".repeat(1025)}),
            json!({"password": ["a password has at most 1024 bytes"]}),
        ),
        (
            json!({"name": "x", "password": 5, "groups": "all", "is_superuser": "yes"}),
            json!({"password": ["Not a valid string."], "groups": ["Must be a list of groups."], "is_superuser": ["Must be a valid boolean."]}),
        ),
        (
            json!({"name": "x", "groups": ["all"]}),
            json!({"groups": ["unknown group `all`; the groups are access_to_webservice and access_to_logging"]}),
        ),
    ] {
        let given = send(&app, "POST", USERS, body.clone()).await;
        assert_eq!((given.status, given.value()), (400, answer), "{body}");
    }
    let taken = send(&app, "POST", USERS, json!({"name": "jupyterhub"})).await;
    taken.assert(409, r#"{"detail":"user `jupyterhub` exists already"}"#);
    let list =
        app.send_as(ADMIN, Request::new("POST", USERS).header("Content-Type", "application/json").body("[]")).await;
    list.assert(400, r#"{"detail":"The body must be a JSON object."}"#);
    assert_eq!(get(&app, "/api/users/x/").await.status, 404);
    app.end().await;
}

#[tokio::test]
async fn a_change_takes_effect_at_once() {
    let app = TestApp::start().await;
    let path = "/api/users/logonly/";
    assert_eq!(logs_in(&app, &basic("logonly:logpw")).await, 403);
    let changed = send(&app, "PATCH", path, json!({"groups": ["access_to_webservice"]})).await;
    assert_eq!((changed.status, &changed.value()["groups"]), (200, &json!(["access_to_webservice"])));
    assert_eq!(logs_in(&app, &basic("logonly:logpw")).await, 200);

    let changed = send(&app, "PATCH", path, json!({"password": "new", "is_active": false})).await;
    assert_eq!((changed.status, &changed.value()["is_active"]), (200, &json!(false)));
    assert_eq!(logs_in(&app, &basic("logonly:logpw")).await, 401);
    assert_eq!(send(&app, "PATCH", path, json!({"is_active": true})).await.status, 200);
    assert_eq!(logs_in(&app, &basic("logonly:new")).await, 200);
    assert_eq!(logs_in(&app, &basic("logonly:logpw")).await, 401);

    let before = get(&app, path).await.body;
    send(&app, "PATCH", path, json!({})).await.assert(200, &before);
    for (body, answer) in [
        (json!({"name": "x"}), json!(["Unknown key in input data: name. Known keys: password, groups, is_active"])),
        (json!({"is_active": null}), json!({"is_active": ["This field may not be null."]})),
        (json!({"password": "", "groups": []}), json!({"password": ["the password is empty"]})),
    ] {
        let given = send(&app, "PATCH", path, body.clone()).await;
        assert_eq!((given.status, given.value()), (400, answer), "{body}");
    }
    get(&app, path).await.assert(200, &before);
    assert_eq!(send(&app, "PATCH", "/api/users/nobody/", json!({"groups": []})).await.status, 404);
    app.end().await;
}

#[tokio::test]
async fn a_token_is_shown_once() {
    let app = TestApp::start().await;
    let path = "/api/users/webonly/tokens/";
    get(&app, path).await.assert(200, "[]");
    let made = send(&app, "POST", path, json!({})).await;
    assert_eq!((made.status, &made.value()["label"]), (201, &json!("default")));
    let token = made.value()["token"].as_str().unwrap().to_owned();
    assert_eq!(logs_in(&app, &format!("token {token}")).await, 200);

    let old = "0123456789abcdef0123456789abcdef01234567";
    let imported = send(&app, "POST", path, json!({"label": "old hub", "token": old})).await;
    imported.assert(201, r#"{"label":"old hub"}"#);
    assert_eq!(logs_in(&app, &format!("token {old}")).await, 200);

    for path in [USERS, "/api/users/webonly/", path, "/api/users/webonly/tokens/old%20hub/"] {
        let told = get(&app, path).await;
        assert_eq!(told.status, 200, "{path}");
        assert!(!told.body.contains(&token) && !told.body.contains(old), "{path}: {}", told.body);
    }
    for (body, answer) in [
        (
            json!({"label": "short", "token": "abc"}),
            json!({"token": ["a token is 32 to 255 characters out of letters, digits and - . _ ~ + / ="]}),
        ),
        (
            json!({"label": ".."}),
            json!({"label": ["a label is up to 100 letters, digits, spaces and @ . + - _, and not dots alone"]}),
        ),
        (json!({"label": 5}), json!({"label": ["Not a valid string."]})),
    ] {
        let given = send(&app, "POST", path, body.clone()).await;
        assert_eq!((given.status, given.value()), (400, answer), "{body}");
    }

    for (body, answer) in [
        (json!({}), r#"{"detail":"user `webonly` has a token labelled `default`"}"#),
        (json!({"label": "again", "token": old}), r#"{"detail":"somebody has this token already"}"#),
    ] {
        send(&app, "POST", path, body).await.assert(409, answer);
    }

    let gone = "/api/users/webonly/tokens/old%20hub/";
    send(&app, "DELETE", gone, json!({})).await.assert(204, "");
    assert_eq!(logs_in(&app, &format!("token {old}")).await, 401);
    for method in ["GET", "DELETE"] {
        assert_eq!(send(&app, method, gone, json!({})).await.status, 404, "{method}");
    }
    for method in ["GET", "POST"] {
        assert_eq!(send(&app, method, "/api/users/nobody/tokens/", json!({})).await.status, 404, "{method}");
    }
    app.end().await;
}

#[tokio::test]
async fn a_user_is_deleted_when_its_services_are_stopped() {
    let app = TestApp::start().await;
    assert_eq!(app.start_service(JUPYTERHUB, "lab", "s1", "JupyterLab/Run").await.status, 201);
    let path = "/api/users/jupyterhub/";
    let refused = send(&app, "DELETE", path, json!({})).await;
    refused.assert(409, r#"{"detail":"user `jupyterhub` still has 1 services; stop them first"}"#);
    assert_eq!(app.delete(JUPYTERHUB, "lab").await.status, 204);
    let empty = async || (app.list(JUPYTERHUB).await.body == "[]").then_some(());
    eventually("the service is gone", empty).await;
    send(&app, "DELETE", path, json!({})).await.assert(204, "");
    assert_eq!(logs_in(&app, &basic(JUPYTERHUB)).await, 401);
    for method in ["GET", "DELETE", "PATCH"] {
        send(&app, method, path, json!({})).await.assert(404, r#"{"detail":"Not found."}"#);
    }
    app.end().await;
}

#[tokio::test]
async fn a_superuser_cannot_lock_itself_out() {
    let app = TestApp::start().await;
    send(&app, "DELETE", "/api/users/admin/", json!({}))
        .await
        .assert(409, r#"{"detail":"You cannot delete yourself; another superuser can."}"#);
    send(&app, "PATCH", "/api/users/%61dmin/", json!({"is_active": false}))
        .await
        .assert(409, r#"{"detail":"You cannot deactivate yourself; another superuser can."}"#);
    assert_eq!(get(&app, "/api/users/admin/").await.value()["is_active"], true);
    app.end().await;
}

#[tokio::test]
async fn nobody_else_manages_users() {
    let app = TestApp::start().await;
    let before = get(&app, USERS).await.body;
    for path in [USERS, "/api/users/webonly/", "/api/users/webonly/tokens/", "/api/users/webonly/tokens/x/"] {
        for method in ["GET", "POST", "PATCH", "DELETE", "FOO"] {
            let answer = app.send_as(JUPYTERHUB, Request::new(method, path).json(&json!({"name": "x"}))).await;
            answer.assert(403, r#"{"detail":"You do not have permission to perform this action."}"#);
        }
    }
    for (path, allow) in [
        (USERS, "GET, POST, HEAD, OPTIONS"),
        ("/api/users/webonly/", "GET, PATCH, DELETE, HEAD, OPTIONS"),
        ("/api/users/webonly/tokens/", "GET, POST, HEAD, OPTIONS"),
        ("/api/users/webonly/tokens/x/", "GET, DELETE, HEAD, OPTIONS"),
    ] {
        let answer = send(&app, "PUT", path, json!({})).await;
        answer.assert(405, r#"{"detail":"Method \"PUT\" not allowed."}"#);
        assert_eq!(answer.header("allow"), Some(allow));
        assert_eq!(send(&app, "OPTIONS", path, json!({})).await.status, 200);
        assert!(matches!(send(&app, "HEAD", path, json!({})).await.status, 200 | 404));
    }
    for odd in ["/api/users/%ff/", "/api/users/a%00b/", "/api/users/..%2f/", "/api/users/x/y/", "/api/users/x/y/z/"] {
        assert_eq!(get(&app, odd).await.status, 404, "{odd}");
    }
    assert_eq!(get(&app, USERS).await.body, before);
    app.end().await;
}
