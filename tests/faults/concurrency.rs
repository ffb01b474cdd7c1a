//! Everything at once: the same start many times, starts against stops, a newer start during an older one, one home.

use std::time::Duration;

use futures::future::{join, join_all};
use k8smgr::domain::{Credential, ServiceState};
use local_cluster::{Fault, FaultRule};
use serde_json::json;

use crate::support::app::{JUPYTERHUB, TestApp, start_body};
use crate::support::folders::listing;
use crate::support::wait::eventually;

const RUN: &str = "JupyterLab/Run";
const WORKERS: usize = 20;
const ROUNDS: usize = 50;

#[tokio::test]
async fn a_hundred_identical_starts_make_one_object_set() {
    let app = TestApp::start().await;
    let starts = (0..100).map(|_| app.start_service(JUPYTERHUB, "lab", "s1", RUN));
    let answers = join_all(starts).await;
    for answer in &answers {
        answer.assert(201, &answers[0].body);
    }
    app.cluster.pod_in_phase("depl-lab-s1-", "Running").await;
    let mut kinds: Vec<_> = app.cluster.names().await;
    kinds.iter_mut().for_each(|it| it.truncate(it.find('/').unwrap()));
    assert_eq!(kinds, ["ConfigMap", "Deployment", "Pod", "Secret", "Service"]);
    assert_eq!(app.list(JUPYTERHUB).await.json().items().len(), 1);
    app.end().await;
}

/// One name's rounds. After each of them the service is whole or gone.
async fn start_against_stop(app: &TestApp, worker: usize) {
    let name = format!("w{worker}x");
    for round in 0..ROUNDS {
        let start_id = format!("r{round}");
        let start = app.start_service(JUPYTERHUB, &name, &start_id, RUN);
        let stop = async {
            // Every order of the two comes about.
            for _ in 0..(worker * 7 + round * 3) % 40 {
                tokio::task::yield_now().await;
            }
            app.delete(JUPYTERHUB, &name).await
        };
        let (started, stopped) = join(start, stop).await;
        assert!(matches!(started.status, 201 | 500), "{}", started.body);
        assert!(matches!(stopped.status, 204 | 404), "{}", stopped.body);
        let polled = app.get(JUPYTERHUB, &name).await;
        if polled.status == 200 && polled.body.ends_with(r#","running":true}"#) {
            let deployment = app.cluster.get("Deployment", &format!("depl-{name}-{start_id}")).await;
            assert!(deployment.is_some(), "running, so it is whole: {}", polled.body);
            app.delete(JUPYTERHUB, &name).await.assert(204, "");
        } else {
            assert!(polled.status == 404 || polled.body.contains(r#""stop_pending":true"#), "{}", polled.body);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_rounds_of_starts_against_stops_leave_nothing_half_done() {
    let app = TestApp::start().await;
    join_all((0..WORKERS).map(|worker| start_against_stop(&app, worker))).await;
    app.cluster.nothing_of("").await;
    eventually("nothing is listed", async || (app.list(JUPYTERHUB).await.body == "[]").then_some(())).await;
    assert!(app.names_in("services").is_empty());
    app.end().await;
}

#[tokio::test]
async fn a_newer_start_during_an_older_one_wins() {
    let app = TestApp::start().await;
    if let Some(faults) = app.cluster.faults() {
        let slow = Fault::Delay(Duration::from_millis(700));
        faults.add(FaultRule::new(slow).verb("create").name_contains("lab-s1"));
    }
    let newer = async {
        eventually("the older start is under way", async || {
            (app.list(JUPYTERHUB).await.body.contains("s1")).then_some(())
        })
        .await;
        app.start_service(JUPYTERHUB, "lab", "s2", RUN).await
    };
    let (older, newer) = join(app.start_service(JUPYTERHUB, "lab", "s1", RUN), newer).await;
    assert_eq!(newer.status, 201, "{}", newer.body);
    assert!(matches!(older.status, 201 | 500), "{}", older.body);
    let polled = app.get(JUPYTERHUB, "lab").await;
    assert!(
        polled.body.contains(r#""start_id":"s2""#) && polled.body.ends_with(r#","running":true}"#),
        "{}",
        polled.body
    );
    app.cluster.nothing_of("lab-s1").await;
    app.cluster.pod_in_phase("depl-lab-s2-", "Running").await;
    assert_eq!(app.list(JUPYTERHUB).await.json().items().len(), 1);
    app.end().await;
}

#[tokio::test]
async fn two_first_starts_of_one_user_make_one_whole_home() {
    let app = TestApp::start().await;
    // Much to copy, so that the copies meet.
    let skeleton = app.path("skel/jupyterhub_suffix");
    std::fs::create_dir(&skeleton).unwrap();
    for number in 0..100 {
        std::fs::write(skeleton.join(format!("file{number}")), [b'x'; 4096]).unwrap();
    }
    let answers = join_all((0..8).map(|number| {
        let app = &app;
        async move { app.start_service(JUPYTERHUB, &format!("lab{number}"), "s1", RUN).await.status }
    }))
    .await;
    assert_eq!(answers, [201; 8]);
    let mut other = start_body(RUN, "s1");
    other["env"]["JUPYTERHUB_USER_ID"] = json!(8);
    assert_eq!(app.post(JUPYTERHUB, "other", &other).await.status, 201);
    assert_eq!(app.names_in("userhomes/jupyterhub_suffix"), ["7", "8"]);
    let home = |user: &str| listing(&app.path(format!("userhomes/jupyterhub_suffix/{user}")));
    assert!(home("7").as_array().is_some_and(|it| it.len() > 100), "{}", home("7"));
    assert_eq!(home("7"), home("8"));
    app.end().await;
}

#[tokio::test]
async fn what_an_update_made_is_not_forgotten_when_its_service_ends_meanwhile() {
    let app = TestApp::builder().grace_seconds(0).start().await;
    assert_eq!(app.start_service(JUPYTERHUB, "lab", "s1", RUN).await.status, 201);
    let pod = app.cluster.pod_in_phase("depl-lab-s1-", "Running").await;
    let Some(faults) = app.cluster.faults() else { return app.end().await };
    let slow = Fault::Delay(Duration::from_millis(2500));
    // Whoever explains the end: a poll, and who saw the pod fail.
    faults.add(FaultRule::new(slow).verb("get").resource("pods/log"));
    let state = json!({"terminated": {"exitCode": 1, "reason": "Error"}});
    let main =
        json!({"name": "main", "image": "x/run:1", "imageID": "", "ready": false, "restartCount": 0, "state": state});
    let over = json!({ "containerStatuses": [main] });
    let met = faults.met();
    app.cluster.set_pod_status(&pod, over).await;
    let ending = eventually("the end is being explained", async || {
        app.get(JUPYTERHUB, "lab").await;
        (faults.met() > met).then_some(())
    });
    let updating = async {
        eventually("the end is being explained", async || (faults.met() > met).then_some(())).await;
        app.put(JUPYTERHUB, "lab").await
    };
    let ((), updated) = join(ending, updating).await;
    assert_eq!(updated.status, 200, "{}", updated.body);
    let credential = Credential::parse("jupyterhub").unwrap();
    let record = eventually("the workload is gone", async || {
        let record = app.app().store.services_of(&credential).await.unwrap().remove(0);
        (record.state == ServiceState::Ended && record.objects.iter().all(|it| !it.is_workload)).then_some(record)
    })
    .await;
    assert!(record.objects.iter().any(|it| it.name == "svc-update-lab-s1"), "{:?}", record.objects);
    app.end().await;
}

#[tokio::test]
async fn an_older_start_that_cannot_be_removed_holds_up_no_other() {
    let app = TestApp::start().await;
    let Some(faults) = app.cluster.faults() else { return app.end().await };
    let names = ["stuck1", "stuck2", "stuck3", "stuck4", "stuck5", "free"];
    for (name, start_id) in names.into_iter().flat_map(|name| [(name, "s1"), (name, "s2")]) {
        assert_eq!(app.start_service(JUPYTERHUB, name, start_id, RUN).await.status, 201);
    }
    let busy = Fault::Refuse { code: 503, reason: "ServiceUnavailable".to_owned() };
    faults.add(FaultRule::new(busy).verb("delete").name_contains("stuck"));
    // Nobody polls the newer ones.
    app.clock.advance(Duration::from_secs(31));
    app.cluster.nothing_of("free-s1").await;
    faults.clear();
    for name in names {
        app.cluster.nothing_of(&format!("{name}-s1")).await;
        assert!(app.get(JUPYTERHUB, name).await.body.ends_with(r#","running":true}"#));
    }
    app.end().await;
}
