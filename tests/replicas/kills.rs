//! Three real processes on PostgreSQL under load, killed with -9 one after the other: hubs at the survivors notice nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use local_cluster::{Fault, FaultRule};
use tokio::sync::{OwnedRwLockReadGuard, RwLock};
use tokio::task::JoinSet;

use crate::support::app::{JUPYTERHUB, TestApp};
use crate::support::json::Json;
use crate::support::ports::ReservedPort;
use crate::support::postgres_server::PostgresServer;
use crate::support::processes::Process;
use crate::support::wait::eventually;
use crate::*;

const LEADS: &str = "this process leads: it does the background work";
const CLIENTS: usize = 3;
const LONG_LIVED: usize = 5;
/// What clients do between two kills.
const ROUNDS_BETWEEN: usize = 6;

/// The addresses. Who asks one holds it; who kills it waits for that, so that every request goes to one that lives.
#[derive(Clone)]
struct Replicas(Arc<Vec<Arc<RwLock<SocketAddr>>>>);

impl Replicas {
    /// Any that lives, another one each time.
    async fn any(&self, turn: usize) -> OwnedRwLockReadGuard<SocketAddr> {
        for index in (turn..).map(|it| it % self.0.len()) {
            if let Ok(held) = self.0[index].clone().try_read_owned() {
                return held;
            }
            tokio::task::yield_now().await;
        }
        unreachable!("the search has no end")
    }
}

/// One hub's user: starts, polls and stops at whichever replica it meets, and counts its rounds.
async fn client(number: usize, replicas: Replicas, ended: Arc<AtomicBool>, rounds: Arc<AtomicUsize>) {
    let mut turn = number;
    let mut next = || {
        turn += 1;
        turn
    };
    for round in 0.. {
        if ended.load(Ordering::SeqCst) {
            return;
        }
        let name = format!("c{number}-{round}");
        let made = start(*replicas.any(next()).await, JUPYTERHUB, &name, "s1").await;
        assert_eq!(made.status, 201, "{name}: {}", made.body);
        for _ in 0..3 {
            assert_running(&poll(*replicas.any(next()).await, JUPYTERHUB, &name).await);
        }
        start(*replicas.any(next()).await, JUPYTERHUB, &name, "s1").await.assert(201, &made.body);
        let long_lived = format!("long-{}", round % LONG_LIVED);
        assert_running(&poll(*replicas.any(next()).await, JUPYTERHUB, &long_lived).await);
        stop(*replicas.any(next()).await, JUPYTERHUB, &name).await.assert(204, "");
        rounds.fetch_add(1, Ordering::SeqCst);
    }
}

fn assert_running(answer: &Answer) {
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.json().member("running"), &Json::Bool(true), "{}", answer.body);
}

/// Whether a process leads, by its own words.
fn leads(process: &Process) -> bool {
    let output = process.output();
    output.matches(LEADS).count() > output.matches("this process leads no more").count()
}

fn serve(app: &TestApp, url: &str, listen: &str) -> Process {
    Process::serve(app, url, listen)
}

/// A stop that the leader has taken and cannot carry out.
async fn stop_cut_short(app: &TestApp, leader: SocketAddr, name: &str) {
    let busy = Fault::Refuse { code: 503, reason: "ServiceUnavailable".to_owned() };
    let faults = app.cluster.faults().expect("the embedded cluster");
    faults.add(FaultRule::new(busy).verb("delete").name_contains(name));
    let asked = tokio::spawn({
        let name = name.to_owned();
        // The process is killed before it answers.
        async move { tokio::spawn(async move { stop(leader, JUPYTERHUB, &name).await }).await }
    });
    eventually("the stop is written down", async || {
        (poll(leader, JUPYTERHUB, name).await.json().member("running") == &Json::Bool(false)).then_some(())
    })
    .await;
    asked.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_replicas_are_killed_one_after_the_other_and_nobody_notices() {
    let server = PostgresServer::start().await;
    let url = server.create_database("k8smgr").await;
    let app = replica(&url).prepare().await;
    // Who follows one that was killed listens where it did.
    let ports: Vec<_> = (0..3).map(|_| ReservedPort::take()).collect();
    let mut processes: Vec<Process> = ports.iter().map(|it| serve(&app, &url, &it.address.to_string())).collect();
    let mut addresses = Vec::new();
    for process in &processes {
        addresses.push(Arc::new(RwLock::new(process.address().await)));
    }
    let replicas = Replicas(Arc::new(addresses));
    for number in 0..LONG_LIVED {
        let made = start(*replicas.any(number).await, JUPYTERHUB, &format!("long-{number}"), "s1").await;
        assert_eq!(made.status, 201, "{}", made.body);
        app.cluster.pod_in_phase(&format!("depl-long-{number}-s1-"), "Running").await;
    }
    let long_lived = pods_of(&app, "long-").await;

    let (ended, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(client(number, replicas.clone(), ended.clone(), rounds.clone()));
    }
    let mut leaders_killed = 0;
    for round in 0.. {
        goes_on(&rounds, &mut clients).await;
        let leader = eventually("somebody leads", async || processes.iter().position(leads)).await;
        // Each once, and then who leads, where none of them did.
        let victim = match round {
            0..3 => round,
            _ if leaders_killed == 0 => leader,
            _ => break,
        };
        let was_leader = leads(&processes[victim]);
        let held = format!("held-{round}");
        if was_leader {
            let address = *replicas.0[victim].read().await;
            assert_eq!(start(address, JUPYTERHUB, &held, "s1").await.status, 201);
            stop_cut_short(&app, address, &held).await;
        }
        // Nobody asks it any more.
        let mut address = replicas.0[victim].write().await;
        processes[victim].kill();
        if was_leader {
            leaders_killed += 1;
            app.cluster.faults().expect("the embedded cluster").clear();
            app.cluster.nothing_of(&held).await;
            eventually("another one leads", async || {
                processes.iter().enumerate().any(|(index, it)| index != victim && leads(it)).then_some(())
            })
            .await;
        }
        goes_on(&rounds, &mut clients).await;
        processes[victim] = serve(&app, &url, &address.to_string());
        *address = processes[victim].address().await;
    }
    ended.store(true, Ordering::SeqCst);
    while let Some(done) = clients.join_next().await {
        done.unwrap();
    }
    assert_eq!(pods_of(&app, "long-").await, long_lived, "nothing that runs was touched");
    for number in 0..CLIENTS {
        app.cluster.nothing_of(&format!("c{number}-")).await;
    }
    let names = |body: &str| -> Vec<String> {
        let services: Value = serde_json::from_str(body).unwrap();
        let name = |it: &Value| it["servername"].as_str().unwrap().to_owned();
        services.as_array().unwrap().iter().map(name).collect()
    };
    let expected: Vec<String> = (0..LONG_LIVED).map(|it| format!("long-{it}")).collect();
    for address in replicas.0.iter() {
        let address = *address.read().await;
        eventually("each replica lists what runs, once", async || {
            (names(&list(address, JUPYTERHUB).await.body) == expected).then_some(())
        })
        .await;
    }
    drop(processes);
    app.end().await;
}

/// Waits until the clients have done some more; fails at once where one of them failed.
async fn goes_on(rounds: &AtomicUsize, clients: &mut JoinSet<()>) {
    let before = rounds.load(Ordering::SeqCst);
    eventually("the clients go on", async || (rounds.load(Ordering::SeqCst) >= before + ROUNDS_BETWEEN).then_some(()))
        .await;
    if let Some(ended) = clients.try_join_next() {
        ended.unwrap();
    }
}

/// Names and uids of the pods whose names hold `part`.
async fn pods_of(app: &TestApp, part: &str) -> Vec<(String, String)> {
    let pods = app.cluster.objects().await.into_iter().filter(|it| it["kind"] == "Pod");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut found: Vec<_> = pods
        .map(|it| (text(&it["metadata"]["name"]), text(&it["metadata"]["uid"])))
        .filter(|(name, _)| name.contains(part))
        .collect();
    found.sort();
    found
}
