//! A random history of starts, polls, stops, deaths and faults, checked against what a hub may see.
//!
//! The model is small on purpose: per name, what the hub asked for last and what may have become of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use local_cluster::{Fault, FaultRule};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::support::app::{JUPYTERHUB, TestApp};
use crate::support::json::Json;
use crate::support::wait::eventually;

const RUN: &str = "JupyterLab/Run";
const NAMES: [&str; 4] = ["alpha", "beta", "gamma", "delta"];
const STEPS: usize = 150;

/// What the hub knows of one name.
#[derive(Clone, Debug, Default)]
struct Known {
    /// The start ids whose POST was answered 201, and that of one that failed: it may be seen until it is rolled back.
    newest: Option<String>,
    /// Its POST failed, or a DELETE was answered: it may only go.
    is_going: bool,
    /// Its workload was deleted in the cluster: it may be told to be over.
    may_end: bool,
    /// It was told to be over: it never runs again.
    has_ended: bool,
}

struct History {
    known: BTreeMap<&'static str, Known>,
    /// All start ids ever used, by name.
    used: BTreeSet<String>,
    log: Vec<String>,
}

impl History {
    fn note(&mut self, line: String) {
        self.log.push(line);
    }

    #[track_caller]
    fn check(&self, is_right: bool, name: &str, what: &str) {
        assert!(is_right, "{what}\n{name}: {:?}\nhistory:\n{}", self.known.get(name), self.log.join("\n"));
    }

    /// What a poll told.
    fn polled(&mut self, name: &'static str, status: u16, body: &str) {
        self.note(format!("GET {name}: {status} {body}"));
        let known = self.known.entry(name).or_default().clone();
        if status == 404 {
            self.check(known.newest.is_none() || known.is_going, name, "a service that was started is unknown");
            return;
        }
        self.check(status == 200, name, "a poll failed");
        let json = Json::parse(body);
        let running = json.member("running") == &Json::Bool(true);
        let start_id = json.member("start_id").text().to_owned();
        self.check(Some(&start_id) == known.newest.as_ref(), name, "another start than the newest is told");
        if running {
            self.check(!known.is_going, name, "what was stopped, or failed to start, runs");
            self.check(!known.has_ended, name, "what had ended runs again");
        } else {
            self.check(known.is_going || known.may_end, name, "a service that nobody touched is over");
            if let Some(known) = self.known.get_mut(name) {
                known.has_ended = true;
            }
        }
    }
}

fn any_fault(random: &mut StdRng) -> Fault {
    match random.random_range(0..6) {
        0 => Fault::TooManyRequests { retry_after_seconds: 0 },
        1 => Fault::DropAfterEffect,
        2 => Fault::DropBeforeEffect,
        3 => Fault::Refuse { code: 503, reason: "ServiceUnavailable".to_owned() },
        4 => Fault::Garbage,
        _ => Fault::Delay(Duration::from_millis(100)),
    }
}

async fn step(app: &TestApp, history: &mut History, random: &mut StdRng, number: usize) {
    let name = NAMES[random.random_range(0..NAMES.len())];
    match random.random_range(0..100) {
        0..25 => {
            let known = history.known.entry(name).or_default();
            // Now and then the same start is asked for again, as a hub does that lost the answer.
            let again = known.newest.clone().filter(|_| !known.is_going && !known.has_ended && !known.may_end);
            let again = again.filter(|_| random.random_bool(0.3));
            let start_id = again.clone().unwrap_or_else(|| format!("s{number}"));
            let answer = app.start_service(JUPYTERHUB, name, &start_id, RUN).await;
            history.note(format!("POST {name} {start_id}: {} {}", answer.status, answer.body));
            history.used.insert(format!("depl-{name}-{start_id}"));
            history.check(matches!(answer.status, 201 | 500), name, "a start answers something else");
            history.check(again.is_none() || answer.status == 201, name, "a repeated start failed");
            let before = history.known.get(name).cloned().unwrap_or_default();
            let fresh = Known { newest: Some(start_id), is_going: answer.status == 500, ..Known::default() };
            match (answer.status, again) {
                (_, Some(_)) => {}
                (201, None) => drop(history.known.insert(name, fresh)),
                // It may have been refused before it was written down: what was there before may still be told.
                (_, None) => {
                    let told = app.get(JUPYTERHUB, name).await;
                    let told_start = (told.status == 200).then(|| told.json().member("start_id").text().to_owned());
                    let keeps = told_start.is_some() && told_start == before.newest;
                    history.known.insert(name, if keeps { before } else { fresh });
                }
            }
        }
        25..70 => {
            let answer = app.get(JUPYTERHUB, name).await;
            history.polled(name, answer.status, &answer.body);
        }
        70..85 => {
            let answer = app.delete(JUPYTERHUB, name).await;
            history.note(format!("DELETE {name}: {}", answer.status));
            let known = history.known.entry(name).or_default().clone();
            let is_known = known.newest.is_some() && !known.is_going;
            history.check(matches!(answer.status, 204 | 404), name, "a stop answers something else");
            history.check(answer.status == 204 || !is_known, name, "a service that was started cannot be stopped");
            history.known.entry(name).or_default().is_going = true;
        }
        85..90 => {
            let known = history.known.entry(name).or_default();
            if let Some(start_id) = known.newest.clone() {
                known.may_end = true;
                let deployment = format!("depl-{name}-{start_id}");
                let _ = app.cluster.api("Deployment").delete(&deployment, &Default::default()).await;
                history.note(format!("somebody deletes {deployment}"));
            }
        }
        90..95 => {
            if let Some(faults) = app.cluster.faults() {
                let fault = any_fault(random);
                history.note(format!("fault {fault:?}"));
                faults.add(FaultRule::new(fault).percent(50).times(10));
            }
        }
        _ => {
            if let Some(faults) = app.cluster.faults() {
                history.note("no faults".to_owned());
                faults.clear();
            }
        }
    }
}

async fn run(seed: u64) {
    let app = TestApp::start().await;
    let mut random = StdRng::seed_from_u64(seed);
    let mut history = History { known: BTreeMap::new(), used: BTreeSet::new(), log: vec![format!("seed {seed}")] };
    for number in 0..STEPS {
        step(&app, &mut history, &mut random, number).await;
    }
    if let Some(faults) = app.cluster.faults() {
        faults.clear();
    }
    // What runs is whole; nothing else is there but what is being removed.
    for (name, known) in history.known.clone() {
        let polled = app.get(JUPYTERHUB, name).await;
        history.polled(name, polled.status, &polled.body);
        let runs = polled.status == 200 && polled.body.ends_with(r#","running":true}"#);
        if runs && !known.may_end {
            let deployment = format!("depl-{name}-{}", known.newest.clone().unwrap_or_default());
            history.check(
                app.cluster.get("Deployment", &deployment).await.is_some(),
                name,
                "it runs without a workload",
            );
        }
        app.delete(JUPYTERHUB, name).await;
    }
    app.cluster.nothing_of("").await;
    eventually("nothing is said to run", async || {
        let listed = app.list(JUPYTERHUB).await.json();
        listed.items().iter().all(|it| it.member("stop_pending") == &Json::Bool(true)).then_some(())
    })
    .await;
    app.end().await;
}

#[tokio::test]
async fn a_random_history_is_one_that_a_hub_may_see() {
    for seed in [1, 2, 3] {
        run(seed).await;
    }
}
