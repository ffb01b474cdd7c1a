//! Section `outpost`: how the starts of hubs that speak Outpost's protocol become starts of descriptions.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::name_pattern::NamePattern;
use crate::domain::{Json, ServiceName};

/// What is taken of `misc` unless `allow_override` says otherwise: what OutpostSpawner sends so that the server is reached.
const ALWAYS_ADMITTED: [&str; 8] = [
    "port",
    "ip",
    "internal_ssl",
    "pod_name_template",
    "dns_name_template",
    "services_enabled",
    "extra_labels",
    "start_timeout",
];
/// A sync start keeps its request open for as long.
const LONGEST_START_SECONDS: u64 = 3600;
/// A hub lists a server only once it is up.
const SHORTEST_GRACE_SECONDS: u64 = 60;

/// One hub, by its login. One that is not named here must name a description in `user_options.service`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Outpost {
    /// The service description of a start whose user options name none (neither by `service` nor by `profile`): a relative
    /// path such as `JupyterLab/Default`. Reload.
    pub default_service: Option<DescriptionPath>,
    /// The service description by `user_options.profile`, where there is no `user_options.service`. Reload.
    pub profiles: BTreeMap<String, DescriptionPath>,
    /// What of `misc` reaches a template, beside `port`, `ip`, `internal_ssl`, `pod_name_template`, `dns_name_template`,
    /// `services_enabled`, `extra_labels` and `start_timeout`, which do unless they are named here. From the key, a shell
    /// pattern (`*`, `?`, `[a-z]`, `[!a]`; the longest that matches decides), to its values: `true` for any, `false` for
    /// none, a shell pattern or a list of them for texts, numbers and booleans, `{"pattern": "..."}` for a regular
    /// expression of the whole text, `{"min": 1, "max": 8}` for numbers. Of a list or an object every value must be
    /// admitted. What is not admitted is left out. Reload.
    pub allow_override: BTreeMap<NamePattern, AdmittedValues>,
    /// How long a server may take to come up, in seconds, from 1 to 3600, where `misc.start_timeout` does not say it: then
    /// its start has failed and all of it is removed. The hub's own `start_timeout` and the `request_timeout` of
    /// `request_kwargs_start` should be longer. Reload.
    #[schemars(range(min = 1, max = 3600))]
    pub start_timeout_seconds: u64,
    /// Whether the hub says of every start who the user is (`authentication`): OutpostSpawner does for users with
    /// `outpost_flavors` in their auth_state. Then a start that does not say it is refused where `flavors_file` has sets of
    /// users for this hub; otherwise it gets what the hub gets. Reload.
    pub sends_authentication: bool,
    /// File with the token by which the hub takes its flavors (JUPYTERHUB_FLAVORS_UPDATE_URL), for starts without a
    /// JUPYTERHUB_FLAVORS_UPDATE_TOKEN. Read anew each time. Reload.
    pub flavors_update_token_file: Option<PathBuf>,
    /// The same token in an environment variable of this name; the file comes first. Reload.
    pub flavors_update_token_env: Option<String>,
    /// Whether the hub is asked, each time that K8s Manager was started, to make its tunnels to running servers again
    /// (JUPYTERHUB_SETUPTUNNEL_URL). Only for a hub that reaches its servers through ssh: any other stops the server
    /// for which it is asked. Reload.
    pub tunnels_at_restart: bool,
    /// A server that the hub's list (JUPYTERHUB_CLEANUP_URLS) lacks is stopped only when it is older than this, in seconds, at
    /// least 60. A list without any server that runs here is doubted for as long after the hub's last start. Reload.
    #[schemars(range(min = 60))]
    pub cleanup_grace_seconds: u64,
}

impl Default for Outpost {
    fn default() -> Self {
        Self {
            default_service: None,
            profiles: BTreeMap::new(),
            allow_override: BTreeMap::new(),
            start_timeout_seconds: 300,
            sends_authentication: false,
            flavors_update_token_file: None,
            flavors_update_token_env: None,
            tunnels_at_restart: false,
            cleanup_grace_seconds: 1800,
        }
    }
}

impl Outpost {
    /// Whether a key of `misc` may have this value.
    pub fn admits(&self, key: &str, value: &Json) -> bool {
        let decides = self.allow_override.iter().filter(|(pattern, _)| pattern.matches(key));
        match decides.max_by_key(|(pattern, _)| (pattern.as_str() == key, pattern.as_str().len())) {
            Some((_, values)) => values.admit(value),
            None => ALWAYS_ADMITTED.contains(&key),
        }
    }

    pub fn cleanup_grace(&self) -> Duration {
        Duration::from_secs(self.cleanup_grace_seconds)
    }

    /// The field that is, and what it must be.
    pub(super) fn out_of_range(&self) -> Option<(&'static str, &'static str)> {
        if !(1..=LONGEST_START_SECONDS).contains(&self.start_timeout_seconds) {
            return Some(("outpost.<name>.start_timeout_seconds", "must be from 1 to 3600"));
        }
        let is_too_short = self.cleanup_grace_seconds < SHORTEST_GRACE_SECONDS;
        is_too_short.then_some(("outpost.<name>.cleanup_grace_seconds", "must be at least 60"))
    }
}

/// The path of a service description beneath those of a hub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(into = "String")]
#[schemars(with = "String")]
pub struct DescriptionPath(pub ServiceName);

impl From<DescriptionPath> for String {
    fn from(path: DescriptionPath) -> Self {
        path.0.to_string()
    }
}

impl<'de> Deserialize<'de> for DescriptionPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ServiceName::parse(&String::deserialize(deserializer)?).map(Self).map_err(de::Error::custom)
    }
}

/// Which values a key of `misc` may have.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "true, false, a shell pattern, a list of them, {\"pattern\": ...} or {\"min\": ..., \"max\": ...}"
)]
pub enum AdmittedValues {
    All(bool),
    Glob(NamePattern),
    Globs(Vec<NamePattern>),
    Pattern(WholeText),
    Range(Range),
}

/// A regular expression of the whole text.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WholeText {
    #[serde(deserialize_with = "read_pattern", serialize_with = "write_pattern")]
    #[schemars(with = "String")]
    pattern: regex::Regex,
}

impl PartialEq for WholeText {
    fn eq(&self, other: &Self) -> bool {
        self.pattern.as_str() == other.pattern.as_str()
    }
}

const BEGIN: &str = "^(?:";
const END: &str = ")$";

fn read_pattern<'de, D: Deserializer<'de>>(deserializer: D) -> Result<regex::Regex, D::Error> {
    let text = String::deserialize(deserializer)?;
    regex::Regex::new(&format!("{BEGIN}{text}{END}")).map_err(de::Error::custom)
}

fn write_pattern<S: serde::Serializer>(pattern: &regex::Regex, serializer: S) -> Result<S::Ok, S::Error> {
    let text = pattern.as_str();
    serializer.serialize_str(text.strip_prefix(BEGIN).and_then(|it| it.strip_suffix(END)).unwrap_or(text))
}

/// Numbers from `min` to `max`; one that is missing is no bound.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Range {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max: Option<f64>,
}

impl AdmittedValues {
    fn admit(&self, value: &Json) -> bool {
        match (self, value) {
            (AdmittedValues::All(all), _) => *all,
            (_, Json::List(items)) => items.iter().all(|it| self.admit(it)),
            (_, Json::Object(members)) => members.iter().all(|(_, it)| self.admit(it)),
            (AdmittedValues::Range(range), Json::Integer(_) | Json::Float(_)) => {
                let number: Option<f64> = value.to_text().parse().ok();
                number.is_some_and(|it| range.min.is_none_or(|min| it >= min) && range.max.is_none_or(|max| it <= max))
            }
            (AdmittedValues::Range(_), _) => false,
            (AdmittedValues::Glob(glob), _) => glob.matches(&plain_text(value)),
            (AdmittedValues::Globs(globs), _) => {
                let text = plain_text(value);
                globs.iter().any(|it| it.matches(&text))
            }
            (AdmittedValues::Pattern(whole), _) => whole.pattern.is_match(&plain_text(value)),
        }
    }
}

/// A text as it is, anything else as JSON has it.
fn plain_text(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_text(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outpost(text: &str) -> Outpost {
        serde_json::from_str(text).unwrap()
    }

    fn admits(it: &Outpost, key: &str, value: &str) -> bool {
        it.admits(key, &Json::parse(value.as_bytes()).unwrap())
    }

    #[test]
    fn what_reaching_the_server_needs_is_admitted_unless_it_is_taken_back() {
        let it = Outpost::default();
        assert!(ALWAYS_ADMITTED.iter().all(|key| admits(&it, key, "1")));
        assert!(!admits(&it, "image", "\"x\""));
        let it = outpost(r#"{"allow_override": {"start_timeout": {"max": 600}, "extra_labels": false}}"#);
        assert!(admits(&it, "start_timeout", "600") && !admits(&it, "start_timeout", "601"));
        assert!(!admits(&it, "extra_labels", "{}") && admits(&it, "port", "8888"));
    }

    #[test]
    fn keys_and_values_are_admitted_by_pattern() {
        let it = outpost(
            r#"{"allow_override": {
                "image": ["registry.example.org/*", "jupyter/base-notebook:*"],
                "mem_*": {"pattern": "[0-9]+G"}, "mem_limit": {"pattern": "[1-8]G"},
                "cpu_limit": {"min": 0.5, "max": 4}, "node_selector": ["a*"], "debug": "true", "*": false, "free_*": true
            }}"#,
        );
        for (key, value, expected) in [
            ("image", r#""registry.example.org/lab:1""#, true),
            ("image", r#""evil.example.org/registry.example.org/lab""#, false),
            ("image", "5", false),
            ("mem_guarantee", r#""64G""#, true),
            ("mem_guarantee", r#""64G; x""#, false),
            ("mem_limit", r#""64G""#, false),
            ("mem_limit", r#""8G""#, true),
            ("cpu_limit", "4.0", true),
            ("cpu_limit", "5", false),
            ("cpu_limit", r#""1""#, false),
            ("node_selector", r#"{"zone": "a1", "kind": "a2"}"#, true),
            ("node_selector", r#"{"zone": "a1", "kind": "b"}"#, false),
            ("debug", "true", true),
            ("debug", "false", false),
            ("free_choice", r#"{"any": ["thing"]}"#, true),
            ("port", "8888", false),
        ] {
            assert_eq!(admits(&it, key, value), expected, "{key}: {value}");
        }
    }

    #[test]
    fn it_is_written_as_it_is_read() {
        let text = r#"{"default_service":"A/B","profiles":{"gpu":"A/C"},"allow_override":{"a":true,"b":"x*","c":["y"],"d":{"pattern":"z|w"},"e":{"max":2.0}},"start_timeout_seconds":60,"sends_authentication":true,"flavors_update_token_file":"/t","flavors_update_token_env":null,"tunnels_at_restart":true,"cleanup_grace_seconds":60}"#;
        assert_eq!(serde_json::to_string(&outpost(text)).unwrap(), text);
        for bad in [
            r#"{"default_service": "../x"}"#,
            r#"{"allow_override": {"a": {"pattern": "("}}}"#,
            r#"{"allow_override": {"a": {"least": 1}}}"#,
        ] {
            assert!(serde_json::from_str::<Outpost>(bad).is_err(), "{bad}");
        }
    }
}
