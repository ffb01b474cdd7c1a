//! What a log target that swallows everything adds to a request.

use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use serde_json::json;
use tokio::net::TcpListener;

use super::Conditions;
use crate::client::Call;
use crate::cluster::Cluster;
use crate::load::open;
use crate::operations::polls;
use crate::report::{Bar, Report};
use crate::server::Site;

const PREFIX: &str = "log-";
const SERVICES: usize = 100;
const RATE: f64 = 500.0;

pub(super) async fn measure(conditions: &Conditions, report: &mut Report) -> anyhow::Result<()> {
    let duration = Duration::from_secs(conditions.seconds);
    for _ in 0..conditions.runs {
        let cluster = Cluster::start().await?;
        let site = Site::new(&conditions.server, &cluster)?;
        let server = site.serve().await?;
        server.fill(PREFIX, SERVICES).await?;
        let healthy = open(&server.kept(), RATE, duration, polls(PREFIX, SERVICES)).await;

        // It takes connections and never reads.
        let blackhole = TcpListener::bind("127.0.0.1:0").await?;
        let port = blackhole.local_addr()?.port();
        let handler = json!({"handler": "syslog", "configuration": {
            "address": ["127.0.0.1", port], "socktype": "ext://socket.SOCK_STREAM", "level": "TRACE", "formatter": "json"}});
        let body = Bytes::from(handler.to_string());
        let call = Call { method: Method::POST, path: "/api/logs/handler/".to_owned(), server_name: None, body };
        let answer = server.client().send(&call).await?;
        anyhow::ensure!(answer.status == 201, "the handler is refused: {}", String::from_utf8_lossy(&answer.body));
        let hindered = open(&server.kept(), RATE, duration, polls(PREFIX, SERVICES)).await;
        let added = hindered.milliseconds(0.99) - healthy.milliseconds(0.99);
        report.add("log handlers: what a blackhole adds to a poll's p99", "ms", Bar::AtMost(5.0), added);
        report.add("log handlers: failures", "", Bar::AtMost(0.0), hindered.failures as f64);
        server.kill().await?;
    }
    Ok(())
}
