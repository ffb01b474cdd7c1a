//! What goes into the Secrets of a start: the environment and the certificates.

use std::collections::BTreeMap;

use crate::config::Config;
use crate::domain::{Json, ObjectId};

/// Kubernetes takes no longer key.
const LONGEST_KEY: usize = 253;
/// The members of `certs` with the keys of the Secret.
const CERTS: [(&str, &str); 3] = [
    ("keyfile", "JUPYTERHUB_SSL_KEYFILE_DATA"),
    ("certfile", "JUPYTERHUB_SSL_CERTFILE_DATA"),
    ("cafile", "JUPYTERHUB_SSL_CLIENT_CA_DATA"),
];

/// A request that cannot be carried out: its texts are for the client.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    #[error("env must be an object")]
    NotAnObject,
    #[error("`{0}` cannot be a key of env: use letters, digits, `-`, `_` and `.`, at most {LONGEST_KEY} characters")]
    Key(String),
    #[error("certs must be an object")]
    CertsNotAnObject,
    #[error("certs.{0} is missing")]
    CertMissing(&'static str),
    #[error("certs.{0} must be a text")]
    CertNotAText(&'static str),
}

/// The environment of a service: what the hub sends, then the configured headers, then `services.env`, less
/// `services.env_skip`, and SERVERNAME (what the hub calls it) and DRF_ID over anything. Values are what Python's `str()` makes of them.
pub fn secret_data(
    config: &Config,
    request_env: &Json,
    headers: &[(String, String)],
    server_name: &str,
    id: &ObjectId,
) -> Result<BTreeMap<String, String>, EnvironmentError> {
    let Json::Object(members) = request_env else { return Err(EnvironmentError::NotAnObject) };
    let mut data: BTreeMap<String, String> =
        members.iter().map(|(key, value)| (key.clone(), value.python_str())).collect();
    for (header, key) in &config.custom_headers_keys {
        if let Some((_, value)) = headers.iter().find(|(name, _)| wsgi_name(name) == *header) {
            data.insert(key.clone(), value.clone());
        }
    }
    data.extend(config.services.env.0.iter().map(|(key, value)| (key.clone(), value.python_str())));
    data.retain(|key, _| !config.services.env_skip.contains(key));
    data.insert("SERVERNAME".to_owned(), server_name.to_string());
    data.insert("DRF_ID".to_owned(), id.to_string());
    match data.keys().find(|key| !is_secret_key(key)) {
        Some(key) => Err(EnvironmentError::Key(key.escape_debug().take(LONGEST_KEY).collect())),
        None => Ok(data),
    }
}

/// The certificates, where the request has any.
pub fn certs_data(certs: Option<&Json>) -> Result<Option<BTreeMap<String, String>>, EnvironmentError> {
    let Some(certs) = certs else { return Ok(None) };
    if !matches!(certs, Json::Object(_)) {
        return Err(EnvironmentError::CertsNotAnObject);
    }
    let mut data = BTreeMap::new();
    for (member, key) in CERTS {
        let value = certs.get(member).ok_or(EnvironmentError::CertMissing(member))?;
        let text = value.as_str().ok_or(EnvironmentError::CertNotAText(member))?;
        data.insert(key.to_owned(), text.to_owned());
    }
    Ok(Some(data))
}

/// `X-Extra` as a WSGI server hands it on, which is how `custom_headers_keys` names it: `HTTP_X_EXTRA`.
fn wsgi_name(header: &str) -> String {
    let name = header.to_ascii_uppercase().replace('-', "_");
    if name == "CONTENT_TYPE" || name == "CONTENT_LENGTH" { name } else { format!("HTTP_{name}") }
}

pub fn is_secret_key(key: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    !key.is_empty() && key.len() <= LONGEST_KEY && key.chars().all(allowed) && key != "." && !key.starts_with("..")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn data(config: &str, env: &str, headers: &[(&str, &str)]) -> Result<BTreeMap<String, String>, EnvironmentError> {
        let config = Config::load(&Path::new("tests/contract/fixtures/configs").join(config)).unwrap().config;
        let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let id = ObjectId::from_stored("lab-s1".to_owned());
        secret_data(&config, &Json::parse(env.as_bytes()).unwrap(), &headers, "lab", &id)
    }

    #[test]
    fn configured_headers_are_found_however_they_are_written() {
        let sent = [("X-Extra", "1"), ("access_token", "2"), ("UuidCode", "lab")];
        let odd = data("odd.json", "{}", &sent).unwrap();
        assert_eq!((odd.get("x-extra"), odd.get("access-token")), (Some(&"1".to_owned()), None));
        assert_eq!(odd.get("uuidcode"), Some(&"lab".to_owned()));
        let mini = data("mini.json", "{}", &sent).unwrap();
        assert_eq!((mini.get("x-extra"), mini.get("access-token")), (None, Some(&"2".to_owned())));
        assert_eq!(mini.get("uuidcode"), None);
    }

    #[test]
    fn the_id_stands_over_anything() {
        let it = data("main.json", r#"{"DRF_ID": "x", "SERVERNAME": "y", "OVERRIDDEN": "by-client"}"#, &[]).unwrap();
        assert_eq!((it["DRF_ID"].as_str(), it["SERVERNAME"].as_str()), ("lab-s1", "lab"));
        assert_eq!(it["OVERRIDDEN"], "by-config");
    }

    #[test]
    fn a_key_that_no_secret_may_have_is_named() {
        let error = data("main.json", r#"{"bad key": 1}"#, &[]).unwrap_err();
        assert!(error.to_string().starts_with("`bad key` cannot be a key of env"), "{error}");
        for key in ["", "ü", "a/b", "a\\nb", ".", "..x", &"x".repeat(254)] {
            assert!(data("main.json", &format!("{{\"{key}\": 1}}"), &[]).is_err(), "{key}");
        }
        assert_eq!(data("main.json", "[]", &[]), Err(EnvironmentError::NotAnObject));
    }

    #[test]
    fn certificates_are_complete_or_refused() {
        let parse = |text: &str| certs_data(Some(&Json::parse(text.as_bytes()).unwrap()));
        assert_eq!(certs_data(None), Ok(None));
        let data = parse(r#"{"keyfile": "K", "certfile": "C", "cafile": "A"}"#).unwrap().unwrap();
        assert_eq!(data["JUPYTERHUB_SSL_CLIENT_CA_DATA"], "A");
        for (certs, message) in [
            ("null", "certs must be an object"),
            ("{}", "certs.keyfile is missing"),
            (r#"{"keyfile": "k", "certfile": "c"}"#, "certs.cafile is missing"),
            (r#"{"keyfile": 1}"#, "certs.keyfile must be a text"),
        ] {
            assert_eq!(parse(certs).unwrap_err().to_string(), message);
        }
    }
}
