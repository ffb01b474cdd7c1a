//! Two ports to servers behind a real sshd: made, kept through the death of the connection and of the process, removed.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::support::processes::Process;
use crate::support::ssh_server::{SshServer, ask, echo_server};
use crate::support::wait::{eventually, eventually_within};
use crate::*;

fn kill(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_ports_work_both_ways_until_the_job_is_deleted() {
    let ssh = SshServer::start().await;
    let app = app_with(&ssh).await;
    let (one, two) = (echo_server("one").await, echo_server("two").await);
    let made = post(&app, &job("uj1", &[(8080, one), (8081, two)])).await;
    made.assert(201, r#"{"service":"uj1","hostname":"login01","target_node":"127.0.0.1"}"#);
    let ports = local_ports(&app, "uj1").await;
    let object = app.cluster.get("Service", "uj1").await.unwrap();
    let names: Vec<_> = object["spec"]["ports"].as_array().unwrap().iter().map(|it| it["name"].clone()).collect();
    assert_eq!(names, ["port-8080", "port-8081"]);
    assert_eq!(object["spec"]["selector"], json!({"name": "k8smgr"}));
    assert_eq!(ask(ports[0], "hello").await.as_deref(), Some("one: hello"));
    assert_eq!(ask(ports[1], "hello").await.as_deref(), Some("two: hello"));

    // A second job of the same host goes over the same connection, and outlives the first.
    assert_eq!(post(&app, &job("uj2", &[(80, two)])).await.status, 201);
    assert_eq!(masters(&app).await.len(), 1);
    let third = local_ports(&app, "uj2").await[0];

    assert_eq!(get(&app, "uj1").await.status, 200);
    delete(&app, "uj1").await.assert(204, "");
    assert_eq!(get(&app, "uj1").await.status, 404);
    delete(&app, "uj1").await.assert(404, r#"{"detail":"Not found."}"#);
    assert!(app.cluster.get("Service", "uj1").await.is_none());
    for port in ports {
        assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err(), "{port} is still forwarded");
    }
    assert_eq!(ask(third, "hello").await.as_deref(), Some("two: hello"));

    delete(&app, "uj2").await.assert(204, "");
    assert!(app.cluster.get("Service", "uj2").await.is_none());
    assert!(masters(&app).await.is_empty(), "no process is left");
    assert!(TcpStream::connect(("127.0.0.1", third)).await.is_err());
    assert!(app.app().store.user_jobs().await.unwrap().is_empty());
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_dies_or_hangs_is_made_again_on_the_same_ports() {
    let ssh = SshServer::start().await;
    let app = app_with(&ssh).await;
    let (one, two) = (echo_server("one").await, echo_server("two").await);
    assert_eq!(post(&app, &job("uj1", &[(8080, one), (8081, two)])).await.status, 201);
    let ports = local_ports(&app, "uj1").await;
    for signal in [Signal::KILL, Signal::TERM] {
        let master = masters(&app).await[0].0;
        let begun = Instant::now();
        kill(master, signal);
        eventually("another connection", async || {
            let masters = masters(&app).await;
            masters.iter().any(|it| it.0 != master).then_some(())
        })
        .await;
        answers(ports[0], "one: hello").await;
        answers(ports[1], "two: hello").await;
        println!("made again {} ms after {signal:?}", begun.elapsed().as_millis());
    }
    // One that hangs says nothing: it is asked every five seconds.
    let master = masters(&app).await[0].0;
    kill(master, Signal::STOP);
    let begun = Instant::now();
    eventually_within(Duration::from_secs(60), "another connection", async || {
        let masters = masters(&app).await;
        (!masters.iter().any(|it| it.0 == master)).then_some(())
    })
    .await;
    answers(ports[0], "one: hello").await;
    println!("made again {} ms after it hung", begun.elapsed().as_millis());
    assert_eq!(local_ports(&app, "uj1").await, ports);
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_the_same_ports_lead_to_the_same_servers() {
    let ssh = SshServer::start().await;
    let mut app = app_with(&ssh).await;
    let (one, two) = (echo_server("one").await, echo_server("two").await);
    assert_eq!(post(&app, &job("uj1", &[(8080, one), (8081, two)])).await.status, 201);
    let ports = local_ports(&app, "uj1").await;
    let before = app.cluster.get("Service", "uj1").await.unwrap();
    let installation = app.app().store.installation_id().await.unwrap();
    app.stop_process().await;
    let left = crate::support::ssh_server::processes_with(&format!("/k8smgr-{installation}/"));
    assert!(left.is_empty(), "a connection outlived its process: {left:?}");
    app.start_process().await;
    answers(ports[0], "one: hello").await;
    answers(ports[1], "two: hello").await;
    let after = app.cluster.get("Service", "uj1").await.unwrap();
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"], "the Service was left as it was");
    app.end().await;
}

/// What a process that is killed leaves holds the very ports; the next one ends it.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_the_same_ports_lead_to_the_same_servers() {
    let ssh = SshServer::start().await;
    let app = builder(&ssh.config_file()).variable("PATH", "/usr/bin:/bin").prepare().await;
    let url = format!("sqlite://{}", app.path("k8smgr.sqlite3").display());
    let mut process = Process::serve(&app, &url, "127.0.0.1:0");
    let address = process.address().await;
    let one = echo_server("one").await;
    let request = post_of(&job("uj1", &[(8080, one)])).header("Authorization", &crate::support::app::basic(JUPYTERHUB));
    assert_eq!(request.send(address).await.status, 201);
    let port = local_ports(&app, "uj1").await[0];
    // A connection through it is open.
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(b"a\n").await.unwrap();
    let mut line = String::new();
    BufReader::new(&mut stream).read_line(&mut line).await.unwrap();
    assert_eq!(line, "one: a\n");
    process.kill();
    assert_eq!(ask(port, "hello").await.as_deref(), Some("one: hello"), "the connection of the dead is still there");
    let mut process = Process::serve(&app, &url, "127.0.0.1:0");
    process.address().await;
    process.writes("ends a connection of ssh that an earlier process left").await;
    answers(port, "one: hello").await;
    process.signal("TERM");
    assert!(process.ended().await.success());
    assert_eq!(ask(port, "hello").await, None);
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_somebody_deleted_is_made_again_at_a_restart() {
    let ssh = SshServer::start().await;
    let mut app = app_with(&ssh).await;
    let one = echo_server("one").await;
    assert_eq!(post(&app, &job("uj1", &[(8080, one)])).await.status, 201);
    let ports = local_ports(&app, "uj1").await;
    app.cluster.delete("Service", "uj1").await;
    app.restart().await;
    eventually("the Service is there again", async || app.cluster.get("Service", "uj1").await.map(drop)).await;
    assert_eq!(local_ports(&app, "uj1").await, ports);
    answers(ports[0], "one: hello").await;
    app.end().await;
}
