//! The same flavors for hubs of BackendSpawner, by `user_options.flavor`.

use crate::support::app::{JUPYTERHUB, start_body};
use crate::*;

async fn post_of(app: &TestApp, name: &str, flavor: Option<Value>) -> Answer {
    let mut body = start_body("Server", "s1");
    if let Some(flavor) = flavor {
        body["user_options"]["flavor"] = flavor;
    }
    app.post(JUPYTERHUB, name, &body).await
}

#[tokio::test]
async fn starts_are_limited_and_told_why() {
    let app =
        start(hubs(), Some("flavors: {small: {max: 1, resources: {mem_limit: 3G}}, large: {maxPerUser: 1}}")).await;
    let started = post_of(&app, "lab1", Some(json!("small"))).await;
    assert_eq!(started.status, 201, "{}", started.body);
    let refused = async |name: &str, flavor: Option<Value>| {
        let answer = post_of(&app, name, flavor).await;
        assert_eq!(answer.status, 500, "{}", answer.body);
        answer.value()["detailed_error"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        refused("lab2", Some(json!("small"))).await,
        "lab2 - Start with small for jupyterhub not allowed. Maximum (1) already reached."
    );
    assert_eq!(
        refused("lab2", None).await,
        "lab2 - Start with flavor None not allowed. Allowed values for user: ['small', 'large']"
    );
    let wrong = post_of(&app, "lab2", Some(json!(5))).await;
    wrong.assert(400, r#"{"user_options":["flavor: Not a valid string."]}"#);
    // Nothing of those is left, and hubs of the other protocol count for themselves.
    let listed = app.list(JUPYTERHUB).await.value();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    app.cluster.nothing_of("lab2").await;
    assert_eq!(start_server(&app, HUB1, "lab1", "small", 7).await.status, 200);
    // The same start again changes nothing, and a newer one of a name takes the place of the older.
    assert_eq!(post_of(&app, "lab1", Some(json!("small"))).await.status, 201);
    assert_eq!(post_of(&app, "lab3", Some(json!("large"))).await.status, 201);
    assert_eq!(app.delete(JUPYTERHUB, "lab1").await.status, 204);
    assert_eq!(post_of(&app, "lab2", Some(json!("small"))).await.status, 201);
    app.end().await;
}

#[tokio::test]
async fn a_hub_may_be_left_out_and_without_flavors_the_word_means_nothing() {
    let app = start(
        hubs().edit(|config| config["hubs"] = json!({"jupyterhub": {"flavors": false}})),
        Some("flavors: {a: {}}"),
    )
    .await;
    assert_eq!(post_of(&app, "lab1", None).await.status, 201);
    app.edit_config(|config| config["hubs"] = json!({}));
    app.app().reloader.reload();
    assert_eq!(post_of(&app, "lab2", None).await.status, 500);
    std::fs::remove_file(app.path("flavors.yaml")).unwrap();
    app.app().reloader.reload();
    assert_eq!(post_of(&app, "lab2", Some(json!("whatever"))).await.status, 201);
    app.end().await;
}
