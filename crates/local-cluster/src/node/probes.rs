//! Startup, readiness and liveness probes of one running container.
//!
//! Decides nothing about the container: it tells its supervisor what the probes found.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::exec::Inside;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Startup,
    Readiness,
    Liveness,
}

impl Kind {
    pub fn title(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Readiness => "Readiness",
            Self::Liveness => "Liveness",
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Finding {
    /// One try failed; for the event.
    Failed(Kind, String),
    Started,
    Ready(bool),
    /// The container is to be ended: the probe that says so.
    Unhealthy(Kind),
}

#[derive(Clone, Copy, Debug)]
struct Timing {
    initial_delay: Duration,
    period: Duration,
    timeout: Duration,
    successes: u32,
    failures: u32,
}

impl Timing {
    fn of(probe: &Value) -> Self {
        let number = |field: &str, default: u64| probe[field].as_u64().unwrap_or(default);
        let count = |field: &str, default: u64| u32::try_from(number(field, default).max(1)).unwrap_or(u32::MAX);
        Self {
            initial_delay: Duration::from_secs(number("initialDelaySeconds", 0)),
            period: Duration::from_secs(number("periodSeconds", 10).max(1)),
            timeout: Duration::from_secs(number("timeoutSeconds", 1).max(1)),
            successes: count("successThreshold", 1),
            failures: count("failureThreshold", 3),
        }
    }
}

/// Runs all probes of a container until the findings are no longer wanted.
pub async fn run(container: Value, inside: Inside, findings: mpsc::Sender<Finding>) {
    if container["startupProbe"].is_object()
        && !until_started(&container, &container["startupProbe"], &inside, &findings).await
    {
        return;
    }
    let of = |kind| repeated(kind, &container, &inside, &findings);
    tokio::join!(of(Kind::Readiness), of(Kind::Liveness));
}

async fn until_started(container: &Value, probe: &Value, inside: &Inside, to: &mpsc::Sender<Finding>) -> bool {
    let timing = Timing::of(probe);
    let mut failures = 0;
    tokio::time::sleep(timing.initial_delay).await;
    let mut ticks = ticks(timing);
    loop {
        ticks.tick().await;
        match attempt(probe, container, inside, timing.timeout).await {
            Ok(()) => return to.send(Finding::Started).await.is_ok(),
            Err(said) => {
                failures += 1;
                if to.send(Finding::Failed(Kind::Startup, said)).await.is_err() {
                    return false;
                }
                if failures >= timing.failures {
                    // The supervisor ends the container; nothing more is to be found out.
                    let _ = to.send(Finding::Unhealthy(Kind::Startup)).await;
                    return false;
                }
            }
        }
    }
}

async fn repeated(kind: Kind, container: &Value, inside: &Inside, to: &mpsc::Sender<Finding>) {
    let probe = match kind {
        Kind::Readiness => &container["readinessProbe"],
        _ => &container["livenessProbe"],
    };
    if !probe.is_object() {
        return;
    }
    let timing = Timing::of(probe);
    tokio::time::sleep(timing.initial_delay).await;
    let mut ticks = ticks(timing);
    let (mut row, mut last_good) = (0u32, None);
    loop {
        ticks.tick().await;
        let result = attempt(probe, container, inside, timing.timeout).await;
        let good = result.is_ok();
        row = if last_good == Some(good) { row.saturating_add(1) } else { 1 };
        last_good = Some(good);
        if let Err(said) = result
            && to.send(Finding::Failed(kind, said)).await.is_err()
        {
            return;
        }
        let finding = match (kind, good) {
            (Kind::Readiness, true) if row >= timing.successes => Finding::Ready(true),
            (Kind::Readiness, false) if row >= timing.failures => Finding::Ready(false),
            (Kind::Liveness, false) if row >= timing.failures => Finding::Unhealthy(kind),
            _ => continue,
        };
        let last = matches!(finding, Finding::Unhealthy(_));
        if to.send(finding).await.is_err() || last {
            return;
        }
    }
}

fn ticks(timing: Timing) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(timing.period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks
}

/// One try. The error is what the event says after `Readiness probe failed: `.
async fn attempt(probe: &Value, container: &Value, inside: &Inside, limit: Duration) -> Result<(), String> {
    if let Some(command) = probe["exec"]["command"].as_array() {
        let command: Vec<String> = command.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        return inside.run(&command, limit).await.map_err(|error| error.to_string());
    }
    let within = |error: &str| format!("{error} (Client.Timeout exceeded while awaiting headers)");
    if probe["httpGet"].is_object() {
        return timeout(limit, http_get(&probe["httpGet"], container))
            .await
            .unwrap_or_else(|_| Err(within("context deadline exceeded")));
    }
    if probe["tcpSocket"].is_object() {
        let address = address(&probe["tcpSocket"], container)?;
        let failed = |why: &str| format!("dial tcp {address}: {why}");
        return match timeout(limit, TcpStream::connect(&address)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(failed(&lower(&error))),
            Err(_) => Err(failed("i/o timeout")),
        };
    }
    Err("the probe has no action that this node knows".to_owned())
}

fn lower(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        _ => error.to_string(),
    }
}

/// Host and port of an action; a port may be the name of one of the container's.
fn address(action: &Value, container: &Value) -> Result<String, String> {
    let host = action["host"].as_str().filter(|it| !it.is_empty()).unwrap_or("127.0.0.1");
    let port = action["port"].as_u64().or_else(|| {
        let name = action["port"].as_str()?;
        let named = container["ports"].as_array()?.iter().find(|it| it["name"] == name);
        named.map_or_else(|| name.parse().ok(), |it| it["containerPort"].as_u64())
    });
    port.map(|port| format!("{host}:{port}")).ok_or_else(|| format!("invalid port: {}", action["port"]))
}

/// `GET` as a kubelet's: 200 to 399 is well, redirects are not followed.
pub async fn http_get(action: &Value, container: &Value) -> Result<(), String> {
    let address = address(action, container)?;
    let path = action["path"].as_str().filter(|it| !it.is_empty()).unwrap_or("/");
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    if action["scheme"].as_str() == Some("HTTPS") {
        return Err("this node probes over HTTP only".to_owned());
    }
    let failed =
        |error: &std::io::Error| format!("Get \"http://{address}{path}\": dial tcp {address}: {}", lower(error));
    let mut request =
        format!("GET {path} HTTP/1.1\r\nUser-Agent: kube-probe/1.36\r\nAccept: */*\r\nConnection: close\r\n");
    let mut host = address.clone();
    for header in action["httpHeaders"].as_array().into_iter().flatten() {
        let (name, value) = (header["name"].as_str().unwrap_or_default(), header["value"].as_str().unwrap_or_default());
        if name.contains(['\r', '\n', ':']) || value.contains(['\r', '\n']) {
            return Err(format!("invalid header {name:?}"));
        }
        if name.eq_ignore_ascii_case("host") {
            value.clone_into(&mut host);
        } else {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    request.push_str(&format!("Host: {host}\r\n\r\n"));
    let mut stream = TcpStream::connect(&address).await.map_err(|it| failed(&it))?;
    stream.write_all(request.as_bytes()).await.map_err(|it| failed(&it))?;
    let mut head = Vec::new();
    // The status line is all that counts.
    while !head.contains(&b'\n') && head.len() < 1024 {
        if stream.read_buf(&mut head).await.map_err(|it| failed(&it))? == 0 {
            break;
        }
    }
    match String::from_utf8_lossy(&head).split_whitespace().nth(1).and_then(|it| it.parse::<u16>().ok()) {
        Some(200..=399) => Ok(()),
        Some(code) => Err(format!("HTTP probe failed with statuscode: {code}")),
        None => Err(format!("Get \"http://{address}{path}\": EOF")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;
    use tokio::net::TcpListener;

    use super::*;

    async fn answering(reply: &'static str) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(reply.as_bytes()).await;
            }
        });
        port
    }

    #[tokio::test]
    async fn answers_from_200_to_399_are_well() {
        let container = json!({});
        for (reply, expected) in [
            ("HTTP/1.1 200 OK\r\n\r\n", Ok(())),
            ("HTTP/1.1 302 Found\r\n\r\n", Ok(())),
            ("HTTP/1.1 503 Busy\r\n\r\n", Err("HTTP probe failed with statuscode: 503".to_owned())),
        ] {
            let port = answering(reply).await;
            assert_eq!(http_get(&json!({"port": port, "path": "/x"}), &container).await, expected);
        }
    }

    #[test]
    fn ports_may_be_names() {
        let container = json!({"ports": [{"name": "web", "containerPort": 8888}]});
        assert_eq!(address(&json!({"port": "web"}), &container).as_deref(), Ok("127.0.0.1:8888"));
        assert_eq!(address(&json!({"port": 1, "host": "h"}), &container).as_deref(), Ok("h:1"));
        assert_eq!(address(&json!({"port": "x"}), &container), Err("invalid port: \"x\"".to_owned()));
    }
}
