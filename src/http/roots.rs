//! `/api/` and `/api/logs/`: where the resources are. Need no credentials.

use http::{HeaderMap, Method, StatusCode};
use serde_json::json;

use super::{ApiError, Call, ROOT, Reply};

pub fn api(call: Call) -> Reply {
    root(&call, &["services", "userjobs"], "/api/")
}

pub fn logs(call: Call) -> Reply {
    root(&call, &["handler", "logtest"], "/api/logs/")
}

fn root(call: &Call, resources: &[&str], path: &str) -> Reply {
    match call.method {
        Method::GET | Method::HEAD | Method::OPTIONS => {
            let base = base_url(&call.headers);
            let members = resources.iter().map(|it| format!("\"{it}\":{}", json!(format!("{base}{path}{it}/"))));
            let body = format!("{{{}}}", members.collect::<Vec<_>>().join(","));
            Reply::json(StatusCode::OK, body).allowing(ROOT)
        }
        ref method => Reply::error(&ApiError::MethodNotAllowed(method.clone()), Some(ROOT)),
    }
}

/// As the client addressed us; a proxy in front says how it was addressed itself.
fn base_url(headers: &HeaderMap) -> String {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let scheme = text("x-forwarded-proto").filter(|it| *it == "https").unwrap_or("http");
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-:[]_".contains(c);
    let host = text("host").filter(|it| it.chars().all(is_plain)).unwrap_or("localhost");
    format!("{scheme}://{host}")
}
