//! The hubs of `tunnel` as they are told: URL, credentials and body, as the reference sends them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Uri};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use super::address::Reach;
use super::client::Post;
use crate::config::{CertificatePath, Environment, Tunnel};

const TOKEN: &str = "TUNNELSVC_K8SMGR_USER_TOKEN";
const PASSWORD: &str = "TUNNELSVC_K8SMGR_USER_PASSWORD";
const USER: &str = "k8smgr";

/// A hub with all that a notice needs. No `Debug`: it holds credentials.
#[derive(Clone)]
pub struct NotifiedHub {
    /// For people.
    pub name: String,
    pub certificate: CertificatePath,
    url: Uri,
    headers: HeaderMap,
    body: String,
    timeout: Duration,
}

impl NotifiedHub {
    pub fn post(&self) -> Post<'_> {
        Post {
            url: &self.url,
            headers: self.headers.clone(),
            body: self.body.clone(),
            certificate: &self.certificate,
            reach: Reach::Configured,
            timeout: self.timeout,
        }
    }
}

/// By what the database calls them: a hash, because a URL may hold a password.
pub fn notified_hubs(tunnels: &[Tunnel], environment: &Environment) -> BTreeMap<String, NotifiedHub> {
    let mut hubs = BTreeMap::new();
    for (index, tunnel) in tunnels.iter().enumerate() {
        let name = if tunnel.hostname.is_empty() { format!("tunnel[{index}]") } else { tunnel.hostname.clone() };
        let Some(url) = tunnel.restart_url(environment.stage.as_deref()) else {
            tracing::warn!(uuidcode = "StartUp", hub = name, "the hub is not told of restarts: it has no restart_url");
            continue;
        };
        match hub(&name, tunnel, url, environment) {
            Ok(hub) => {
                if hub.certificate == CertificatePath::Unverified {
                    tracing::warn!(
                        uuidcode = "StartUp",
                        hub = name,
                        "TLS of the hub is not verified (certificate_path: false): name a file with its certificate \
                         authority, or remove certificate_path for those of the system"
                    );
                }
                hubs.insert(key(&tunnel.hostname, url), hub);
            }
            Err(reason) => {
                tracing::error!(uuidcode = "StartUp", hub = name, "the hub is not told of restarts: {reason}")
            }
        }
    }
    hubs
}

fn hub(name: &str, tunnel: &Tunnel, url: &str, environment: &Environment) -> Result<NotifiedHub, String> {
    let url: Uri = url.parse().map_err(|_| "its restart_url cannot be read as a URL".to_owned())?;
    let mut headers = HeaderMap::new();
    headers.insert("uuidcode", HeaderValue::from_static("StartUp"));
    headers.insert(AUTHORIZATION, authorization(tunnel, environment)?);
    Ok(NotifiedHub {
        name: name.to_owned(),
        certificate: tunnel.certificate_path.clone(),
        url,
        headers,
        body: format!("{{\"hostname\": {}}}", python_json(&tunnel.hostname)),
        timeout: Duration::from_secs(tunnel.timeout_seconds().max(1)),
    })
}

fn authorization(tunnel: &Tunnel, environment: &Environment) -> Result<HeaderValue, String> {
    let value = |name: &str| environment.variable(name).map(|it| it.expose_secret().to_owned());
    let text = match &tunnel.cred_env_name {
        Some(name) => value(name).ok_or_else(|| format!("the variable {name} (cred_env_name) is not set"))?,
        None => match (value(TOKEN), value(PASSWORD)) {
            (Some(token), _) => token,
            (None, Some(password)) => format!("Basic {}", BASE64_STANDARD.encode(format!("{USER}:{password}"))),
            (None, None) => return Err(format!("set {TOKEN} or {PASSWORD}, or name a variable in cred_env_name")),
        },
    };
    let header = HeaderValue::try_from(text.trim());
    let mut header = header.map_err(|_| "its credentials hold characters that no header may have".to_owned())?;
    header.set_sensitive(true);
    Ok(header)
}

fn key(hostname: &str, url: &str) -> String {
    let hash = Sha256::digest(format!("{hostname}\n{url}").as_bytes());
    hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// A text as Python's `json.dumps` writes it: in ASCII.
fn python_json(text: &str) -> String {
    let mut written = String::new();
    for c in serde_json::Value::from(text).to_string().chars() {
        if c.is_ascii() {
            written.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(written, "\\u{unit:04x}");
            }
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn hubs(tunnel: &str, variables: &[(&str, &str)]) -> Vec<NotifiedHub> {
        let config = Config::from_json(&format!(r#"{{"tunnel": [{tunnel}]}}"#), "x").unwrap().config;
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let environment = Environment::from_variables(&variables, None).unwrap();
        notified_hubs(&config.tunnel, &environment).into_values().collect()
    }

    fn authorization(tunnel: &str, variables: &[(&str, &str)]) -> Option<String> {
        let hub = hubs(&format!(r#"{{"hostname": "h", "restart_url": "http://hub/"{tunnel}}}"#), variables).pop()?;
        Some(hub.headers[AUTHORIZATION].to_str().unwrap().to_owned())
    }

    #[test]
    fn credentials_are_found_as_the_reference_finds_them() {
        let (token, password) = ((TOKEN, "Bearer t"), (PASSWORD, "tunnelpw"));
        let basic = Some("Basic azhzbWdyOnR1bm5lbHB3".to_owned());
        assert_eq!(authorization("", &[password]), basic);
        assert_eq!(authorization("", &[password, token]).as_deref(), Some("Bearer t"));
        assert_eq!(authorization("", &[]), None);
        let own = r#", "cred_env_name": "OWN""#;
        assert_eq!(authorization(own, &[password, ("OWN", "token x")]).as_deref(), Some("token x"));
        assert_eq!(authorization(own, &[password, ("OWN", "")]), None);
        assert_eq!(authorization(own, &[password]), None);
    }

    #[test]
    fn the_body_is_what_python_writes() {
        let body = |hostname: &str| {
            let hub =
                hubs(&format!(r#"{{"hostname": "{hostname}", "restart_url": "http://hub/"}}"#), &[(TOKEN, "t")]).pop();
            hub.unwrap().body
        };
        assert_eq!(body("golden-k8s"), r#"{"hostname": "golden-k8s"}"#);
        assert_eq!(body(r"ü\n😀"), r#"{"hostname": "\u00fc\n\ud83d\ude00"}"#);
    }

    #[test]
    fn what_differs_by_stage_is_another_notice() {
        let tunnel = r#"{"hostname": "h", "restart_url": "http://a/", "stage": {"s": {"restart_url": "http://b/x"}}}"#;
        let one = hubs(tunnel, &[(TOKEN, "t")]).pop().unwrap();
        let other = hubs(tunnel, &[(TOKEN, "t"), ("STAGE", "S")]).pop().unwrap();
        assert_eq!((one.url.to_string().as_str(), other.url.to_string().as_str()), ("http://a/", "http://b/x"));
        assert_ne!(key("h", "http://a/"), key("h", "http://b/x"));
    }
}
