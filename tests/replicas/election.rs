//! One leads; another one follows when it ends, and when it cannot renew.

use k8smgr::app::App;
use k8smgr::leader::{ElectedBy, LeaderStatus};
use local_cluster::{Fault, FaultRule};

use crate::support::app::TestApp;
use crate::support::postgres_server::PostgresServer;
use crate::support::wait::eventually;
use crate::*;

struct Three {
    /// Its cluster and folders are those of all.
    app: TestApp,
    replicas: Vec<App>,
    _server: PostgresServer,
}

async fn three(method: &'static str) -> Three {
    let server = PostgresServer::start().await;
    let url = server.create_database("k8smgr").await;
    let app = replica(&url).edit(move |config| config["leader_election"]["method"] = json!(method)).prepare().await;
    if method == "auto" {
        refuse_leases(&app);
    }
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(App::start(app.settings()).await.unwrap());
    }
    Three { app, replicas, _server: server }
}

fn refuse_leases(app: &TestApp) {
    let rule = FaultRule::new(Fault::Refuse { code: 403, reason: "Forbidden".to_owned() }).resource("leases");
    app.cluster.faults().expect("the embedded cluster").add(rule);
}

impl Three {
    fn leaders(&self) -> Vec<usize> {
        (0..self.replicas.len()).filter(|&index| self.status(index).leading).collect()
    }

    fn status(&self, index: usize) -> LeaderStatus {
        self.replicas[index].leader.status()
    }

    /// The one that leads, once all know.
    async fn leader(&self) -> usize {
        eventually("one leads and the others follow", async || {
            let followers = (0..self.replicas.len()).filter(|&it| !self.status(it).leading);
            let all_know = followers.clone().all(|it| self.status(it).elected_by != ElectedBy::Nobody);
            match self.leaders().as_slice() {
                [leader] if all_know => Some(*leader),
                _ => None,
            }
        })
        .await
    }

    async fn end(self) {
        for replica in self.replicas {
            replica.shut_down().await.unwrap();
        }
        self.app.end().await;
    }
}

#[tokio::test]
async fn a_lease_elects_one_and_the_next_when_it_ends() {
    let mut three = three("lease").await;
    let leader = three.leader().await;
    let follower = (leader + 1) % 3;
    eventually("a follower knows the leader's name", async || three.status(follower).leader).await;
    assert_eq!(three.status(leader).elected_by, ElectedBy::Lease);
    three.replicas.remove(leader).shut_down().await.unwrap();
    let next = three.leader().await;
    assert_eq!(three.status(next).elected_by, ElectedBy::Lease);
    three.end().await;
}

#[tokio::test]
async fn without_the_right_to_leases_the_database_elects() {
    let mut three = three("auto").await;
    let leader = three.leader().await;
    assert_eq!(three.status(leader).elected_by, ElectedBy::Database);
    three.replicas.remove(leader).shut_down().await.unwrap();
    let next = three.leader().await;
    assert_eq!(three.status(next).elected_by, ElectedBy::Database);
    three.end().await;
}

#[tokio::test]
async fn a_leader_that_cannot_renew_leads_no_more_and_one_leads_again_afterwards() {
    let three = three("lease").await;
    three.leader().await;
    let faults = three.app.cluster.faults().expect("the embedded cluster");
    faults.down(true);
    eventually("nobody leads", async || three.leaders().is_empty().then_some(())).await;
    let told = eventually("it is told why", async || three.status(0).problem).await;
    assert!(told.contains("answer in time") || told.contains("cannot be reached"), "{told}");
    faults.down(false);
    three.leader().await;
    three.end().await;
}

#[tokio::test]
async fn a_leader_whose_connection_is_cut_leads_no_more_or_again() {
    let three = three("database").await;
    for _ in 0..3 {
        three.leader().await;
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'k8smgr'";
        three._server.execute(cut).await;
        eventually("the cut was noticed", async || {
            let statuses = (0..3).map(|it| three.status(it));
            statuses.into_iter().any(|it| it.problem.is_some()).then_some(())
        })
        .await;
    }
    three.leader().await;
    three.end().await;
}
