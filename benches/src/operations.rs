//! What hubs ask for, as calls: start, poll, stop, list, and a mix.

use std::sync::Arc;

use bytes::Bytes;
use clap::ValueEnum;
use hyper::Method;
use serde_json::json;

use crate::client::Call;
use crate::load::Calls;

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Operation {
    Start,
    Poll,
    Stop,
    List,
    /// Of 20 requests one start, one stop and 18 polls.
    Mixed,
}

/// The name of the n-th server of a run.
pub fn server_name(prefix: &str, n: usize) -> String {
    format!("{prefix}{n}")
}

pub fn start(name: String, service: &str) -> Call {
    let body = json!({
        "env": {
            "JUPYTERHUB_STATUS_URL": format!("users/progress/status/bench/{name}"),
            "JUPYTERHUB_API_TOKEN": "95c2a426cc37408d98b81bfd6c89536e",
            "JUPYTERHUB_USER": "bench",
            "JUPYTERHUB_SERVER_NAME": name,
            "JUPYTERHUB_SERVICE_PREFIX": format!("/user/bench/{name}/"),
            "JUPYTERHUB_USER_ID": 7,
        },
        "user_options": {"service": service, "name": "Bench"},
        "start_id": "6b24282a",
    });
    let body = Bytes::from(body.to_string());
    Call { method: Method::POST, path: "/api/services/".to_owned(), server_name: Some(name), body }
}

pub fn poll(name: &str) -> Call {
    Call::get(format!("/api/services/{name}/"))
}

pub fn stop(name: &str) -> Call {
    Call { method: Method::DELETE, ..poll(name) }
}

pub fn starts(prefix: &str, service: &str) -> Calls {
    let (prefix, service) = (prefix.to_owned(), service.to_owned());
    Arc::new(move |n| start(server_name(&prefix, n), &service))
}

/// Polls of `count` servers in turn.
pub fn polls(prefix: &str, count: usize) -> Calls {
    let calls: Vec<Call> = (0..count).map(|n| poll(&server_name(prefix, n))).collect();
    // A step that visits all of them in no order of theirs.
    Arc::new(move |n| calls[n.wrapping_mul(7919) % calls.len()].clone())
}

pub fn stops(prefix: &str) -> Calls {
    let prefix = prefix.to_owned();
    Arc::new(move |n| stop(&server_name(&prefix, n)))
}

pub fn always(call: Call) -> Calls {
    Arc::new(move |_| call.clone())
}

/// The server that is stopped was started forty requests before.
pub fn mixed(prefix: &str, count: usize, service: &str) -> Calls {
    let (polls, starts, stops) =
        (polls(prefix, count), starts(&format!("{prefix}m"), service), stops(&format!("{prefix}m")));
    Arc::new(move |n| match n % 20 {
        0 => starts(n),
        10 if n >= 50 => stops(n - 50),
        _ => polls(n),
    })
}
