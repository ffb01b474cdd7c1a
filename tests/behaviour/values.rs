//! Values that are taken leniently, and those that are not, as the contract lists them.

use serde_json::{Value, json};

use crate::support::app::{JUPYTERHUB, TestApp, basic, start_body};
use crate::support::cluster::comparable;
use crate::support::wire::Request;

#[tokio::test]
async fn numbers_for_texts_and_blanks_around_names_are_taken() {
    let app = TestApp::start().await;
    let mut body = start_body("JupyterLab/NoInput", "s1");
    for (user_id, stored) in [(json!("8"), 8), (json!(" 7 "), 7), (json!(7.0), 7), (json!(-1), -1), (json!(0), 0)] {
        body["env"]["JUPYTERHUB_USER_ID"] = user_id.clone();
        let answer = app.post(JUPYTERHUB, "lab", &body).await;
        assert_eq!((answer.status, answer.value()["jhub_user_id"].clone()), (201, json!(stored)), "{user_id}");
        // The environment has what was sent, as Python writes it.
        let secret = app.cluster.get("Secret", "secret-lab-s1-k8smgr").await.expect("the Secret");
        let sent = user_id.as_str().map_or_else(|| user_id.to_string(), str::to_owned);
        assert_eq!(comparable(&secret)["decoded"]["JUPYTERHUB_USER_ID"], sent);
        assert!(app.path(format!("userhomes/jupyterhub/{stored}")).exists(), "{user_id}");
        app.delete(JUPYTERHUB, "lab").await.assert(204, "");
        app.cluster.nothing_of("").await;
    }
    for (start_id, stored) in [(json!(5), "5"), (json!(" s2 "), "s2"), (json!(1.5), "1.5"), (json!("\ts3\n"), "s3")] {
        let mut body = start_body("JupyterLab/NoInput", "s1");
        body["start_id"] = start_id.clone();
        let request = Request::new("POST", "/api/services/").header("uuidcode", "  lab ").json(&body);
        let answer = app.send_as(JUPYTERHUB, request).await;
        assert_eq!(answer.status, 201, "{start_id}: {}", answer.body);
        let answer = answer.value();
        assert_eq!((&answer["servername"], &answer["start_id"]), (&json!("lab"), &json!(stored)));
        app.delete(JUPYTERHUB, "lab").await.assert(204, "");
        app.cluster.nothing_of("").await;
    }
    app.end().await;
}

#[tokio::test]
async fn wrong_values_are_told_together_in_the_order_of_the_object() {
    let app = TestApp::start().await;
    let refused = async |body: &Value, name: &str| {
        let request = Request::new("POST", "/api/services/").header("uuidcode", name).json(body);
        let answer = app.send(&request.header("Authorization", &basic(JUPYTERHUB))).await;
        assert_eq!(answer.status, 400, "{}", answer.body);
        answer.body
    };
    let integer = r#"{"jhub_user_id":["A valid integer is required."]}"#;
    for user_id in [json!("x"), json!(""), json!(7.5), json!(null), json!([]), json!({}), json!("1e3"), json!("7.5")] {
        let mut body = start_body("JupyterLab/NoInput", "s1");
        body["env"]["JUPYTERHUB_USER_ID"] = user_id.clone();
        assert_eq!(refused(&body, "lab").await, integer, "{user_id}");
    }
    let mut body = start_body("JupyterLab/NoInput", "s1");
    body["env"]["JUPYTERHUB_USER_ID"] = json!("x");
    body["start_id"] = json!(null);
    assert_eq!(
        refused(&body, " ").await,
        r#"{"servername":["This field may not be blank."],"start_id":["This field may not be null."],"jhub_user_id":["A valid integer is required."]}"#
    );
    for (start_id, text) in [
        (json!(""), "This field may not be blank."),
        (json!(" \n"), "This field may not be blank."),
        (json!(false), "Not a valid string."),
        (json!([]), "Not a valid string."),
        (json!({}), "Not a valid string."),
        (json!("a\u{0}"), "Null characters are not allowed."),
    ] {
        body["env"]["JUPYTERHUB_USER_ID"] = json!(7);
        body["start_id"] = start_id.clone();
        assert_eq!(refused(&body, "lab").await, format!(r#"{{"start_id":["{text}"]}}"#), "{start_id}");
    }
    app.list(JUPYTERHUB).await.assert(200, "[]");
    app.end().await;
}

#[tokio::test]
async fn the_first_missing_key_is_told() {
    let app = TestApp::start().await;
    let mut body = json!({});
    for (missing, added) in [
        ("env", json!({"env": {}})),
        ("env.JUPYTERHUB_STATUS_URL", json!({"env": {"JUPYTERHUB_STATUS_URL": "u"}})),
        ("env.JUPYTERHUB_API_TOKEN", json!({"env": {"JUPYTERHUB_STATUS_URL": "u", "JUPYTERHUB_API_TOKEN": "t"}})),
        (
            "env.JUPYTERHUB_USER_ID",
            json!({"env": {"JUPYTERHUB_STATUS_URL": "u", "JUPYTERHUB_API_TOKEN": "t", "JUPYTERHUB_USER_ID": 7}}),
        ),
        ("user_options", json!({"user_options": {}})),
        ("user_options.service", json!({"user_options": {"service": "JupyterLab/NoInput"}})),
        ("start_id", json!({"start_id": "s1"})),
    ] {
        let answer = app.post(JUPYTERHUB, "lab", &body).await;
        answer.assert(400, &format!(r#"["Missing key in input data: {missing}"]"#));
        for (key, value) in added.as_object().unwrap() {
            body[key] = value.clone();
        }
    }
    assert_eq!(app.post(JUPYTERHUB, "lab", &body).await.status, 201);
    app.end().await;
}
