//! Long outages, overload and lists that cannot be believed.

use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use futures::stream;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use local_cluster::{Fault, FaultRule};
use serde_json::json;

use crate::support::app::{JUPYTERHUB, TestApp};
use crate::support::json::Json;
use crate::support::wait::{eventually, eventually_within};

const RUN: &str = "JupyterLab/Run";

async fn many_running(app: &TestApp, count: usize) {
    let starts = (0..count).map(|number| async move {
        let started = app.start_service(JUPYTERHUB, &format!("lab{number}"), "s1", RUN).await;
        assert_eq!(started.status, 201, "{}", started.body);
    });
    join_all(starts).await;
    for number in 0..count {
        app.cluster.pod_in_phase(&format!("depl-lab{number}-s1-"), "Running").await;
    }
}

async fn all_run(app: &TestApp, count: usize) {
    for number in 0..count {
        let polled = app.get(JUPYTERHUB, &format!("lab{number}")).await;
        assert_eq!(polled.status, 200, "{}", polled.body);
        assert!(polled.body.ends_with(r#","running":true}"#), "{}", polled.body);
    }
}

#[tokio::test]
async fn in_an_outage_of_ten_minutes_no_poll_fails_and_afterwards_everything_is_fresh() {
    let app = TestApp::start().await;
    many_running(&app, 10).await;
    let Some(faults) = app.cluster.faults() else { return app.end().await };
    all_run(&app, 10).await;
    faults.down(true);
    app.delete(JUPYTERHUB, "lab9").await.assert(204, "");
    for _ in 0..60 {
        app.clock.advance(Duration::from_secs(10));
        all_run(&app, 9).await;
    }
    let longest = eventually("the outage is known", async || {
        let health = app.app().services.cluster_health();
        health.into_iter().filter_map(|it| it.failure).map(|it| it.lasts).max()
    })
    .await;
    assert!(longest > Duration::from_secs(60), "{longest:?}");

    faults.down(false);
    // Longer than the five seconds that it takes: machines that test are busy.
    eventually_within(Duration::from_secs(15), "all watches work", async || {
        app.app().services.cluster_health().iter().all(|it| it.failure.is_none()).then_some(())
    })
    .await;
    app.cluster.nothing_of("lab9").await;
    all_run(&app, 9).await;
    // Fresh: what happens now is seen.
    app.cluster.delete("Deployment", "depl-lab0-s1").await;
    eventually("lab0 is told to be gone", async || {
        let polled = app.get(JUPYTERHUB, "lab0").await;
        (polled.json().member("running") == &Json::Bool(false)).then_some(())
    })
    .await;
    app.end().await;
}

#[tokio::test]
async fn with_half_of_all_calls_refused_a_hundred_starts_succeed() {
    let app = TestApp::start().await;
    let Some(faults) = app.cluster.faults() else { return app.end().await };
    faults.add(FaultRule::new(Fault::TooManyRequests { retry_after_seconds: 1 }).percent(50));
    let app_ref = &app;
    let statuses: Vec<_> = stream::iter(0..100)
        .map(|number| async move {
            let started = app_ref.start_service(JUPYTERHUB, &format!("lab{number}"), "s1", RUN).await;
            (started.status, started.body)
        })
        .buffer_unordered(25)
        .collect()
        .await;
    let failed: Vec<_> = statuses.iter().filter(|it| it.0 != 201).collect();
    assert!(failed.is_empty(), "{failed:?}");
    faults.clear();
    eventually_within(Duration::from_secs(60), "a hundred pods", async || {
        (app.cluster.pods("depl-lab").await.len() == 100).then_some(())
    })
    .await;
    for number in 0..100 {
        let name = format!("lab{number}");
        eventually(&format!("{name} runs"), async || {
            app.get(JUPYTERHUB, &name).await.body.ends_with(r#","running":true}"#).then_some(())
        })
        .await;
    }
    app.end().await;
}

#[tokio::test]
async fn a_service_that_goes_during_an_outage_is_noticed_though_nobody_polls() {
    let app = TestApp::start().await;
    many_running(&app, 1).await;
    let Some(faults) = app.cluster.faults() else { return app.end().await };
    // The watches hear nothing of it, and neither does anybody else.
    faults.add(FaultRule::new(Fault::Refuse { code: 503, reason: "ServiceUnavailable".to_owned() }).verb("watch"));
    faults.add(FaultRule::new(Fault::Refuse { code: 503, reason: "ServiceUnavailable".to_owned() }).verb("list"));
    app.cluster.api("Deployment").delete("depl-lab0-s1", &DeleteParams::background()).await.unwrap();
    faults.clear();
    let store = &app.app().store;
    let name = k8smgr::domain::Credential::parse("jupyterhub").unwrap();
    eventually_within(Duration::from_secs(60), "the record says ended", async || {
        let records = store.services_of(&name).await.unwrap();
        (records[0].state == k8smgr::domain::ServiceState::Ended).then_some(())
    })
    .await;
    app.end().await;
}

#[tokio::test]
async fn a_list_that_lost_much_is_read_one_by_one_and_what_is_gone_is_told() {
    let app = TestApp::start().await;
    many_running(&app, 6).await;
    let Some(faults) = app.cluster.faults() else { return app.end().await };
    all_run(&app, 6).await;
    faults.add(FaultRule::new(Fault::ShortList(1)).verb("list").resource("pods"));
    faults.add(FaultRule::new(Fault::Gone).verb("watch").resource("pods").times(1));
    let met = faults.met();
    faults.down(true);
    eventually("the API server is away", async || app.cluster.is_away().await.then_some(())).await;
    faults.down(false);
    eventually("short lists were told, and asked for again", async || {
        all_run(&app, 6).await;
        (faults.met() >= met + 3).then_some(())
    })
    .await;
    faults.clear();
    app.cluster.delete("Deployment", "depl-lab3-s1").await;
    eventually("lab3 is told to be gone", async || {
        let polled = app.get(JUPYTERHUB, "lab3").await;
        (polled.json().member("running") == &Json::Bool(false)).then_some(())
    })
    .await;
    all_run(&app, 3).await;
    app.end().await;
}

async fn grant_everything(app: &TestApp, account: &str) {
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": account},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": app.cluster.namespace}],
    });
    let bindings: Api<ClusterRoleBinding> = Api::all(app.cluster.client.clone());
    bindings.create(&PostParams::default(), &serde_json::from_value(binding).unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_token_in_a_file_is_replaced_while_the_process_runs() {
    let mut app = TestApp::start().await;
    if app.cluster.faults().is_none() {
        return app.end().await;
    }
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "manager"}});
    app.cluster.create("ServiceAccount", account).await;
    grant_everything(&app, "manager").await;
    let token = async |app: &TestApp| {
        let accounts: Api<ServiceAccount> = Api::namespaced(app.cluster.client.clone(), &app.cluster.namespace);
        let request = TokenRequest::default();
        let made = accounts.create_token_request("manager", &PostParams::default(), &request).await.unwrap();
        made.status.unwrap().token
    };
    std::fs::write(app.path("token"), token(&app).await).unwrap();
    let lines = app.cluster.kubeconfig.lines().map(|line| match line.trim_start().starts_with("token:") {
        true => format!("    tokenFile: {}", app.path("token").display()),
        false => line.to_owned(),
    });
    app.cluster.kubeconfig = lines.collect::<Vec<_>>().join("\n");
    app.restart().await;
    many_running(&app, 1).await;
    // The account of the first token is made anew: the API server refuses that token from now on.
    app.cluster.delete("ServiceAccount", "manager").await;
    eventually("the account is gone", async || {
        app.cluster.get("ServiceAccount", "manager").await.is_none().then_some(())
    })
    .await;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "manager"}});
    app.cluster.create("ServiceAccount", account).await;
    std::fs::write(app.path("token"), token(&app).await).unwrap();
    assert_eq!(app.start_service(JUPYTERHUB, "new", "s1", RUN).await.status, 201);
    all_run(&app, 1).await;
    app.delete(JUPYTERHUB, "new").await.assert(204, "");
    app.cluster.nothing_of("new").await;
    app.end().await;
}
