//! Where the steps of a start are sent, and with what: the hub's own API, by the server's own token, and nowhere else.

use http::header::{AUTHORIZATION, HeaderValue};
use http::{HeaderMap, Uri};
use secrecy::ExposeSecret;

use super::address::Reach;
use crate::config::{ApiUrl, CertificatePath, Hub};
use crate::domain::news::StatusAddress;

/// No `Debug`: it holds a token.
#[derive(Clone)]
pub struct Destination {
    pub url: Uri,
    pub headers: HeaderMap,
    pub certificate: CertificatePath,
    pub reach: Reach,
}

/// `None` where the hub gave no URL or wants to hear nothing; an error where what it gave is refused.
pub fn destination(hub: &Hub, address: &StatusAddress, loopback: bool) -> Result<Option<Destination>, &'static str> {
    let (Some(status_url), Some(token), true) = (&address.status_url, &address.token, hub.progress_events) else {
        return Ok(None);
    };
    let (api, reach) = match (&hub.api_url, &address.api_url) {
        (Some(api), _) => (api.clone(), Reach::Configured),
        (None, Some(api)) => {
            (ApiUrl::parse(api).map_err(|_| "its JUPYTERHUB_API_URL is no URL of a hub")?, Reach::Asked { loopback })
        }
        (None, None) => return Ok(None),
    };
    let url = match status_url.contains("://") {
        true => ApiUrl::parse(status_url),
        false => api.join(status_url),
    };
    let url = url.map_err(|_| "its JUPYTERHUB_STATUS_URL cannot be used")?;
    if !api.holds(&url) {
        return Err("its JUPYTERHUB_STATUS_URL does not lie beneath the hub's API");
    }
    let header = HeaderValue::try_from(format!("token {}", token.expose_secret()));
    let mut header = header.map_err(|_| "its JUPYTERHUB_API_TOKEN holds characters that no header may have")?;
    header.set_sensitive(true);
    let headers = HeaderMap::from_iter([(AUTHORIZATION, header)]);
    Ok(Some(Destination { url: url.uri().clone(), headers, certificate: hub.certificate_path.clone(), reach }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(hub: &str, api: &str, status: &str) -> Result<Option<String>, &'static str> {
        let hub: Hub = serde_json::from_str(hub).unwrap();
        let value = |name: &str| match name {
            "JUPYTERHUB_API_URL" => Some(api.to_owned()),
            "JUPYTERHUB_STATUS_URL" => Some(status.to_owned()),
            _ => Some("t".to_owned()),
        };
        let found = destination(&hub, &StatusAddress::of_environment(value), false)?;
        Ok(found.map(|it| format!("{} {:?}", it.url, it.reach)))
    }

    #[test]
    fn a_path_is_beneath_the_api_and_a_url_has_to_be() {
        let asked = |url: &str| Ok(Some(format!("{url} Asked {{ loopback: false }}")));
        let (api, path) = ("http://hub:8081/hub/api", "users/progress/status/a/b");
        assert_eq!(url("{}", api, path), asked("http://hub:8081/hub/api/users/progress/status/a/b"));
        assert_eq!(url("{}", api, "/x"), asked("http://hub:8081/hub/api/x"));
        assert_eq!(url("{}", api, "http://hub:8081/hub/api/x"), asked("http://hub:8081/hub/api/x"));
        for elsewhere in ["http://other/hub/api/x", "http://hub:8081/hub/x", "https://hub:8081/hub/api/x", "../x"] {
            assert!(url("{}", api, elsewhere).is_err(), "{elsewhere}");
        }
        assert!(url("{}", "file:///etc", path).is_err());
        assert_eq!(url("{}", "", path), Ok(None));
        assert_eq!(url("{}", api, ""), Ok(None));
        assert_eq!(url(r#"{"progress_events": false}"#, api, path), Ok(None));
    }

    #[test]
    fn what_is_configured_comes_first() {
        let hub = r#"{"api_url": "https://h/hub/api/"}"#;
        assert_eq!(url(hub, "http://evil/", "x"), Ok(Some("https://h/hub/api/x Configured".to_owned())));
        assert_eq!(url(hub, "", "x"), Ok(Some("https://h/hub/api/x Configured".to_owned())));
        assert!(url(hub, "http://evil/", "http://evil/x").is_err());
    }
}
