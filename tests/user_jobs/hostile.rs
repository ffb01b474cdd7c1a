//! What must not reach ssh: 400, and no process is started.

use serde_json::json;

use crate::support::app::OTHERHUB;
use crate::support::ssh_server::{SshServer, echo_server, fake_ssh};
use crate::*;

#[tokio::test]
async fn hostile_values_are_refused_and_no_process_is_started() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    std::fs::write(
        &config,
        "Host tunnel_login01 -oProxyCommand=x\n  HostName 127.0.0.1\nHost tunnel_*\n  HostName x\n",
    )
    .unwrap();
    let program = fake_ssh(folder.path(), "exit 255");
    let app = builder(&config)
        .edit(move |config| config["userjobs"]["ssh_program"] = json!(program.to_str().unwrap()))
        .start()
        .await;
    app.cluster
        .create("Service", json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "theirs"}, "spec": {"ports": [{"port": 1}]}}))
        .await;
    let before = app.everything().await;
    for (key, value) in [
        ("hostname", json!("-oProxyCommand=touch /tmp/x")),
        ("hostname", json!("login01\nProxyCommand touch")),
        ("hostname", json!("login01 -oProxyCommand=x")),
        ("hostname", json!("*")),
        ("hostname", json!("login02")),
        ("hostname", json!("login01/../x")),
        ("hostname", json!(["login01"])),
        ("target_node", json!("-oProxyCommand=touch /tmp/x")),
        ("target_node", json!("169.254.169.254")),
        ("target_node", json!("2852039166")),
        ("target_node", json!("localhost")),
        ("target_node", json!("127.0.0.2")),
        ("target_node", json!("[::1]")),
        ("target_node", json!("node1:22:other")),
        ("target_node", json!("node1\nnode2")),
        ("target_node", json!("a/b.sock")),
        ("target_node", json!(null)),
        ("ports", json!({"8080": 0})),
        ("ports", json!({"0": 80})),
        ("ports", json!({"65536": 80})),
        ("ports", json!({"8080": "80:other:22"})),
        ("ports", json!({"8080": " 80"})),
        ("ports", json!({"8080": 80.5})),
        ("ports", json!({"8080": true})),
        ("ports", json!({"8080": [80]})),
        ("ports", json!({"-1": 80})),
        ("ports", json!("8080")),
        ("ports", (1..=33).map(|it| (it.to_string(), json!(it))).collect::<serde_json::Map<_, _>>().into()),
        ("service", json!("theirs")),
        ("service", json!("UJ_1")),
        ("service", json!("a\nb")),
        ("service", json!("-oProxyCommand")),
        ("service", json!("a".repeat(64))),
        ("service", json!("a".repeat(10_000))),
        ("service", json!("kube\u{0}system")),
    ] {
        let mut body = job("uj1", &[(8080, 80)]);
        body[key] = value.clone();
        let answer = post(&app, &body).await;
        assert_eq!(answer.status, 400, "{key} {value}: {}", answer.body);
        assert!(answer.body.starts_with(&format!("{{\"{key}\":[\"")), "{key} {value}: {}", answer.body);
        assert!(answer.body.len() < 1024, "what was sent is not echoed at length: {}", answer.body);
    }
    assert!(!folder.path().join("ssh-calls").exists(), "ssh was started");
    assert!(app.app().store.user_jobs().await.unwrap().is_empty());
    assert_eq!(app.everything().await, before, "nothing is made, the other's Service is as it was");
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_hub_s_job_is_neither_seen_nor_touched() {
    let ssh = SshServer::start().await;
    let app = app_with(&ssh).await;
    let one = echo_server("one").await;
    let body = job("uj1", &[(8080, one)]);
    assert_eq!(post(&app, &body).await.status, 201);
    let before = app.everything().await;
    let port = local_ports(&app, "uj1").await[0];
    // Its own name again, and another hub's.
    for user in [JUPYTERHUB, OTHERHUB] {
        let answer = app.send_as(user, post_of(&body)).await;
        assert_eq!(answer.status, 400, "{user}: {}", answer.body);
        assert!(answer.body.starts_with("{\"service\":["), "{}", answer.body);
    }
    let item = |method: &str| Request::new(method, "/api/userjobs/uj1/");
    for method in ["GET", "DELETE"] {
        app.send_as(OTHERHUB, item(method)).await.assert(404, r#"{"detail":"Not found."}"#);
    }
    app.send_as(OTHERHUB, Request::get("/api/userjobs/")).await.assert(200, "[]");
    assert_eq!(app.everything().await, before);
    answers(port, "one: hello").await;
    app.end().await;
}

#[tokio::test]
async fn without_a_configuration_for_ssh_that_is_said() {
    let app = TestApp::start().await;
    let answer = post(&app, &job("uj1", &[(8080, 80)])).await;
    // Loopback is not in the list of this one; a plain node is told what is missing.
    assert_eq!(answer.status, 400, "{}", answer.body);
    let mut body = job("uj1", &[(8080, 80)]);
    body["target_node"] = json!("node1");
    let answer = post(&app, &body).await;
    assert_eq!(answer.status, 500);
    assert!(answer.body.contains("SSHCONFIGFILE is not set where K8s Manager runs"), "{}", answer.body);
    app.send_as(JUPYTERHUB, Request::get("/api/userjobs/")).await.assert(200, "[]");
    assert_eq!(delete(&app, "uj1").await.status, 404);
    app.end().await;
}
