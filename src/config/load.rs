//! Reads config.json: refuses what is wrong with file, path, line and reason, and warns about what it does not know.

use std::path::Path;

use super::{Config, unknown_keys};

/// A configuration and what an operator should hear about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    pub warnings: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("failed to read {file}")]
    Read { file: String, source: std::io::Error },
    #[error("{file}, line {line} column {column}: not JSON: {reason}")]
    Syntax { file: String, line: usize, column: usize, reason: String },
    #[error("{file}, line {line}: `{path}`: {reason}")]
    Value { file: String, path: String, line: usize, reason: String },
    #[error("{file}: `{path}`: {reason}")]
    Range { file: String, path: &'static str, reason: &'static str },
}

impl ConfigError {
    /// Where it is, without any value of the file and without its path: anybody may read this.
    pub fn place(&self) -> String {
        match self {
            Self::Read { .. } => "it cannot be read".to_owned(),
            Self::Syntax { line, column, .. } => format!("line {line} column {column} is not JSON"),
            Self::Value { path, line, .. } => format!("line {line}: `{path}` is wrong"),
            Self::Range { path, reason, .. } => format!("`{path}` {reason}"),
        }
    }
}

impl Config {
    pub fn load(path: &Path) -> Result<Loaded, ConfigError> {
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::from_json(&text, &file),
            Err(source) => Err(ConfigError::Read { file, source }),
        }
    }

    /// `name` is what messages call the text.
    pub fn from_json(text: &str, name: &str) -> Result<Loaded, ConfigError> {
        let file = name.to_owned();
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let config: Config = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
            let path = error.path().to_string();
            problem(file.clone(), path, error.inner())
        })?;
        deserializer.end().map_err(|error| problem(file.clone(), ".".to_owned(), &error))?;
        if let Some((path, reason)) = out_of_range(&config) {
            return Err(ConfigError::Range { file, path, reason });
        }
        let value = serde_json::from_str(text).unwrap_or_default();
        Ok(Loaded { config, warnings: unknown_keys::warnings(&value, name) })
    }
}

fn problem(file: String, path: String, error: &serde_json::Error) -> ConfigError {
    let (line, column) = (error.line(), error.column());
    let text = error.to_string();
    let reason = text.split(" at line ").next().unwrap_or(&text);
    if error.is_data() {
        let path = if path == "." { "the whole file".to_owned() } else { path };
        ConfigError::Value { file, path, line, reason: in_plain_words(reason) }
    } else {
        ConfigError::Syntax { file, line, column, reason: reason.to_owned() }
    }
}

/// `invalid type: string "x", expected u64` becomes `expected a whole number, zero or more, not the text "x"`.
fn in_plain_words(reason: &str) -> String {
    let Some((found, wanted)) = reason
        .strip_prefix("invalid type: ")
        .or_else(|| reason.strip_prefix("invalid value: "))
        .and_then(|it| it.rsplit_once(", expected "))
    else {
        return reason.to_owned();
    };
    let wanted = match wanted {
        "u64" | "u32" | "u16" | "usize" => "a whole number, zero or more",
        "a string" | "a borrowed string" | "string or map" | "path string" => "a text",
        "a map" => "an object",
        "a sequence" => "a list",
        "a boolean" => "true or false",
        "a socket address" | "socket address" => "an address and port such as 0.0.0.0:8080",
        other if other.starts_with("struct ") => "an object",
        other => other,
    };
    let found = match found.split_once(' ') {
        Some(("string", value)) => format!("the text {value}"),
        Some(("integer", value)) => format!("the number {value}"),
        Some(("floating", value)) => format!("the number {}", value.trim_start_matches("point ")),
        Some(("boolean", value)) => value.to_owned(),
        _ => match found {
            "map" => "an object".to_owned(),
            "sequence" => "a list".to_owned(),
            other => other.to_owned(),
        },
    };
    format!("expected {wanted}, not {found}")
}

fn out_of_range(config: &Config) -> Option<(&'static str, &'static str)> {
    let replace = &config.services.replace;
    let keywords = [
        ("services.replace.input_keyword", &replace.input_keyword),
        ("services.replace.drfid_keyword", &replace.drfid_keyword),
        ("services.replace.uniqueuserid_keyword", &replace.uniqueuserid_keyword),
        ("services.replace.userid_keyword", &replace.userid_keyword),
        ("services.replace.secretname_keyword", &replace.secretname_keyword),
        ("services.replace.secretcertsname_keyword", &replace.secretcertsname_keyword),
        ("services.replace.namespace_keyword", &replace.namespace_keyword),
        ("services.container_main_name", &config.services.container_main_name),
    ];
    if let Some((path, _)) = keywords.into_iter().find(|(_, keyword)| keyword.is_empty()) {
        return Some((path, "must not be empty"));
    }
    if config.services.yaml_filename == config.services.yaml_filename_update {
        return Some(("services.yaml_filename_update", "must not be the name of services.yaml_filename"));
    }
    if let Some(incomplete) = config.tls.incomplete() {
        return Some(incomplete);
    }
    if let Some(wrong) = config.outpost.values().find_map(super::Outpost::out_of_range) {
        return Some(wrong);
    }
    let at_least = [
        ("services.max_description_bytes", config.services.max_description_bytes >= 1, "must be at least 1"),
        ("services.shrunken_list_percent", config.services.shrunken_list_percent <= 100, "must be at most 100"),
        ("http.max_header_bytes", config.http.max_header_bytes >= 8192, "must be at least 8192"),
        (
            "leader_election.lease_seconds",
            (2..=600).contains(&config.leader_election.lease_seconds),
            "must be from 2 to 600",
        ),
        ("http.shutdown_delay_seconds", config.http.shutdown_delay_seconds <= 5, "must be at most 5"),
        ("http.request_timeout_seconds", config.http.request_timeout_seconds >= 1, "must be at least 1"),
    ];
    at_least.into_iter().find(|(_, holds, _)| !holds).map(|(path, _, reason)| (path, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> Loaded {
        Config::load(&Path::new("tests/contract/fixtures/configs").join(name)).unwrap()
    }

    fn refused(text: &str) -> String {
        Config::from_json(text, "config.json").unwrap_err().to_string()
    }

    #[test]
    fn every_recorded_configuration_is_read_without_a_warning() {
        for name in ["main.json", "mini.json", "mini2.json", "odd.json", "badreplace.json"] {
            assert_eq!(fixture(name).warnings, Vec::<String>::new(), "{name}");
        }
    }

    #[test]
    fn the_default_configuration_in_the_repository_is_the_default() {
        let loaded = Config::load(Path::new("config.json")).unwrap();
        assert_eq!(loaded.warnings, Vec::<String>::new());
        let printed = |config: &Config| serde_json::to_value(config).unwrap();
        assert_eq!(printed(&loaded.config), printed(&Config::default()));
        assert_eq!(printed(&Config::from_json("{}", "x").unwrap().config), printed(&Config::default()));
    }

    #[test]
    fn values_keep_their_order_and_numbers_become_text() {
        let config = fixture("badreplace.json").config;
        let (keyword, value) = &config.services.replace.credential["jupyterhub"].0[0];
        assert_eq!((keyword.as_str(), value.as_str()), ("credential_only", "7"));
        let keys: Vec<_> = config.services.env.0.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["FROM_CONFIG", "OVERRIDDEN", "CFG_INT", "CFG_BOOL", "CFG_NULL", "CFG_LIST"]);
        assert_eq!(config.tunnel.len(), 0);
        assert_eq!(fixture("main.json").config.tunnel[0].restart_url(Some("staging")).unwrap().len(), 39);
    }

    #[test]
    fn a_wrong_value_is_refused_with_its_path_and_line() {
        for (text, message) in [
            ("{\n\"services\": {\n\"env\": 5}}", "config.json, line 3: `services.env`: expected an object"),
            (
                r#"{"services": {"ended_ttl_seconds": "1h"}}"#,
                "config.json, line 1: `services.ended_ttl_seconds`: expected a whole number, zero or more, not the text \"1h\"",
            ),
            (
                r#"{"services": {"ended_ttl_seconds": -1}}"#,
                "config.json, line 1: `services.ended_ttl_seconds`: expected a whole number, zero or more, not the number `-1`",
            ),
            (
                r#"{"services": {"replace": {"stage": {"a": {"b": {}}}}}}"#,
                "config.json, line 1: `services.replace.stage.a.b`: expected a text or a number",
            ),
            (
                r#"{"services": {"replace": {"indicators": ["<"]}}}"#,
                "config.json, line 1: `services.replace.indicators`: expected two texts that are not empty, such as [\"<\", \">\"]",
            ),
            (r#"{"services": []}"#, ""),
            (
                r#"{"services": {"ssl": {"enabled": "yes"}}}"#,
                "config.json, line 1: `services.ssl.enabled`: expected true or false, not the text \"yes\"",
            ),
            (
                r#"{"userhomes": {"credential_mapping": {"a": "../b"}}}"#,
                "config.json, line 1: `userhomes.credential_mapping.a`: `../b` is not the name of one folder (no `/`, not `.` or `..`)",
            ),
            (
                r#"{"startup": {"create_user": {"hub": ["root"]}}}"#,
                "config.json, line 1: `startup.create_user.hub[0]`: unknown group `root`; the groups are access_to_webservice and access_to_logging",
            ),
            (
                r#"{"tunnel": [{"certificate_path": true}]}"#,
                "config.json, line 1: `tunnel[0].certificate_path`: expected the path of a file, or false",
            ),
            (r#"{"listen": "here"}"#, "config.json, line 1: `listen`: invalid socket address syntax"),
            (
                r#"{"services": {"shrunken_list_percent": 101}}"#,
                "config.json: `services.shrunken_list_percent`: must be at most 100",
            ),
            (r#"{"http": {"max_header_bytes": 10}}"#, "config.json: `http.max_header_bytes`: must be at least 8192"),
            (
                r#"{"services": {"replace": {"input_keyword": ""}}}"#,
                "config.json: `services.replace.input_keyword`: must not be empty",
            ),
            (
                r#"{"tls": {"certificate": "/tls/tls.crt"}}"#,
                "config.json: `tls.key`: must be set where tls.certificate is",
            ),
            (
                r#"{"tls": {"client_certificates": "required"}}"#,
                "config.json: `tls.client_ca`: must be set where tls.client_certificates is `required`",
            ),
            ("{\n,}", "config.json, line 2 column 1: not JSON: key must be a string"),
            ("{} x", "config.json, line 1 column 4: not JSON: trailing characters"),
            ("5", "config.json, line 1: `the whole file`: expected an object, not the number `5`"),
        ] {
            if !message.is_empty() {
                assert_eq!(refused(text), message);
            }
        }
    }

    #[test]
    fn a_missing_file_says_which() {
        let error = Config::load(Path::new("/nonexistent/config.json")).unwrap_err();
        assert_eq!(error.to_string(), "failed to read /nonexistent/config.json");
    }
}
