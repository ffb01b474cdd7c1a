//! Whatever is sent: never a 5xx but the documented one, never a hang, never anything left.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::{Value, json};

use crate::support::app::{JUPYTERHUB, TestApp, basic, start_body};
use crate::support::wire::{Answer, Request};

fn runner(cases: u32) -> TestRunner {
    // No file of seeds beside the tests; what fails is printed.
    TestRunner::new(Config { cases, failure_persistence: None, max_shrink_iters: 100, ..Config::default() })
}

/// Any JSON value, not too large.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        "[a-zA-Z/._-]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,8}", inner, 0..4).prop_map(|it| json!(it)),
        ]
    })
}

/// A body that is nearly right: some of its places hold something else.
fn nearly_right() -> impl Strategy<Value = Value> {
    let places = [
        "/env",
        "/env/JUPYTERHUB_STATUS_URL",
        "/env/JUPYTERHUB_API_TOKEN",
        "/env/JUPYTERHUB_USER_ID",
        "/user_options",
        "/user_options/service",
        "/start_id",
        "/certs",
        "/auth_state",
    ];
    prop::collection::vec((prop::sample::select(places.to_vec()), any_json()), 0..3).prop_map(|changes| {
        let mut body = start_body("JupyterLab/Run", "s1");
        for (place, value) in changes {
            match place.rsplit_once('/') {
                Some(("", key)) => body[key] = value,
                _ => {
                    if let Some(it) = body.pointer_mut(place) {
                        *it = value;
                    }
                }
            }
        }
        body
    })
}

fn is_fine(answer: &Answer) -> Result<(), TestCaseError> {
    let documented = answer.status == 500
        && (answer.body.contains("Couldn't find service yaml file.") || answer.body.contains("may not be more than"));
    prop_assert!(answer.status < 500 || documented, "{} {}", answer.status, answer.body);
    Ok(())
}

/// Runs `check` for every value that `strategy` thinks of, against one service.
fn for_all<S: Strategy>(cases: u32, strategy: S, check: impl AsyncFn(&TestApp, S::Value) -> Result<(), TestCaseError>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let app = runtime.block_on(TestApp::start());
    runner(cases).run(&strategy, |value| runtime.block_on(check(&app, value))).unwrap();
    runtime.block_on(app.end());
}

#[test]
fn bodies_that_are_nearly_right_are_started_or_refused() {
    for_all(150, nearly_right(), async |app, body| {
        let answer = app.post(JUPYTERHUB, "lab", &body).await;
        is_fine(&answer)?;
        if answer.status == 201 {
            prop_assert_eq!(app.get(JUPYTERHUB, "lab").await.status, 200);
            app.delete(JUPYTERHUB, "lab").await;
            app.cluster.nothing_of("").await;
        }
        prop_assert_eq!(app.list(JUPYTERHUB).await.body, "[]");
        prop_assert!(app.names_in("services").is_empty());
        Ok(())
    });
}

#[test]
fn bodies_of_any_bytes_are_refused() {
    for_all(150, prop::collection::vec(any::<u8>(), 0..200), async |app, bytes| {
        let request = Request::new("POST", "/api/services/")
            .header("Authorization", &basic(JUPYTERHUB))
            .header("uuidcode", "lab")
            .header("Content-Type", "application/json")
            .body(bytes);
        let answer = app.send(&request).await;
        prop_assert_eq!(answer.status, 400, "{}", answer.body);
        Ok(())
    });
}

#[test]
fn any_server_name_works_or_is_refused() {
    // Bytes that may stand in a header.
    let name = prop::collection::vec(prop_oneof![0x20..0x7fu8, 0x80..=0xffu8], 0..60);
    for_all(60, name, async |app, name| {
        let request = Request::new("POST", "/api/services/")
            .header("Authorization", &basic(JUPYTERHUB))
            .raw_header("uuidcode", &name)
            .json(&start_body("JupyterLab/NoInput", "s1"));
        let answer = app.send(&request).await;
        is_fine(&answer)?;
        if answer.status == 201 {
            let stored = answer.json().member("servername").text().to_owned();
            let encoded =
                percent_encoding::percent_encode(stored.as_bytes(), percent_encoding::NON_ALPHANUMERIC).to_string();
            prop_assert_eq!(app.get(JUPYTERHUB, &encoded).await.status, 200);
            prop_assert_eq!(app.delete(JUPYTERHUB, &encoded).await.status, 204);
            app.cluster.nothing_of("").await;
        } else {
            prop_assert_eq!(answer.status, 400);
        }
        Ok(())
    });
}

#[test]
fn any_path_and_authorization_is_answered() {
    let path = "/[!-~]{0,40}";
    let authorization = prop_oneof![Just(basic(JUPYTERHUB)), "(Basic|basic|token|Token|)[ -~]{0,40}"];
    let method = prop::sample::select(vec!["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "X"]);
    let prefix = prop::sample::select(vec!["", "/api", "/api/services", "/api/services/", "/api/logs"]);
    for_all(200, (method, prefix, path, authorization), async |app, (method, prefix, path, authorization)| {
        let request = Request::new(method, &format!("{prefix}{path}")).header("Authorization", &authorization);
        let answer = app.send(&request).await;
        prop_assert!(answer.status < 500, "{} {}", answer.status, answer.body);
        Ok(())
    });
}
