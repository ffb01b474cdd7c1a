//! Syslog over UDP and TCP, beyond what was recorded.

use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::ports::ReservedPort;
use crate::support::receivers;
use crate::support::wait::eventually;
use crate::{add, app, change, log_test, told};

fn syslog(port: u16, socktype: &str) -> Value {
    let socktype = format!("ext://socket.SOCK_{socktype}");
    json!({"address": ["127.0.0.1", port], "socktype": socktype, "level": "ERROR", "formatter": "simple"})
}

#[tokio::test]
async fn rfc_5424_is_an_option() {
    let app = app().await;
    let (address, datagrams) = receivers::udp().await;
    let mut configuration = syslog(address.port(), "DGRAM");
    configuration["protocol"] = json!("rfc5424");
    assert_eq!(add(&app, "syslog", configuration).await.status, 201);
    log_test(&app).await;
    let received = datagrams.take(2).await;
    assert!(received[0].starts_with("<11>1 2") && received[0].ends_with(" : Error"), "{received:?}");
    assert!(received[1].starts_with("<10>1 2") && received[1].contains(" : Critical --- "), "{received:?}");

    let (address, stream) = receivers::raw_tcp().await;
    let there = json!({"address": ["127.0.0.1", address.port()], "socktype": "ext://socket.SOCK_STREAM"});
    assert_eq!(change(&app, "syslog", there).await.status, 200);
    log_test(&app).await;
    let bytes = eventually("both messages", async || {
        let bytes = stream.all().concat();
        bytes.ends_with("filename_extra=forbidden").then_some(bytes)
    })
    .await;
    let mut rest = bytes.as_str();
    let mut messages = Vec::new();
    while let Some((length, after)) = rest.split_once(' ') {
        let (message, after) = after.split_at(length.parse().unwrap());
        messages.push(message);
        rest = after;
    }
    assert_eq!(messages.len(), 2, "{bytes}");
    assert!(messages[0].starts_with("<11>1 ") && messages[0].ends_with(" : Error"), "{bytes}");
    app.end().await;
}

#[tokio::test]
async fn what_a_server_missed_is_sent_when_it_is_there_again() {
    let app = app().await;
    let reserved = ReservedPort::take();
    let address = reserved.address;
    assert_eq!(add(&app, "syslog", syslog(address.port(), "STREAM")).await.status, 201);
    log_test(&app).await;
    eventually("told as failing", async || told(&app, "syslog").await.get("failing").is_some().then_some(())).await;
    let received = receivers::tcp_on(TcpListener::bind(address).await.unwrap());
    let messages = received.take(2).await;
    assert!(messages[0].ends_with(" : Error\0") && messages[1].contains(" : Critical"), "{messages:?}");
    log_test(&app).await;
    received.take(2).await;
    let told = told(&app, "syslog").await;
    assert!(told.get("failing").is_none() && told.get("dropped").is_none(), "{told}");
    app.end().await;
}

#[tokio::test]
async fn a_udp_port_that_nobody_listens_on_is_told() {
    let app = app().await;
    // Nobody else gets its port, and it takes nothing from anybody but whom it is connected to.
    let deaf = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    deaf.connect("127.0.0.1:9").unwrap();
    let address = deaf.local_addr().unwrap();
    assert_eq!(add(&app, "syslog", syslog(address.port(), "DGRAM")).await.status, 201);
    let told = eventually("told as failing", async || {
        log_test(&app).await;
        let told = told(&app, "syslog").await;
        told["failing"].as_str().is_some_and(|it| it.contains("nobody listens")).then_some(told)
    })
    .await;
    assert!(told["dropped"].as_u64().unwrap() > 0, "{told}");
    app.end().await;
}
