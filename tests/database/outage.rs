//! PostgreSQL is away for a while, or cuts its connections.

use std::time::Duration;

use k8smgr::domain::{Credential, ServerName, ServiceState};
use local_cluster::{Fault, FaultRule};

use crate::support::app::{JUPYTERHUB, TOKEN, TestApp};
use crate::support::postgres_server::PostgresServer;
use crate::support::wait::eventually;
use crate::support::wire::Request;
use crate::{CRASH, RUN, ends, fails_to_start, running, started};

const AWAY: &str = "The database of K8s Manager does not answer; its log says why.";

async fn app_on(server: &PostgresServer) -> TestApp {
    let url = server.create_database("k8smgr").await;
    let app = TestApp::builder().database(&url).start().await;
    // The users of the tests were added a moment ago. Whoever logged in before that was heard of would have to be looked up
    // anew, and here the database is away then. Changes are heard of in their order.
    let store = &app.app().store;
    let mut changes = store.changes().await;
    assert!(store.delete_log_handler("stream").await.unwrap());
    while !matches!(changes.next().await, batch if batch.log_handlers || batch.everything) {}
    app
}

async fn is_listed(app: &TestApp, name: &str) -> bool {
    let answer = app.list(JUPYTERHUB).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json().items().iter().any(|it| it.member("servername").text() == name)
}

async fn comes_back(app: &TestApp, server: &mut PostgresServer) {
    server.restart().await;
    eventually("the database answers again", async || (!app.app().store.is_away()).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_away_polls_go_on_and_nothing_is_started() {
    let mut server = PostgresServer::start().await;
    let app = app_on(&server).await;
    let told = started(&app, "lab").await;
    assert_eq!(app.start_service(JUPYTERHUB, "crash", "s1", CRASH).await.status, 201);
    let explained = ends(&app, "crash").await;
    let by_token = Request::get("/api/services/lab/").header("Authorization", &format!("token {TOKEN}"));
    app.send(&by_token).await.assert(200, &told);
    let before = app.cluster.names().await;

    server.kill();
    for _ in 0..20 {
        app.get(JUPYTERHUB, "lab").await.assert(200, &told);
        app.send(&by_token).await.assert(200, &told);
    }
    // Another process may have started what this one knows nothing of, or knows to be over.
    for name in ["crash", "nobody"] {
        let answer = app.get(JUPYTERHUB, name).await;
        assert!(running(&answer), "{}", answer.body);
        assert_eq!(answer.json().member("servername").text(), name);
        assert_eq!(answer.json().member("details").member("detailed_error").text(), AWAY);
    }
    fails_to_start(&app, "new").await;
    assert_eq!(app.put(JUPYTERHUB, "lab").await.status, 500);
    for (user, status) in [("jupyterhub:wrong", 503), ("nobody:x", 503), ("nogroup:nogrouppw", 503)] {
        assert_eq!(app.get(user, "lab").await.status, status, "{user}");
    }
    assert!(is_listed(&app, "lab").await && is_listed(&app, "crash").await && !is_listed(&app, "new").await);
    assert_eq!(app.cluster.names().await, before);

    comes_back(&app, &mut server).await;
    app.get(JUPYTERHUB, "lab").await.assert(200, &told);
    app.get(JUPYTERHUB, "crash").await.assert(200, &explained.body);
    app.get(JUPYTERHUB, "nobody").await.assert(404, r#"{"detail":"Not found."}"#);
    assert_eq!(app.get("jupyterhub:wrong", "lab").await.status, 401);
    assert_eq!(app.start_service(JUPYTERHUB, "new", "s1", RUN).await.status, 201);
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_during_an_outage_is_carried_out_at_once_and_written_down_later() {
    let mut server = PostgresServer::start().await;
    let app = app_on(&server).await;
    started(&app, "lab").await;
    let other = started(&app, "other").await;

    server.kill();
    app.delete(JUPYTERHUB, "lab").await.assert(204, "");
    app.cluster.nothing_of("lab-s1").await;
    app.delete(JUPYTERHUB, "nobody").await.assert(204, "");
    assert!(!running(&app.get(JUPYTERHUB, "lab").await));
    app.get(JUPYTERHUB, "other").await.assert(200, &other);

    comes_back(&app, &mut server).await;
    eventually("the stop is written down and done", async || (!is_listed(&app, "lab").await).then_some(())).await;
    app.get(JUPYTERHUB, "lab").await.assert(404, r#"{"detail":"Not found."}"#);
    app.get(JUPYTERHUB, "other").await.assert(200, &other);
    // It was of the start that there was, not of the next one.
    started(&app, "lab").await;
    assert!(running(&app.get(JUPYTERHUB, "lab").await));
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_service_is_told_only_once_it_is_written_down() {
    let mut server = PostgresServer::start().await;
    let app = app_on(&server).await;
    let told = started(&app, "lab").await;
    server.kill();
    app.cluster.delete("Deployment", "depl-lab-s1").await;
    app.cluster.nothing_of("depl-lab-s1").await;
    for _ in 0..20 {
        app.get(JUPYTERHUB, "lab").await.assert(200, &told);
    }
    comes_back(&app, &mut server).await;
    let ended = ends(&app, "lab").await;
    assert_eq!(ended.json().member("details").member("error").text(), "Service is gone");
    app.get(JUPYTERHUB, "lab").await.assert(200, &ended.body);
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_connections_fail_neither_polls_nor_starts() {
    let server = PostgresServer::start().await;
    let app = app_on(&server).await;
    let told = started(&app, "lab").await;
    for round in 0..5 {
        server
            .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'k8smgr'")
            .await;
        app.get(JUPYTERHUB, "lab").await.assert(200, &told);
        app.get(JUPYTERHUB, "nobody").await.assert(404, r#"{"detail":"Not found."}"#);
        let started = app.start_service(JUPYTERHUB, &format!("lab{round}"), "s1", RUN).await;
        assert_eq!(started.status, 201, "{}", started.body);
    }
    for round in 0..5 {
        app.delete(JUPYTERHUB, &format!("lab{round}")).await.assert(204, "");
    }
    eventually("only lab is left", async || (app.list(JUPYTERHUB).await.json().items().len() == 1).then_some(())).await;
    app.get(JUPYTERHUB, "lab").await.assert(200, &told);
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_its_hub_was_told_of_outlives_an_outage_of_the_database() {
    let mut server = PostgresServer::start().await;
    let app = app_on(&server).await;
    let Some(faults) = app.cluster.faults() else { return app.end().await };
    let busy = Fault::Refuse { code: 503, reason: "ServiceUnavailable".to_owned() };
    faults.add(FaultRule::new(busy).verb("create").resource("deployments"));
    let answer = app.start_service(JUPYTERHUB, "lab", "s1", RUN).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    server.kill();
    eventually("the outage is noticed", async || app.app().store.is_away().then_some(())).await;
    faults.clear();
    let pod = app.cluster.pod_in_phase("depl-lab-s1-", "Running").await;

    comes_back(&app, &mut server).await;
    let lab = (Credential::parse("jupyterhub").unwrap(), ServerName::parse("lab").unwrap());
    eventually("the start is finished", async || {
        let record = app.app().store.newest_service(&lab.0, &lab.1).await.unwrap().expect("its record");
        (record.state == ServiceState::Running).then_some(())
    })
    .await;
    assert!(running(&app.get(JUPYTERHUB, "lab").await));
    assert_eq!(app.cluster.pods("depl-lab-s1-").await, [pod]);
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_process_waits_for_a_stop_that_cannot_be_written_down() {
    let mut server = PostgresServer::start().await;
    let mut app = app_on(&server).await;
    started(&app, "lab").await;
    let Some(faults) = app.cluster.faults() else { return app.end().await };
    faults.add(FaultRule::new(Fault::Delay(Duration::from_secs(3))).verb("delete").resource("deployments"));
    server.kill();
    app.delete(JUPYTERHUB, "lab").await.assert(204, "");
    app.stop_process().await;
    assert_eq!(app.cluster.get("Deployment", "depl-lab-s1").await, None);
    assert_eq!(app.cluster.get("Secret", "secret-lab-s1-k8smgr").await, None);
    server.restart().await;
    app.end().await;
}
