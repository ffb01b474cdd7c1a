//! Two replicas on PostgreSQL: the one that leads holds the forwards and its pod the label, whoever is asked.

use k8smgr::app::App;
use serde_json::json;

use crate::support::app::basic;
use crate::support::postgres_server::PostgresServer;
use crate::support::ssh_server::{SshServer, ask, echo_server};
use crate::*;

const LABEL: &str = "k8smgr.io/user-jobs";

async fn make_pod(app: &TestApp, name: &str) {
    let spec = json!({"containers": [{"name": "k8smgr", "image": "x/run:1"}]});
    let metadata = json!({"name": name, "labels": {"name": "k8smgr"}});
    app.cluster.create("Pod", json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})).await;
}

/// Which of the two pods the Services lead to.
async fn labelled(app: &TestApp) -> Vec<String> {
    let mut found = Vec::new();
    for pod in ["replica-0", "replica-1"] {
        let object = app.cluster.get("Pod", pod).await.unwrap();
        if object["metadata"]["labels"][LABEL].is_string() {
            found.push(pod.to_owned());
        }
    }
    found
}

async fn send(replica: &App, request: Request) -> Answer {
    request.header("Authorization", &basic(JUPYTERHUB)).send(replica.address()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_holds_the_forwards_whoever_is_asked() {
    let ssh = SshServer::start().await;
    let server = PostgresServer::start().await;
    let url = server.create_database("user_jobs").await;
    let mut app = builder(&ssh.config_file())
        .database(&url)
        .edit(|config| {
            // Who leads at the beginning does so until it is stopped.
            config["leader_election"] = json!({"lease_seconds": 10});
            config["http"]["shutdown_delay_seconds"] = json!(0);
        })
        .prepare()
        .await;
    let mut replicas = Vec::new();
    for name in ["replica-0", "replica-1"] {
        make_pod(&app, name).await;
        app.set_variable("POD_NAME", name);
        replicas.push((name, App::start(app.settings()).await.unwrap()));
    }
    let leader = eventually("one leads", async || replicas.iter().position(|(_, it)| it.leader.status().leading)).await;
    let (one, two) = (echo_server("one").await, echo_server("two").await);
    // Both are asked: the one that leads and the one that does not.
    let (asked, other) = (&replicas[1 - leader].1, &replicas[leader].1);
    assert_eq!(send(asked, post_of(&job("uj1", &[(8080, one)]))).await.status, 201);
    assert_eq!(send(other, post_of(&job("uj2", &[(8080, two)]))).await.status, 201);
    let (first, second) = (local_ports(&app, "uj1").await[0], local_ports(&app, "uj2").await[0]);
    assert_eq!(ask(first, "hello").await.as_deref(), Some("one: hello"));
    assert_eq!(ask(second, "hello").await.as_deref(), Some("two: hello"));
    // A failure is told by the one that was asked, too.
    let mut body = job("uj3", &[(8080, one)]);
    body["hostname"] = json!("closed");
    let failed = send(asked, post_of(&body)).await;
    assert_eq!(failed.status, 500);
    assert!(failed.body.contains("ssh could not connect to tunnel_closed"), "{}", failed.body);
    let refused = send(asked, post_of(&job("uj2", &[(8080, one)]))).await;
    assert_eq!(refused.status, 400, "{}", refused.body);

    let installation = asked.store.installation_id().await.unwrap();
    let service = app.cluster.get("Service", "uj1").await.unwrap();
    assert_eq!(service["spec"]["selector"], json!({LABEL: installation}));
    let pod = replicas[leader].0;
    eventually("its pod alone is labelled", async || (labelled(&app).await == [pod]).then_some(())).await;

    replicas.remove(leader).1.shut_down().await.unwrap();
    let (pod, next) = &replicas[0];
    answers(first, "one: hello").await;
    answers(second, "two: hello").await;
    eventually("the label moves along", async || (labelled(&app).await == [*pod]).then_some(())).await;
    assert_eq!(local_ports(&app, "uj1").await, [first]);
    for service in ["uj1", "uj2"] {
        assert_eq!(send(next, Request::new("DELETE", &format!("/api/userjobs/{service}/"))).await.status, 204);
        assert!(app.cluster.get("Service", service).await.is_none());
    }
    assert_eq!(ask(first, "hello").await, None);
    assert!(next.store.user_jobs().await.unwrap().is_empty());
    for (_, replica) in replicas {
        replica.shut_down().await.unwrap();
    }
    app.end().await;
}
