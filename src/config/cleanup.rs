//! The hubs whose lists of servers are compared with what runs here: JUPYTERHUB_CLEANUP_NAMES, JUPYTERHUB_CLEANUP_URLS and
//! JUPYTERHUB_CLEANUP_TOKENS, as Outpost has them: three lists, separated by semicolons, that belong together by position.

use std::fmt;
use std::time::Duration;

use http::Uri;
use secrecy::SecretString;

use crate::domain::Credential;

pub(super) const NAMES: &str = "JUPYTERHUB_CLEANUP_NAMES";
pub(super) const URLS: &str = "JUPYTERHUB_CLEANUP_URLS";
pub(super) const TOKENS: &str = "JUPYTERHUB_CLEANUP_TOKENS";

/// What is compared, and how often.
#[derive(Clone, Debug)]
pub struct Cleanup {
    pub hubs: Vec<CleanupHub>,
    /// Between two looks at a list.
    pub interval: Duration,
    /// What is wrong with the variables, for people: hubs that are left out, and why.
    pub problems: Vec<String>,
}

/// One hub that lists its servers. Printed without URL and token: a URL may hold a password.
#[derive(Clone)]
pub struct CleanupHub {
    /// Its login here.
    pub credential: Credential,
    pub url: Uri,
    pub token: SecretString,
}

impl fmt::Debug for CleanupHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CleanupHub({})", self.credential)
    }
}

impl Cleanup {
    pub const INTERVAL_SECONDS: u64 = 1800;

    /// Of the three lists as they are written. Positions count, also of what is empty: a token must never reach another hub.
    pub(super) fn of_lists(names: &str, urls: &str, tokens: &str, interval: Duration) -> Self {
        let mut found = Self { hubs: Vec::new(), interval, problems: Vec::new() };
        if names.is_empty() && urls.is_empty() && tokens.is_empty() {
            return found;
        }
        let split = |text: &str| text.split(';').map(|it| it.trim().to_owned()).collect::<Vec<_>>();
        let (names, urls, tokens) = (split(names), split(urls), split(tokens));
        if names.len() != urls.len() || names.len() != tokens.len() {
            let lengths = format!("{}, {} and {}", names.len(), urls.len(), tokens.len());
            found.problems.push(format!(
                "{NAMES}, {URLS} and {TOKENS} have {lengths} entries: what is more than the shortest has is left out"
            ));
        }
        for ((name, url), token) in names.iter().zip(&urls).zip(&tokens) {
            match hub(name, url, token) {
                Ok(hub) if found.hubs.iter().any(|it| it.credential == hub.credential) => {
                    found.problems.push(format!("{NAMES} has {name} twice: the first one counts"));
                }
                Ok(hub) => found.hubs.push(hub),
                Err(None) => {}
                Err(Some(problem)) => found.problems.push(problem),
            }
        }
        found
    }
}

/// `Err(None)`: nothing stands at this position.
fn hub(name: &str, url: &str, token: &str) -> Result<CleanupHub, Option<String>> {
    if name.is_empty() && url.is_empty() && token.is_empty() {
        return Err(None);
    }
    let credential = Credential::parse(name)
        .map_err(|_| Some(format!("an entry of {NAMES} is no login of a hub: letters, digits and @ . + - _ only")))?;
    let is_usable = |it: &Uri| {
        matches!(it.scheme_str(), Some("http" | "https"))
            && it.host().is_some_and(|host| !host.is_empty())
            && it.authority().is_some_and(|authority| !authority.as_str().contains('@'))
    };
    let url = url.parse().ok().filter(is_usable).ok_or_else(|| {
        Some(format!("the entry of {URLS} for {name} must be an http or https URL with a host and without a login"))
    })?;
    if token.is_empty() {
        return Err(Some(format!("the entry of {TOKENS} for {name} is empty")));
    }
    Ok(CleanupHub { credential, url, token: SecretString::from(token) })
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn lists(names: &str, urls: &str, tokens: &str) -> (Vec<(String, String, String)>, Vec<String>) {
        let found = Cleanup::of_lists(names, urls, tokens, Duration::from_secs(1));
        let hub =
            |it: &CleanupHub| (it.credential.to_string(), it.url.to_string(), it.token.expose_secret().to_owned());
        (found.hubs.iter().map(hub).collect(), found.problems)
    }

    fn entry(name: &str, url: &str, token: &str) -> (String, String, String) {
        (name.to_owned(), url.to_owned(), token.to_owned())
    }

    #[test]
    fn entries_belong_together_by_position_and_the_shortest_list_counts() {
        let (hubs, problems) = lists("a;b; c", "http://a/x;https://b/y;http://c/z", "ta; tb ;tc");
        let all = [entry("a", "http://a/x", "ta"), entry("b", "https://b/y", "tb"), entry("c", "http://c/z", "tc")];
        assert_eq!(hubs, all);
        assert_eq!(problems, [""; 0]);
        let (hubs, problems) = lists("a;b", "http://a/x;http://b/y", "ta");
        assert_eq!(hubs, [entry("a", "http://a/x", "ta")]);
        assert!(problems[0].contains("2, 2 and 1 entries"), "{problems:?}");
        assert_eq!(lists("", "", "").0, []);
        assert_eq!(lists("a", "", "").0, []);
    }

    #[test]
    fn what_is_empty_or_wrong_moves_nobody_s_token() {
        let (hubs, problems) = lists("a;;c;d;c", "http://a/;;ftp://c/;http://me:pw@d/;http://c/", "ta;;tc;td;tc2");
        assert_eq!(hubs, [entry("a", "http://a/", "ta"), entry("c", "http://c/", "tc2")]);
        assert_eq!(problems.len(), 2);
        let (hubs, problems) = lists("a;b", "http://a/;http://b/", ";tb");
        assert_eq!(hubs, [entry("b", "http://b/", "tb")]);
        assert_eq!(problems, ["the entry of JUPYTERHUB_CLEANUP_TOKENS for a is empty"]);
        assert!(!format!("{:?}", Cleanup::of_lists("b", "http://b/", "tb", Duration::ZERO)).contains("tb"));
    }
}
