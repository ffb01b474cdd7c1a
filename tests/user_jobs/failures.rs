//! What fails leaves nothing, says why, and nobody waits longer than a hub does.

use std::time::{Duration, Instant};

use local_cluster::{Fault, FaultRule};
use serde_json::json;

use crate::support::ssh_server::{SshServer, ask, echo_server, fake_ssh, processes_with};
use crate::*;

async fn nothing_is_left(app: &TestApp, service: &str) {
    eventually("nothing is left", async || {
        let jobs = app.app().store.user_jobs().await.unwrap();
        let is_gone = jobs.is_empty() && app.cluster.get("Service", service).await.is_none();
        (is_gone && masters(app).await.is_empty()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_cannot_be_reached_fails_with_what_ssh_said() {
    let ssh = SshServer::start().await;
    let app = app_with(&ssh).await;
    let mut body = job("uj1", &[(8080, 80)]);
    body["hostname"] = json!("closed");
    let answer = post(&app, &body).await;
    assert_eq!(answer.status, 500);
    let answer = answer.value();
    assert_eq!(answer["error"], "Could not make the user job.");
    let reason = answer["detailed_error"].as_str().unwrap();
    assert!(reason.starts_with("ssh could not connect to tunnel_closed: ") && reason.contains("refused"), "{reason}");
    nothing_is_left(&app, "uj1").await;
    // The same name can be asked for again.
    let one = echo_server("one").await;
    assert_eq!(post(&app, &job("uj1", &[(8080, one)])).await.status, 201);
    app.end().await;
}

/// Its first answer is a login, then it says nothing more; or it never says anything.
#[tokio::test(flavor = "multi_thread")]
async fn an_ssh_that_hangs_is_ended_and_holds_nobody_up() {
    for script in ["sleep 1000", "case \"$*\" in *-O*) sleep 1000;; *) while true; do sleep 1; done;; esac"] {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config");
        std::fs::write(&config, "Host tunnel_login01\n").unwrap();
        let program = fake_ssh(folder.path(), script);
        let app = builder(&config)
            .edit(move |config| config["userjobs"]["ssh_program"] = json!(program.to_str().unwrap()))
            .start()
            .await;
        let begun = Instant::now();
        let answer = post(&app, &job("uj1", &[(8080, 80)])).await;
        assert_eq!(answer.status, 500);
        assert!(answer.body.contains("ssh did not connect to tunnel_login01 within 8 s"), "{}", answer.body);
        assert!(begun.elapsed() < Duration::from_secs(18), "a hub gives up after 20 s");
        nothing_is_left(&app, "uj1").await;
        let left = folder.path().join("fake-ssh").display().to_string();
        eventually("no process is left", async || processes_with(&left).is_empty().then_some(())).await;
        app.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_is_away_starts_no_ssh_and_keeps_a_delete() {
    let ssh = SshServer::start().await;
    let app = app_with(&ssh).await;
    let Some(faults) = app.cluster.faults() else { return app.end().await };
    let one = echo_server("one").await;
    assert_eq!(post(&app, &job("uj1", &[(8080, one)])).await.status, 201);
    let port = local_ports(&app, "uj1").await[0];
    faults.down(true);
    eventually("the API server is away", async || app.cluster.is_away().await.then_some(())).await;
    let answer = post(&app, &job("uj2", &[(8080, one)])).await;
    assert_eq!(answer.status, 500, "{}", answer.body);
    assert!(answer.body.contains("the Service uj2 cannot be made: the Kubernetes API server"), "{}", answer.body);
    assert_eq!(app.app().store.user_jobs().await.unwrap().len(), 1);
    // What runs goes on; a DELETE takes the forward away at once, and the Service when it can.
    assert_eq!(ask(port, "hello").await.as_deref(), Some("one: hello"));
    delete(&app, "uj1").await.assert(204, "");
    assert_eq!(ask(port, "hello").await, None);
    delete(&app, "uj1").await.assert(204, "");
    faults.down(false);
    app.cluster.is_back().await;
    nothing_is_left(&app, "uj1").await;
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_refused_leaves_nothing_and_starts_no_ssh() {
    let ssh = SshServer::start().await;
    let app = app_with(&ssh).await;
    let Some(faults) = app.cluster.faults() else { return app.end().await };
    let refuse = |code, reason: &str| {
        FaultRule::new(Fault::Refuse { code, reason: reason.to_owned() }).resource("services").verb("create")
    };
    faults.add(refuse(422, "Invalid"));
    let answer = post(&app, &job("uj1", &[(8080, 80)])).await;
    assert_eq!(answer.status, 400, "{}", answer.body);
    faults.clear();
    faults.add(refuse(403, "Forbidden"));
    let answer = post(&app, &job("uj1", &[(8080, 80)])).await;
    assert_eq!(answer.status, 500, "{}", answer.body);
    assert!(answer.body.contains("the Service uj1 cannot be made: "), "{}", answer.body);
    faults.clear();
    nothing_is_left(&app, "uj1").await;
    assert!(!ssh.log().contains("Accepted"), "ssh connected: {}", ssh.log());
    app.end().await;
}

/// The first of two ports can be forwarded, the second cannot.
#[tokio::test(flavor = "multi_thread")]
async fn a_forward_that_fails_takes_back_what_was_made_before() {
    let ssh = SshServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let program = fake_ssh(
        folder.path(),
        "case \"$*\" in *forward*:81\\ *) echo 'no, not this' >&2; exit 255;; esac\nexec ssh \"$@\"",
    );
    let app = builder(&ssh.config_file())
        .edit(move |config| config["userjobs"]["ssh_program"] = json!(program.to_str().unwrap()))
        .start()
        .await;
    let answer = post(&app, &job("uj1", &[(8080, 80), (8081, 81)])).await;
    assert_eq!(answer.status, 500, "{}", answer.body);
    assert!(answer.body.contains("ssh -O forward for tunnel_login01 failed: no, not this"), "{}", answer.body);
    nothing_is_left(&app, "uj1").await;
    let calls = std::fs::read_to_string(folder.path().join("ssh-calls")).unwrap();
    let cancelled: Vec<_> = calls.lines().filter(|it| it.contains("-O cancel")).collect();
    assert!(cancelled.len() == 1 && cancelled[0].contains(":127.0.0.1:80 "), "{calls}");
    app.end().await;
}
