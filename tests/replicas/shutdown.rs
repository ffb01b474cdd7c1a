//! SIGTERM: what is under way is finished while polls are answered, a second one does not wait.

use std::sync::Arc;

use local_cluster::{Fault, FaultRule};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::app::{JUPYTERHUB, TestApp};
use crate::support::postgres_server::PostgresServer;
use crate::support::processes::Process;
use crate::support::wait::eventually;
use crate::*;

const ANY: &str = "127.0.0.1:0";

struct Serving {
    app: TestApp,
    process: Process,
    address: SocketAddr,
}

async fn serving() -> Serving {
    let app = TestApp::builder().prepare().await;
    let process = Process::serve(&app, &app.database_url().to_string(), ANY);
    let address = process.address().await;
    Serving { app, process, address }
}

impl Serving {
    /// A start that is written down and gets no further.
    async fn held_start(&self, name: &'static str) -> tokio::task::JoinHandle<Option<Answer>> {
        let busy = Fault::Refuse { code: 503, reason: "ServiceUnavailable".to_owned() };
        let rule = FaultRule::new(busy).verb("create").resource("secrets").name_contains(name);
        self.app.cluster.faults().expect("the embedded cluster").add(rule);
        let address = self.address;
        // The connection may be cut: then there is no answer.
        let starting = tokio::spawn(async move {
            tokio::spawn(async move { start(address, JUPYTERHUB, name, "s1").await }).await.ok()
        });
        eventually("the start is written down", async || {
            list(address, JUPYTERHUB).await.body.contains(name).then_some(())
        })
        .await;
        starting
    }
}

#[tokio::test]
async fn a_start_under_way_is_finished_and_polls_are_answered_meanwhile() {
    let mut it = serving().await;
    let starting = it.held_start("lab").await;
    it.process.signal("TERM");
    let refused = eventually("new starts are refused", async || {
        let answer = start(it.address, JUPYTERHUB, "late", "s2").await;
        (answer.status == 500).then_some(answer)
    })
    .await;
    assert!(refused.body.contains("K8s Manager is being restarted; try again in a moment"), "{}", refused.body);
    let polled = poll(it.address, JUPYTERHUB, "lab").await;
    assert_eq!((polled.status, polled.value()["running"].clone()), (200, json!(true)), "{}", polled.body);
    it.app.cluster.faults().expect("the embedded cluster").clear();
    let started = starting.await.unwrap().expect("an answer");
    assert_eq!(started.status, 201, "{}", started.body);
    assert!(it.process.ended().await.success(), "{}", it.process.output());

    let next = Process::serve(&it.app, &it.app.database_url().to_string(), ANY);
    let address = next.address().await;
    assert_eq!(poll(address, JUPYTERHUB, "lab").await.value()["running"], json!(true));
    for name in ["lab", "late"] {
        stop(address, JUPYTERHUB, name).await;
    }
    it.app.cluster.nothing_of("lab").await;
    drop(next);
    it.app.end().await;
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let mut it = serving().await;
    let starting = it.held_start("lab").await;
    it.process.signal("TERM");
    it.process.writes("a second signal ends at once").await;
    it.process.signal("TERM");
    assert_eq!(it.process.ended().await.code(), Some(1));
    assert!(it.process.output().contains("ended at once by a second signal"), "{}", it.process.output());
    assert!(starting.await.unwrap().is_none(), "the start cannot have ended well");
    it.app.end().await;
}

#[tokio::test]
async fn a_start_that_takes_too_long_is_left_to_the_next_process() {
    let mut it = serving().await;
    let starting = it.held_start("lab").await;
    it.process.signal("TERM");
    assert!(it.process.ended().await.success(), "{}", it.process.output());
    assert!(it.process.output().contains("work that takes longer is left to recovery"), "{}", it.process.output());
    let _ = starting.await;
    // What is left of the start cannot be removed before it was looked at.
    let busy = Fault::Refuse { code: 503, reason: "ServiceUnavailable".to_owned() };
    let faults = it.app.cluster.faults().expect("the embedded cluster");
    faults.add(FaultRule::new(busy).name_contains("lab"));
    let next = Process::serve(&it.app, &it.app.database_url().to_string(), ANY);
    let address = next.address().await;
    assert!(list(address, JUPYTERHUB).await.body.contains("lab"), "the record is there to recover");
    stop(address, JUPYTERHUB, "lab").await.assert(204, "");
    faults.clear();
    eventually("the list is empty", async || (list(address, JUPYTERHUB).await.body == "[]").then_some(())).await;
    it.app.cluster.nothing_of("lab").await;
    drop(next);
    it.app.end().await;
}

#[tokio::test]
async fn connections_that_ask_nothing_hold_nothing_up() {
    let mut it = serving().await;
    let mut silent = TcpStream::connect(it.address).await.unwrap();
    let mut idle = TcpStream::connect(it.address).await.unwrap();
    idle.write_all(b"GET /api/health/ HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = [0; 1024];
    let length = idle.read(&mut answer).await.unwrap();
    assert!(answer[..length].starts_with(b"HTTP/1.1 200"));
    it.process.signal("TERM");
    for connection in [&mut silent, &mut idle] {
        let mut rest = Vec::new();
        let _ = connection.read_to_end(&mut rest).await;
        assert_eq!(String::from_utf8_lossy(&rest), "");
    }
    assert!(it.process.ended().await.success());
    assert!(!it.process.output().contains("connections were cut"), "{}", it.process.output());
    it.app.end().await;
}

#[tokio::test]
async fn where_another_replica_goes_on_requests_are_still_taken_for_a_while() {
    let server = PostgresServer::start().await;
    let url = server.create_database("k8smgr").await;
    let app = replica(&url).edit(|config| config["http"]["shutdown_delay_seconds"] = json!(5)).prepare().await;
    let ending = k8smgr::app::App::start(app.settings()).await.unwrap();
    let (address, services) = (ending.address(), Arc::clone(&ending.services));
    let ended = tokio::spawn(ending.shut_down());
    eventually("it says that it ends", async || services.is_ending().then_some(())).await;
    assert_eq!(start(address, JUPYTERHUB, "lab", "s1").await.status, 201);
    assert_eq!(poll(address, JUPYTERHUB, "lab").await.value()["running"], json!(true));
    stop(address, JUPYTERHUB, "lab").await.assert(204, "");
    ended.await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "it listens no more");
    app.cluster.nothing_of("lab").await;
    app.end().await;
}
