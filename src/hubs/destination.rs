//! Where what a start's environment names is sent, and with what: the hub's own API, by the start's own token, and nowhere
//! else.

use http::header::{AUTHORIZATION, HeaderValue};
use http::{HeaderMap, Uri};
use secrecy::{ExposeSecret, SecretString};

use super::address::Reach;
use crate::config::{ApiUrl, CertificatePath, Hub};
use crate::domain::news::{HubAddress, NamedUrl};

/// No `Debug`: it holds a token.
#[derive(Clone)]
pub struct Destination {
    pub url: Uri,
    pub headers: HeaderMap,
    pub certificate: CertificatePath,
    pub reach: Reach,
}

/// What a hub gave and what is refused. Holds no URL: one may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("its JUPYTERHUB_API_URL is no URL of a hub")]
    Api,
    #[error("its {0} cannot be used")]
    Url(&'static str),
    #[error("its {0} does not lie beneath the hub's API")]
    Elsewhere(&'static str),
    #[error("its {0} holds characters that no header may have")]
    Token(&'static str),
}

const API_TOKEN: &str = "JUPYTERHUB_API_TOKEN";
const FLAVORS_TOKEN: &str = "token for flavor updates";

/// Where the steps of a start are told. `None` where the hub gave no URL or wants to hear nothing; an error where what it
/// gave is refused.
pub fn of_steps(hub: &Hub, address: &HubAddress, loopback: bool) -> Result<Option<Destination>, Refused> {
    let token = address.token.as_ref().filter(|_| hub.progress_events);
    beneath_api(hub, address, address.steps.as_ref(), (API_TOKEN, token), loopback)
}

/// Where the hub's flavors are told. `configured` is the token of hubs that send none.
pub fn of_flavors(
    hub: &Hub,
    address: &HubAddress,
    configured: Option<&SecretString>,
    loopback: bool,
) -> Result<Option<Destination>, Refused> {
    let token = address.flavors_token.as_ref().or(configured);
    beneath_api(hub, address, address.flavors.as_ref(), (FLAVORS_TOKEN, token), loopback)
}

/// Where the hub is asked for a tunnel to a server.
pub fn of_tunnel(hub: &Hub, address: &HubAddress, loopback: bool) -> Result<Option<Destination>, Refused> {
    beneath_api(hub, address, address.tunnel.as_ref(), (API_TOKEN, address.token.as_ref()), loopback)
}

fn beneath_api(
    hub: &Hub,
    address: &HubAddress,
    url: Option<&NamedUrl>,
    (token_name, token): (&'static str, Option<&SecretString>),
    loopback: bool,
) -> Result<Option<Destination>, Refused> {
    let (Some(NamedUrl { variable, text }), Some(token)) = (url, token) else { return Ok(None) };
    let is_whole = text.contains("://");
    let (api, reach) = match (&hub.api_url, &address.api_url) {
        (Some(api), _) => (Some(api.clone()), Reach::Configured),
        (None, Some(api)) => (Some(ApiUrl::parse(api).map_err(|_| Refused::Api)?), Reach::Asked { loopback }),
        (None, None) => (None, Reach::Asked { loopback }),
    };
    let url = match &api {
        _ if is_whole => ApiUrl::parse_unescaped(text),
        Some(api) => api.join(text),
        None => return Ok(None),
    };
    let url = url.map_err(|_| Refused::Url(variable))?;
    match api {
        Some(api) if !api.holds(&url) => return Err(Refused::Elsewhere(variable)),
        // BackendSpawner's hubs name their API. Outpost's need not: what they name is whole.
        None if *variable == "JUPYTERHUB_STATUS_URL" => return Ok(None),
        _ => {}
    }
    let headers = HeaderMap::from_iter([(AUTHORIZATION, authorization(token).ok_or(Refused::Token(token_name))?)]);
    Ok(Some(Destination { url: url.uri().clone(), headers, certificate: hub.certificate_path.clone(), reach }))
}

/// `token <token>`; `None` where no header may hold it.
pub fn authorization(token: &SecretString) -> Option<HeaderValue> {
    let mut header = HeaderValue::try_from(format!("token {}", token.expose_secret())).ok()?;
    header.set_sensitive(true);
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told_at(variable: &str, hub: &str, api: &str, url: &str) -> Result<Option<String>, Refused> {
        let hub: Hub = serde_json::from_str(hub).unwrap();
        let value = |name: &str| match name {
            "JUPYTERHUB_API_URL" => Some(api.to_owned()),
            "JUPYTERHUB_API_TOKEN" => Some("t".to_owned()),
            name if name == variable => Some(url.to_owned()),
            _ => None,
        };
        let found = of_steps(&hub, &HubAddress::of_environment(true, value), false)?;
        Ok(found.map(|it| format!("{} {:?}", it.url, it.reach)))
    }

    fn url(hub: &str, api: &str, status: &str) -> Result<Option<String>, Refused> {
        told_at("JUPYTERHUB_STATUS_URL", hub, api, status)
    }

    fn asked(url: &str) -> Result<Option<String>, Refused> {
        Ok(Some(format!("{url} Asked {{ loopback: false }}")))
    }

    #[test]
    fn a_path_is_beneath_the_api_and_a_url_has_to_be() {
        let (api, path) = ("http://hub:8081/hub/api", "users/progress/status/a/b");
        assert_eq!(url("{}", api, path), asked("http://hub:8081/hub/api/users/progress/status/a/b"));
        assert_eq!(url("{}", api, "/x"), asked("http://hub:8081/hub/api/x"));
        assert_eq!(url("{}", api, "http://hub:8081/hub/api/x"), asked("http://hub:8081/hub/api/x"));
        for elsewhere in ["http://other/hub/api/x", "http://hub:8081/hub/x", "https://hub:8081/hub/api/x", "../x"] {
            assert!(url("{}", api, elsewhere).is_err(), "{elsewhere}");
        }
        assert!(url("{}", "file:///etc", path).is_err());
        assert_eq!(url("{}", "", path), Ok(None));
        assert_eq!(url("{}", "", "http://hub/status"), Ok(None));
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

    #[test]
    fn a_whole_url_of_an_outpost_s_hub_may_hold_names_as_users_wrote_them() {
        let events = |api: &str, url: &str| told_at("JUPYTERHUB_EVENTS_URL", "{}", api, url);
        let api = "http://hub/hub/api";
        assert_eq!(
            events(api, "http://hub/hub/api/users/progress/events/a%40b/My Lab ü?#"),
            asked("http://hub/hub/api/users/progress/events/a%40b/My%20Lab%20%C3%BC%3F%23")
        );
        assert_eq!(events("", "http://hub/x"), asked("http://hub/x"), "nobody else named an API");
        assert_eq!(events("", "users/x"), Ok(None));
        assert_eq!(events(api, "http://other/hub/api/x"), Err(Refused::Elsewhere("JUPYTERHUB_EVENTS_URL")));
        assert_eq!(events(api, "http://me:pw@hub/hub/api/x"), Err(Refused::Url("JUPYTERHUB_EVENTS_URL")));
    }

    #[test]
    fn flavors_and_tunnels_need_a_url_and_a_token() {
        let all = |name: &str| {
            let value = match name {
                "JUPYTERHUB_API_URL" => "http://h/api",
                "JUPYTERHUB_FLAVORS_UPDATE_URL" => "http://h/api/outpostflavors/s",
                "JUPYTERHUB_SETUPTUNNEL_URL" => "http://h/api/users/setuptunnel/a",
                "JUPYTERHUB_API_TOKEN" => "own",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let (hub, address) = (Hub::default(), HubAddress::of_environment(true, all));
        assert!(of_flavors(&hub, &address, None, false).unwrap().is_none());
        let configured = SecretString::from("configured");
        let found = of_flavors(&hub, &address, Some(&configured), false).unwrap().unwrap();
        assert_eq!(found.url.path(), "/api/outpostflavors/s");
        assert_eq!(found.headers[AUTHORIZATION], "token configured");
        let found = of_tunnel(&hub, &address, false).unwrap().unwrap();
        assert_eq!(found.url.path(), "/api/users/setuptunnel/a");
        assert_eq!(found.headers[AUTHORIZATION], "token own");
        let bad = SecretString::from("a\nb");
        assert_eq!(of_flavors(&hub, &address, Some(&bad), false).err(), Some(Refused::Token(FLAVORS_TOKEN)));
    }
}
