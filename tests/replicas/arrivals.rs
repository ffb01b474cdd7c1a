//! A stop at one process finds the start that another one has not written down yet.

use k8smgr::app::App;
use local_cluster::{Fault, FaultRule};
use tokio_postgres::NoTls;

use crate::support::app::{JUPYTERHUB, TestApp};
use crate::support::postgres_server::PostgresServer;
use crate::support::wait::eventually;
use crate::*;

struct Two {
    app: TestApp,
    other: App,
    url: String,
    _server: PostgresServer,
}

impl Two {
    async fn start() -> Self {
        let server = PostgresServer::start().await;
        let url = server.create_database("k8smgr").await;
        let mut app = replica(&url).prepare().await;
        app.start_process().await;
        let other = App::start(app.settings()).await.unwrap();
        Self { app, other, url, _server: server }
    }

    /// Waits until so many starts are on their way in.
    async fn arrivals(&self, count: i64) {
        let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await.unwrap();
        tokio::spawn(connection);
        eventually("the starts have arrived", async || {
            let row = client.query_one("SELECT count(*) FROM arrivals", &[]).await.unwrap();
            (row.get::<_, i64>(0) == count).then_some(())
        })
        .await;
    }

    async fn nothing_is_left(self) {
        self.app.cluster.nothing_of("lab").await;
        eventually("the list is empty", async || {
            let lists = [list(self.app.address(), JUPYTERHUB).await, list(self.other.address(), JUPYTERHUB).await];
            lists.iter().all(|it| it.body == "[]").then_some(())
        })
        .await;
        self.arrivals(0).await;
        self.other.shut_down().await.unwrap();
        self.app.end().await;
    }
}

#[tokio::test]
async fn a_start_that_is_being_planned_elsewhere_is_stopped() {
    let two = Two::start().await;
    let faults = two.app.cluster.faults().expect("the embedded cluster");
    // Planning asks which kinds there are (this one has an Ingress), and waits for the answer.
    faults.down(true);
    let (one, other) = (two.app.address(), two.other.address());
    let starting = tokio::spawn(async move { start_of(one, JUPYTERHUB, "lab", "s1", "JupyterLab/Kinds").await });
    two.arrivals(1).await;
    stop(other, JUPYTERHUB, "lab").await.assert(204, "");
    faults.down(false);
    let answer = starting.await.unwrap();
    assert_eq!(answer.status, 500, "{}", answer.body);
    assert!(answer.body.contains("was stopped while it started"), "{}", answer.body);
    // It was that start's; the next one is none of its business.
    assert_eq!(start(one, JUPYTERHUB, "lab", "s2").await.status, 201);
    assert_eq!(poll(other, JUPYTERHUB, "lab").await.status, 200);
    stop(other, JUPYTERHUB, "lab").await.assert(204, "");
    two.nothing_is_left().await;
}

#[tokio::test]
async fn a_start_that_waits_for_its_turn_and_one_that_creates_are_stopped_from_elsewhere() {
    let two = Two::start().await;
    let faults = two.app.cluster.faults().expect("the embedded cluster");
    let busy = Fault::Refuse { code: 503, reason: "ServiceUnavailable".to_owned() };
    faults.add(FaultRule::new(busy).verb("create").resource("secrets").name_contains("lab"));
    let (one, other) = (two.app.address(), two.other.address());
    let first = tokio::spawn(async move { start(one, JUPYTERHUB, "lab", "s1").await });
    eventually("the first is written down", async || {
        list(other, JUPYTERHUB).await.body.contains("\"s1\"").then_some(())
    })
    .await;
    two.arrivals(0).await;
    let second = tokio::spawn(async move { start(one, JUPYTERHUB, "lab", "s2").await });
    two.arrivals(1).await;
    stop(other, JUPYTERHUB, "lab").await.assert(204, "");
    faults.clear();
    for starting in [first, second] {
        let answer = starting.await.unwrap();
        assert_eq!(answer.status, 500, "{}", answer.body);
        assert!(answer.body.contains("was stopped while it started"), "{}", answer.body);
    }
    two.nothing_is_left().await;
}

#[tokio::test]
async fn a_stop_of_a_name_that_nobody_starts_is_told_so() {
    let two = Two::start().await;
    stop(two.other.address(), JUPYTERHUB, "lab").await.assert(404, r#"{"detail":"Not found."}"#);
    two.nothing_is_left().await;
}
