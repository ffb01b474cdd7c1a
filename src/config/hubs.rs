//! Section `hubs`: what the hubs are told of their users' starts.

use std::fmt;

use http::Uri;
use http::uri::Scheme;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::CertificatePath;

/// What has to be escaped in a path; what is escaped already stays so.
const NOT_IN_A_PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// How one hub, by its login, is told of its users' starts.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Hub {
    /// Whether the steps of a start are sent to the URL that the hub gives (JUPYTERHUB_API_URL and JUPYTERHUB_STATUS_URL in
    /// `env`), and its failure at once. Reload.
    pub progress_events: bool,
    /// The hub's API, such as `https://hub.example.org/hub/api`: nothing is sent elsewhere, and JUPYTERHUB_STATUS_URL is
    /// taken as a path beneath it. Without it JUPYTERHUB_API_URL of each start, which must not lead to this machine
    /// (unless the cluster's API server is on it, too). Reload.
    #[schemars(with = "Option<String>")]
    pub api_url: Option<ApiUrl>,
    /// File with the certificate authority of the hub, for one that those of the system do not vouch for. `false` asks for
    /// TLS that is not verified: whoever is in between reads the tokens. Reload.
    pub certificate_path: CertificatePath,
    /// Whether starts of this hub, where it is one of BackendSpawner, have to name a flavor of `flavors_file`
    /// (`user_options.flavor`) and are limited by it. Reload.
    pub flavors: bool,
}

impl Default for Hub {
    fn default() -> Self {
        Self { progress_events: true, api_url: None, certificate_path: CertificatePath::default(), flavors: true }
    }
}

/// An http or https URL with a host, and without login, query and fragment.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiUrl(Uri);

impl ApiUrl {
    /// Says why it cannot be used, without the URL: it may hold a password.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let uri: Uri = text.trim().parse().map_err(|_| "cannot be read as a URL")?;
        let is_http = |scheme: &Scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS;
        if !uri.scheme().is_some_and(is_http) {
            return Err("must begin with http:// or https://");
        }
        if uri.host().is_none_or(str::is_empty) {
            return Err("names no host");
        }
        if uri.authority().is_some_and(|it| it.as_str().contains('@')) {
            return Err("must not hold a login");
        }
        if uri.query().is_some() {
            return Err("must not hold a query");
        }
        if has_dots(uri.path()) {
            return Err("must not hold `.` or `..` in its path");
        }
        Ok(Self(uri))
    }

    /// A whole URL in whose path names of servers may stand as users wrote them.
    pub fn parse_unescaped(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        let host = text.find("://").map_or(0, |it| it + 3);
        let path = text[host..].find(['/', '?', '#']).map_or(text.len(), |it| host + it);
        Self::parse(&format!("{}{}", &text[..path], utf8_percent_encode(&text[path..], NOT_IN_A_PATH)))
    }

    pub fn uri(&self) -> &Uri {
        &self.0
    }

    /// A path beneath this one. Names of servers may stand in it as users wrote them.
    pub fn join(&self, path: &str) -> Result<Self, &'static str> {
        let base = self.0.to_string();
        let path = utf8_percent_encode(path.trim_start_matches('/'), NOT_IN_A_PATH);
        Self::parse(&format!("{}/{path}", base.trim_end_matches('/')))
    }

    /// Whether another URL has the same scheme, host and port, and a path beneath this one's.
    pub fn holds(&self, other: &ApiUrl) -> bool {
        let place = |it: &Uri| {
            let is_tls = it.scheme() == Some(&Scheme::HTTPS);
            (is_tls, it.host().map(str::to_ascii_lowercase), it.port_u16().unwrap_or(if is_tls { 443 } else { 80 }))
        };
        let base = self.0.path().trim_end_matches('/');
        place(&self.0) == place(&other.0) && other.0.path().strip_prefix(base).is_some_and(|it| it.starts_with('/'))
    }
}

/// However they are written: a server may take them for steps upwards.
fn has_dots(path: &str) -> bool {
    let plain =
        path.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "/").replace('\\', "/");
    plain.split('/').any(|it| it == "." || it == "..")
}

impl fmt::Debug for ApiUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl<'de> Deserialize<'de> for ApiUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl Serialize for ApiUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> ApiUrl {
        ApiUrl::parse(text).unwrap_or_else(|reason| panic!("{text} {reason}"))
    }

    #[test]
    fn only_what_lies_beneath_is_held() {
        let api = url("https://hub.example.org/hub/api");
        for beneath in ["https://hub.example.org/hub/api/users/x", "https://HUB.example.org:443/hub/api/"] {
            assert!(api.holds(&url(beneath)), "{beneath}");
        }
        for elsewhere in [
            "http://hub.example.org/hub/api/x",
            "https://hub.example.org:444/hub/api/x",
            "https://hub.example.org/hub/apix",
            "https://hub.example.org/hub",
            "https://hub.example.org.evil/hub/api/x",
            "https://evil/hub/api/x",
        ] {
            assert!(!api.holds(&url(elsewhere)), "{elsewhere}");
        }
        assert_eq!(api.join("users/a/b").unwrap(), url("https://hub.example.org/hub/api/users/a/b"));
        assert_eq!(url("http://h").join("/x").unwrap(), url("http://h/x"));
        assert_eq!(api.join("s/My Lab ü?").unwrap(), url("https://hub.example.org/hub/api/s/My%20Lab%20%C3%BC%3F"));
        for path in ["../admin", "users/%2e%2E/x", "a/..%2fb", "users\\..\\x"] {
            assert!(api.join(path).is_err(), "{path}");
        }
    }

    #[test]
    fn what_is_no_api_is_refused() {
        for text in
            ["", "hub", "/hub/api", "ftp://hub/", "http://", "http://me:pw@hub/", "http://hub/?a=b", "http://hub/../x"]
        {
            assert!(ApiUrl::parse(text).is_err(), "{text}");
        }
    }
}
