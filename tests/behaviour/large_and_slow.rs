//! Bodies without end and clients that take their time: cut off, at no cost.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::app::{JUPYTERHUB, TestApp, basic};
use crate::support::wait::eventually_within;

const GIB: u64 = 1024 * 1024 * 1024;
const MIB: u64 = 1024 * 1024;

/// Resident memory of this process, which the service runs in, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Sends a head and then `length` bytes for as long as they are taken. Gives back how many were, and the answer.
async fn pour(app: &TestApp, head: &str, length: u64, chunked: bool) -> (u64, String) {
    let stream = TcpStream::connect(app.address()).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let reading = tokio::spawn(async move {
        let mut answer = Vec::new();
        let _ = reader.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    });
    writer.write_all(head.as_bytes()).await.unwrap();
    let chunk = vec![b' '; 64 * 1024];
    let mut sent = 0;
    while sent < length {
        let framed = async {
            if chunked {
                writer.write_all(b"10000\r\n").await?;
            }
            writer.write_all(&chunk).await?;
            if chunked { writer.write_all(b"\r\n").await } else { Ok(()) }
        };
        if framed.await.is_err() {
            break;
        }
        sent += chunk.len() as u64;
    }
    (sent, tokio::time::timeout(Duration::from_secs(30), reading).await.unwrap().unwrap())
}

#[tokio::test]
async fn a_body_of_a_gibibyte_is_cut_off_early_and_not_kept() {
    let app = TestApp::start().await;
    app.list(JUPYTERHUB).await.assert(200, "[]");
    let before = resident();
    let common = format!(
        "POST /api/services/ HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nuuidcode: lab\r\nContent-Type: \
         application/json\r\n",
        basic(JUPYTERHUB)
    );
    for (framing, chunked) in
        [(format!("Content-Length: {GIB}\r\n\r\n"), false), ("Transfer-Encoding: chunked\r\n\r\n".to_owned(), true)]
    {
        let (sent, answer) = pour(&app, &format!("{common}{framing}"), GIB, chunked).await;
        assert!(sent < 128 * MIB, "{sent} bytes were taken");
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer:?}");
        assert!(answer.contains("10485760"), "says the limit: {answer}");
    }
    let grown = resident().saturating_sub(before);
    // Other tests may share the process: half of one body is what none of them needs.
    assert!(grown < GIB / 2, "the process grew by {grown} bytes");
    app.list(JUPYTERHUB).await.assert(200, "[]");
    app.end().await;
}

#[tokio::test]
async fn a_stranger_s_body_is_not_read_at_all() {
    let app = TestApp::start().await;
    let head = format!("POST /api/services/ HTTP/1.1\r\nHost: x\r\nContent-Length: {GIB}\r\n\r\n");
    let (sent, answer) = pour(&app, &head, GIB, false).await;
    assert!(sent < 64 * MIB, "{sent} bytes were taken");
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer:?}");
    app.end().await;
}

#[tokio::test]
async fn clients_that_never_finish_are_hung_up_on() {
    let app = TestApp::builder().edit(|it| it["http"]["request_timeout_seconds"] = 2.into()).start().await;
    app.list(JUPYTERHUB).await.assert(200, "[]");
    let slow_body = format!(
        "POST /api/services/ HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nContent-Type: application/json\r\n\
         Content-Length: 100\r\n\r\n{{",
        basic(JUPYTERHUB)
    );
    let heads = ["GET /api/health/ HTTP/1.1\r\nHost: x\r\nX-A: a".to_owned(), slow_body, String::new()];
    let ended = heads.into_iter().map(|head| {
        let address = app.address();
        tokio::spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
        })
    });
    let mut ended: Vec<_> = ended.collect();
    // Others are served meanwhile.
    app.list(JUPYTERHUB).await.assert(200, "[]");
    eventually_within(Duration::from_secs(60), "all were hung up on", async || {
        ended.iter().all(|it| it.is_finished()).then_some(())
    })
    .await;
    for task in ended.drain(..) {
        task.await.unwrap();
    }
    app.list(JUPYTERHUB).await.assert(200, "[]");
    app.end().await;
}

#[tokio::test]
async fn hundreds_of_idle_connections_keep_nobody_out() {
    let app = TestApp::start().await;
    let mut idle = Vec::new();
    for _ in 0..300 {
        let mut stream = TcpStream::connect(app.address()).await.unwrap();
        stream.write_all(b"GET /api/services/ HTTP/1.1\r\n").await.unwrap();
        idle.push(stream);
    }
    app.list(JUPYTERHUB).await.assert(200, "[]");
    drop(idle);
    app.end().await;
}
