//! Starts that come up: what they are answered, what they make, and that asking again changes nothing.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::wait::eventually;
use crate::support::wire::Request;
use crate::{ALIVE, GONE, HUB1, body, failure, hubs, list, nothing_is_left, poll, post, start, start_server, stop};

#[tokio::test]
async fn a_sync_start_is_answered_with_the_address_once_the_server_is_ready() {
    let app = start(hubs()).await;
    let address = format!("http://jupyter-alice--lab.{}.svc.cluster.local:8899", app.cluster.namespace);
    let started = start_server(&app, HUB1, "lab", "s1", json!({})).await;
    started.assert(200, &json!({ "service": address }).to_string());
    let pod = app.cluster.get("Pod", "jupyter-alice--lab").await.unwrap();
    assert_eq!(pod["status"]["phase"], "Running");
    let service = app.cluster.get("Service", "jupyter-alice--lab").await.unwrap();
    assert_eq!(
        (&service["spec"]["ports"][0]["port"], &service["metadata"]["labels"]["a"]),
        (&json!(8899), &json!("b"))
    );
    for path in ["lab/s1", "lab/s1/", "lab/s1?collect_logs=1"] {
        poll(&app, HUB1, path).await.assert(200, ALIVE);
    }
    let listed = list(&app, HUB1).await;
    let entry = &listed[0];
    assert_eq!(
        (listed.as_array().unwrap().len(), &entry["name"], &entry["start_id"]),
        (1, &json!("lab"), &json!("s1"))
    );
    let keys: Vec<_> = entry.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected = [
        "name",
        "start_id",
        "start_date",
        "end_date",
        "jupyterhub",
        "jupyterhub_userid",
        "last_update",
        "state_stored",
        "start_pending",
        "stop_pending",
    ];
    expected.sort_unstable();
    assert_eq!(keys, expected);
    assert_eq!((&entry["jupyterhub"], &entry["jupyterhub_userid"]), (&json!("hub1"), &json!("7")));
    assert_eq!(entry["end_date"], "9999-12-31T23:59:59.999999");
    assert_eq!(
        (&entry["state_stored"], &entry["start_pending"], &entry["stop_pending"]),
        (&json!(true), &json!(false), &json!(false))
    );
    stop(&app, HUB1, "lab/s1").await.assert(200, r#"{"logs":[]}"#);
    poll(&app, HUB1, "lab/s1").await.assert(404, GONE);
    stop(&app, HUB1, "lab/s1").await.assert(404, GONE);
    assert_eq!(list(&app, HUB1).await, json!([]));
    nothing_is_left(&app).await;
    app.end().await;
}

#[tokio::test]
async fn the_environment_and_certificates_are_in_secrets_and_nowhere_else() {
    let app = start(hubs()).await;
    let mut wanted = body("lab", "s1", &json!({"pod_name_template": "jupyter-cert1"}));
    wanted["env"]["JUPYTERHUB_SSL_KEYFILE"] = json!("/x/k");
    wanted["certs"] = json!({"keyfile": "KEY\n", "certfile": "CERT\n", "cafile": "CA\n"});
    wanted["internal_trust_bundles"] = json!({"hub-ca": "hub-ca\n", "services-ca": "services-ca\n"});
    let request = post(&wanted).header("auth-state-access_token", "canary-auth-state");
    let started = app.send_as(HUB1, request).await;
    let address = format!("https://jupyter-cert1.{}.svc.cluster.local:8899", app.cluster.namespace);
    started.assert(200, &json!({ "service": address }).to_string());

    let objects = app.cluster.objects().await;
    let secrets: Vec<_> = objects.iter().filter(|it| it["kind"] == "Secret").collect();
    let decoded = |value: &Value| {
        let bytes = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, value.as_str().unwrap()).unwrap();
        String::from_utf8(bytes).unwrap()
    };
    let certificates = secrets.iter().find(|it| it["data"].get("ssl.key").is_some()).unwrap();
    assert_eq!(decoded(&certificates["data"]["ssl.key"]), "KEY\n");
    assert_eq!(decoded(&certificates["data"]["ssl.crt"]), "CERT\n");
    assert_eq!(decoded(&certificates["data"]["notebooks-ca_trust.crt"]), "CA\nhub-ca\n");
    let environment = secrets.iter().find(|it| it["data"].get("SERVERNAME").is_some()).unwrap();
    for (key, value) in [
        ("SERVERNAME", "lab"),
        ("NUMBER", "5"),
        ("JUPYTERHUB_USER_ID", "7"),
        ("JUPYTERHUB_API_TOKEN", "canary-token"),
        ("JUPYTERHUB_SSL_KEYFILE", "/etc/jupyterhub/ssl/ssl.key"),
    ] {
        assert_eq!(decoded(&environment["data"][key]), value, "{key}");
    }
    for secret in secrets {
        assert!(!secret.to_string().contains("canary-auth"), "{secret}");
        for value in secret["data"].as_object().unwrap().values() {
            assert!(!decoded(value).contains("canary-auth"));
        }
    }
    let row = format!("{:?}", app.app().store.services_after(i64::MIN, 10).await.unwrap());
    assert!(!row.contains("canary") && !row.contains("KEY"), "{row}");
    app.end().await;
}

#[tokio::test]
async fn the_same_start_again_is_answered_alike_and_touches_nothing() {
    let app = start(hubs()).await;
    let answers = join_all((0..6).map(|_| start_server(&app, HUB1, "lab", "s1", json!({})))).await;
    for answer in &answers {
        assert_eq!((answer.status, &answer.body), (200, &answers[0].body));
    }
    let before = app.cluster.snapshot().await;
    let again = start_server(&app, HUB1, "lab", "s1", json!({"port": 1, "image": "x/other:1"})).await;
    again.assert(200, &answers[0].body);
    assert_eq!(app.cluster.snapshot().await, before);
    assert_eq!(list(&app, HUB1).await.as_array().unwrap().len(), 1);
    app.end().await;
}

#[tokio::test]
async fn an_async_start_is_accepted_and_polled_as_alive_until_it_is_up() {
    let app = start(hubs()).await;
    let request = |id: &str| post(&body("lab", id, &json!({}))).header("execution-type", "async");
    app.send_as(HUB1, request("s1")).await.assert(202, r#"{"service":""}"#);
    let entry = &list(&app, HUB1).await[0];
    assert_eq!(entry["name"], "lab");
    eventually("the server is up", async || {
        poll(&app, HUB1, "lab/s1").await.assert(200, ALIVE);
        let pod = app.cluster.get("Pod", "jupyter-alice--lab").await?;
        (pod["status"]["phase"] == "Running").then_some(())
    })
    .await;
    eventually("it is not awaited any more", async || {
        (list(&app, HUB1).await[0]["start_pending"] == false).then_some(())
    })
    .await;
    // At the very name that the hub looks for.
    assert!(app.cluster.get("Service", "jupyter-alice--lab").await.is_some());
    let stopped = Request::new("DELETE", "/services/lab/s1").header("execution-type", "async");
    app.send_as(HUB1, stopped.clone()).await.assert(202, "{}");
    let polled = poll(&app, HUB1, "lab/s1").await;
    polled.assert(404, GONE);
    app.send_as(HUB1, stopped).await.assert(404, GONE);
    nothing_is_left(&app).await;
    app.end().await;
}

#[tokio::test]
async fn a_description_is_chosen_or_the_user_is_told_why_not() {
    let app = start(hubs()).await;
    let mut wanted = body("lab", "s1", &json!({}));
    wanted["user_options"]["service"] = json!("Nothing");
    let text = failure(&app.send_as(HUB1, post(&wanted)).await, "ValueError");
    assert_eq!(text, "Couldn't find service yaml file.");
    wanted["user_options"]["service"] = json!("Unreachable");
    let text = failure(&app.send_as(HUB1, post(&wanted)).await, "ValueError");
    assert!(text.contains("{{outpost.pod_name}}") && text.contains("jupyter-alice--lab"), "{text}");
    wanted["user_options"]["service"] = json!("Server");
    wanted["misc"]["pod_name_template"] = json!("Bad_Name");
    let text = failure(&app.send_as(HUB1, post(&wanted)).await, "ValueError");
    assert!(text.contains("`Bad_Name`"), "{text}");
    nothing_is_left(&app).await;
    app.end().await;
}

#[tokio::test]
async fn what_is_not_admitted_of_misc_changes_nothing() {
    let app = start(hubs()).await;
    let misc = json!({"image": "evil/image:1", "no_such_trait": 1, "cmd": ["sh"]});
    assert_eq!(start_server(&app, HUB1, "lab", "s1", misc).await.status, 200);
    let pod = app.cluster.get("Pod", "jupyter-alice--lab").await.unwrap();
    assert_eq!(pod["spec"]["containers"][0]["image"], "x/run:1");
    app.end().await;
}
