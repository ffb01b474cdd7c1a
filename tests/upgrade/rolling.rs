//! PostgreSQL: the new version starts beside the old, takes over, and the old one ends.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::databases::load_postgres;
use crate::support::app::TestApp;
use crate::support::postgres_server::PostgresServer;
use crate::support::processes::Process;
use crate::support::wait::eventually;
use crate::*;

/// Between polls, whether or not the earlier ones were answered.
const BETWEEN_POLLS: Duration = Duration::from_millis(20);
const BETWEEN_PROBES: Duration = Duration::from_millis(100);
const FEWEST_POLLS: usize = 300;

/// What is behind a Service: those of the replicas that are ready.
#[derive(Clone, Default)]
struct Endpoints {
    replicas: Arc<Mutex<Vec<SocketAddr>>>,
    ready: Arc<Mutex<Vec<SocketAddr>>>,
    is_over: Arc<AtomicBool>,
    polls: Arc<AtomicUsize>,
}

impl Endpoints {
    /// As a kubelet and what listens to it: looks at readiness, a connection each.
    async fn probe(self) {
        while !self.is_over.load(Ordering::SeqCst) {
            let replicas = self.replicas.lock().unwrap().clone();
            let mut ready = Vec::new();
            for address in replicas {
                // A process that has ended takes no connection.
                if tokio::net::TcpStream::connect(address).await.is_ok()
                    && tokio::spawn(async move { Request::get("/readyz").send(address).await })
                        .await
                        .is_ok_and(|it| it.status == 200)
                {
                    ready.push(address);
                }
            }
            *self.ready.lock().unwrap() = ready;
            tokio::time::sleep(BETWEEN_PROBES).await;
        }
    }

    /// Polls all services in turn, each at one of the ready replicas; gives what was wrong.
    async fn poll(self) -> Vec<String> {
        let mut polls = tokio::task::JoinSet::new();
        let mut number = 0;
        while !self.is_over.load(Ordering::SeqCst) {
            let ready = self.ready.lock().unwrap().clone();
            assert!(!ready.is_empty(), "the Service has no endpoints");
            let address = ready[number % ready.len()];
            let service = name(number / ready.len() % SERVICES);
            polls.spawn(async move { (address, service.clone(), poll(address, &service).await) });
            number += 1;
            self.polls.store(number, Ordering::SeqCst);
            tokio::time::sleep(BETWEEN_POLLS).await;
        }
        let mut wrong = Vec::new();
        while let Some(polled) = polls.join_next().await {
            match polled {
                Ok((_, _, answer)) if is_running(&answer) => {}
                Ok((address, service, answer)) => {
                    wrong.push(format!("{address} {service}: {} {}", answer.status, answer.body));
                }
                Err(error) => wrong.push(error.to_string()),
            }
        }
        wrong
    }

    async fn is_ready(&self, address: SocketAddr) {
        eventually("the replica is ready", async || self.ready.lock().unwrap().contains(&address).then_some(())).await;
    }

    async fn polls_more(&self) {
        let before = self.polls.load(Ordering::SeqCst);
        eventually("polls", async || (self.polls.load(Ordering::SeqCst) >= before + FEWEST_POLLS).then_some(())).await;
    }
}

/// The version before, where `K8SMGR_PREVIOUS` names its program; else this one on the database of the version before.
fn previous() -> PathBuf {
    std::env::var_os("K8SMGR_PREVIOUS").map_or_else(|| env!("CARGO_BIN_EXE_k8smgr").into(), PathBuf::from)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_servers_are_polled_through_an_upgrade_and_none_is_told_stopped() {
    let server = PostgresServer::start().await;
    let url = server.create_database("k8smgr").await;
    load_postgres(&url).await;
    let app = TestApp::builder().database(&url).prepare().await;
    let mut old = Process::serve_by(&previous(), &app, &url, "127.0.0.1:0");
    let old_address = old.address().await;
    start_all(old_address).await;

    let endpoints = Endpoints::default();
    endpoints.replicas.lock().unwrap().push(old_address);
    let probing = tokio::spawn(endpoints.clone().probe());
    endpoints.is_ready(old_address).await;
    let polling = tokio::spawn(endpoints.clone().poll());
    endpoints.polls_more().await;
    let mut new = Process::serve(&app, &url, "127.0.0.1:0");
    let new_address = new.address().await;
    endpoints.replicas.lock().unwrap().push(new_address);
    endpoints.is_ready(new_address).await;
    // Both serve for a while, as in a rolling update.
    endpoints.polls_more().await;
    old.signal("TERM");
    assert!(old.ended().await.success(), "{}", old.output());
    endpoints.polls_more().await;
    endpoints.is_over.store(true, Ordering::SeqCst);
    let wrong = polling.await.unwrap();
    probing.await.unwrap();
    let polls = endpoints.polls.load(Ordering::SeqCst);
    assert!(wrong.is_empty(), "{} of {polls}: {:?}", wrong.len(), &wrong[..wrong.len().min(5)]);
    println!("{polls} polls through the upgrade, none failed, none said stopped");
    for number in 0..SERVICES {
        assert!(is_running(&poll(new_address, &name(number)).await));
    }
    new.signal("TERM");
    assert!(new.ended().await.success(), "{}", new.output());
    app.end().await;
}

/// The next version has migrated the database while this one still serves: it polls, starts and stops as before.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_process_goes_on_beside_a_database_that_a_newer_version_has_migrated() {
    let server = PostgresServer::start().await;
    let url = server.create_database("k8smgr").await;
    load_postgres(&url).await;
    let app = TestApp::builder().database(&url).prepare().await;
    let process = Process::serve_by(&previous(), &app, &url, "127.0.0.1:0");
    let address = process.address().await;
    assert_eq!(start(address, "before").await.status, 201);
    // All that a migration may do (see `additive`).
    let next = "
        ALTER TABLE services ADD COLUMN of_the_next_version TEXT;
        ALTER TABLE services ADD COLUMN also_new BOOLEAN NOT NULL DEFAULT FALSE;
        ALTER TABLE users ADD COLUMN of_the_next_version BIGINT NOT NULL DEFAULT 7;
        CREATE TABLE of_the_next_version (id BIGSERIAL PRIMARY KEY, what TEXT NOT NULL);
        CREATE INDEX services_of_the_next_version ON services (of_the_next_version);
        INSERT INTO __diesel_schema_migrations (version) VALUES ('20991231000001');";
    crate::databases::execute_postgres(&url, next).await;
    assert!(is_running(&poll(address, "before").await));
    assert_eq!(start(address, "after").await.status, 201);
    eventually("it runs", async || is_running(&poll(address, "after").await).then_some(())).await;
    for name in ["before", "after"] {
        let request = Request::new("DELETE", &format!("/api/services/{name}/"));
        let stopped = request.header("Authorization", &basic(JUPYTERHUB)).send(address).await;
        assert_eq!(stopped.status, 204, "{}", stopped.body);
        eventually("it is gone", async || (poll(address, name).await.status == 404).then_some(())).await;
    }
    // What does not know the migration does not begin: it might not understand what it reads.
    let mut late = Process::serve(&app, &url, "127.0.0.1:0");
    assert_eq!(late.ended().await.code(), Some(1));
    assert!(late.output().contains("20991231000001"), "{}", late.output());
    app.end().await;
}
