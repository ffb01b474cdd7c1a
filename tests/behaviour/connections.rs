//! HTTP/1.1 as hubs and proxies speak it: kept connections, answers without bodies, `Expect`.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::app::{JUPYTERHUB, TestApp, basic, start_body};

/// Reads one answer of a kept connection by its `Content-Length`.
async fn read_answer(stream: &mut TcpStream, has_body: bool) -> (String, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head.split("\r\n").find_map(|line| line.strip_prefix("content-length: "));
    let length = length.map_or(0, |it| it.parse().unwrap());
    let mut body = vec![0; if has_body { length } else { 0 }];
    stream.read_exact(&mut body).await.unwrap();
    (head, String::from_utf8(body).unwrap())
}

#[tokio::test]
async fn one_connection_takes_many_requests() {
    let app = TestApp::start().await;
    let authorization = basic(JUPYTERHUB);
    let mut stream = TcpStream::connect(app.address()).await.unwrap();
    let body = start_body("JupyterLab/Run", "s1").to_string();
    let post =
        format!("uuidcode: lab\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    for (line, rest, status, has_body) in [
        ("GET /api/services/", "\r\n", "200", true),
        ("HEAD /api/services/", "\r\n", "200", false),
        ("POST /api/services/", post.as_str(), "201", true),
        ("POST /api/services/", post.as_str(), "201", true),
        ("GET /api/services/lab/", "\r\n", "200", true),
        ("HEAD /api/services/lab/", "\r\n", "200", false),
        ("DELETE /api/services/lab/", "\r\n", "204", true),
        ("HEAD /api/services/lab/", "\r\n", "404", false),
        ("GET /api/health/", "\r\n", "200", true),
        ("FOO /api/services/", "\r\n", "405", true),
        ("GET /api/services/", "\r\n", "200", true),
    ] {
        let request = format!("{line} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\n{rest}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let (head, body) = read_answer(&mut stream, has_body).await;
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{line}: {head}{body}");
        if line.starts_with("DELETE") {
            app.stop_is_carried_out("lab").await;
        }
    }
    app.end().await;
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_to_go_on() {
    let app = TestApp::start().await;
    let mut stream = TcpStream::connect(app.address()).await.unwrap();
    let body = start_body("JupyterLab/Run", "s1").to_string();
    let head = format!(
        "POST /api/services/ HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nuuidcode: lab\r\nContent-Type: \
         application/json\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        basic(JUPYTERHUB),
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let (head, _) = read_answer(&mut stream, true).await;
    assert!(head.starts_with("http/1.1 100 "), "{head}");
    stream.write_all(body.as_bytes()).await.unwrap();
    let (head, body) = read_answer(&mut stream, true).await;
    assert!(head.starts_with("http/1.1 201 "), "{head}{body}");
    app.end().await;
}

#[tokio::test]
async fn open_requests_are_finished_when_the_process_ends() {
    let mut app = TestApp::start().await;
    let mut kept = TcpStream::connect(app.address()).await.unwrap();
    kept.write_all(b"GET /api/health/ HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let (head, _) = read_answer(&mut kept, true).await;
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    // An idle connection keeps nobody waiting.
    app.stop_process().await;
    let mut rest = Vec::new();
    let _ = kept.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
    app.end().await;
}
