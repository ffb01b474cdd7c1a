//! The environment variables of K8s Manager, read once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::SecretString;

use super::cleanup::{self, Cleanup};
use super::secret_url::SecretUrl;
use crate::domain::{Credential, NameError};

const IN_CLUSTER_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
/// The names that the reference has them by.
const TLS_CERTIFICATE: &str = "GUNICORN_SSL_CRT";
const TLS_KEY: &str = "GUNICORN_SSL_KEY";
const USERNAMES: &str = "usernames";
const PASSWORDS: &str = "passwords";
const CLEANUP_INTERVAL: &str = "JUPYTERHUB_CLEANUP_SLEEP_TIMER";
const END_DATE_INTERVAL: &str = "JUPYTERHUB_CHECK_ENDDATES_SLEEP_TIMER";
const PASSWORD_SUFFIX: &str = "_USER_PASS";

#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    #[error(
        "{name} is `{value}`; it must be lower-case letters, digits and `-`, at most 63, and not begin or end with `-`"
    )]
    NotALabel { name: &'static str, value: String },
    #[error("SQL_ENGINE is `{0}`; it must be django.db.backends.postgresql or django.db.backends.sqlite3")]
    UnknownEngine(String),
    #[error("{set} is set and {missing} is not: TLS needs both, its certificate and its key")]
    HalfOfTls { set: &'static str, missing: &'static str },
    #[error("{CLEANUP_INTERVAL} is `{0}`; it must be a number of seconds, at least 1")]
    CleanupInterval(String),
    #[error("{END_DATE_INTERVAL} is `{0}`; it must be a number of seconds, at least 1")]
    EndDateInterval(String),
    #[error("SQL_DATABASE is needed with SQL_ENGINE={0}")]
    MissingDatabase(String),
    /// Without the text: it may be a password in the wrong place.
    #[error("item {position} of usernames cannot be a user: {reason}")]
    NotAUser { position: usize, reason: NameError },
}

/// What the environment says. An empty variable counts as not set.
#[derive(Clone, Debug)]
pub struct Environment {
    /// CONFIG_PATH.
    pub config_path: Option<PathBuf>,
    /// STAGE in lower case.
    pub stage: Option<String>,
    /// DEPLOYMENT_NAME, else `k8smgr`.
    pub deployment_name: String,
    /// DEPLOYMENT_NAMESPACE, else the namespace of the pod we run in, else `default`.
    pub deployment_namespace: String,
    /// DATABASE_URL, else what SQL_ENGINE, SQL_DATABASE, SQL_USER, SQL_PASSWORD, SQL_HOST and SQL_PORT describe.
    pub database_url: Option<SecretUrl>,
    /// GUNICORN_SSL_CRT and GUNICORN_SSL_KEY: the files of certificate and key.
    pub tls_files: Option<(PathBuf, PathBuf)>,
    /// SUPERUSER_PASS.
    pub superuser_password: Option<SecretString>,
    /// LOG_SMTP_USER and LOG_SMTP_PASSWORD, both or none: the login of the `smtp` log handler.
    pub smtp_login: Option<(String, SecretString)>,
    /// K8SMGR_CRYPT_KEYS: base64 of 32 bytes each, separated by semicolons. They seal what is kept of requests.
    pub crypt_keys: Option<SecretString>,
    /// K8SMGR_CRYPT_KEYS_FILE: the same, one a line.
    pub crypt_keys_file: Option<PathBuf>,
    /// SSHCONFIGFILE: the ssh configuration by which user jobs are reached.
    pub ssh_config_file: Option<PathBuf>,
    /// OUTPOST_BASE_PATH: beneath it hubs of Outpost's protocol are served, too. Begins with a slash and does not end with one;
    /// empty where it is not set.
    pub outpost_base_path: String,
    /// `usernames` and `passwords`, by position: hubs to create at the start.
    pub outpost_users: Vec<(Credential, SecretString)>,
    /// POD_NAME, else HOSTNAME: the pod that we run in.
    pub pod_name: Option<String>,
    /// JUPYTERHUB_CLEANUP_NAMES, _URLS and _TOKENS, every JUPYTERHUB_CLEANUP_SLEEP_TIMER seconds; none where CHECK_SERVICES is
    /// neither `true` nor `1`.
    pub cleanup: Cleanup,
    /// OUTPOST_FLAVORS_PATH and OUTPOST_CREDITS_PATH.
    pub flavors_file: Option<PathBuf>,
    pub credits_file: Option<PathBuf>,
    /// JUPYTERHUB_CHECK_ENDDATES_SLEEP_TIMER in seconds; 0 where CHECK_ENDDATES is neither `true` nor `1`.
    pub end_date_check_seconds: Option<u64>,
    /// All variables: the configuration names some of them, and their values may be credentials.
    variables: BTreeMap<String, SecretString>,
}

impl Environment {
    /// Reads the variables of this process. A variable that is not UTF-8 counts as not set.
    pub fn read() -> Result<Self, EnvironmentError> {
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self::from_variables(&variables.collect(), std::fs::read_to_string(IN_CLUSTER_NAMESPACE).ok())
    }

    pub fn from_variables(
        variables: &BTreeMap<String, String>,
        in_cluster_namespace: Option<String>,
    ) -> Result<Self, EnvironmentError> {
        let get = |name: &str| variables.get(name).map(|it| it.trim()).filter(|it| !it.is_empty()).map(str::to_owned);
        let in_cluster = in_cluster_namespace.map(|it| it.trim().to_owned()).filter(|it| !it.is_empty());
        let namespace = get("DEPLOYMENT_NAMESPACE").or(in_cluster).unwrap_or_else(|| "default".to_owned());
        let secret =
            |name: &str| variables.get(name).filter(|it| !it.is_empty()).map(|value| SecretString::from(value.clone()));
        Ok(Self {
            config_path: get("CONFIG_PATH").map(PathBuf::from),
            stage: get("STAGE").map(|stage| stage.to_lowercase()),
            deployment_name: label("DEPLOYMENT_NAME", get("DEPLOYMENT_NAME").unwrap_or_else(|| "k8smgr".to_owned()))?,
            deployment_namespace: label("DEPLOYMENT_NAMESPACE", namespace)?,
            database_url: match get("DATABASE_URL") {
                Some(url) => Some(SecretUrl::new(url)),
                None => reference_database(&get, variables.get("SQL_PASSWORD"))?,
            },
            tls_files: tls_files(get(TLS_CERTIFICATE), get(TLS_KEY))?,
            superuser_password: secret("SUPERUSER_PASS"),
            smtp_login: get("LOG_SMTP_USER").zip(secret("LOG_SMTP_PASSWORD")),
            crypt_keys: secret("K8SMGR_CRYPT_KEYS"),
            crypt_keys_file: get("K8SMGR_CRYPT_KEYS_FILE").map(PathBuf::from),
            ssh_config_file: get("SSHCONFIGFILE").map(PathBuf::from),
            outpost_base_path: base_path(get("OUTPOST_BASE_PATH")),
            outpost_users: outpost_users(variables)?,
            pod_name: get("POD_NAME").or_else(|| get("HOSTNAME")),
            cleanup: cleanup(&get)?,
            flavors_file: get("OUTPOST_FLAVORS_PATH").map(PathBuf::from),
            credits_file: get("OUTPOST_CREDITS_PATH").map(PathBuf::from),
            end_date_check_seconds: end_date_check(&get)?,
            variables: variables.keys().filter_map(|name| Some((name.clone(), secret(name)?))).collect(),
        })
    }

    /// `<NAME>_USER_PASS`, the name in capitals. Characters that a shell does not take in a variable's name may be `_`.
    pub fn user_password(&self, name: &Credential) -> Option<&SecretString> {
        let exact = name.as_str().to_uppercase();
        let plain: String = exact.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let get = |name: &str| self.variable(&format!("{name}{PASSWORD_SUFFIX}"));
        get(&exact).or_else(|| get(&plain))
    }

    /// A variable that the configuration names.
    pub fn variable(&self, name: &str) -> Option<&SecretString> {
        self.variables.get(name)
    }
}

fn cleanup(get: &impl Fn(&str) -> Option<String>) -> Result<Cleanup, EnvironmentError> {
    let seconds = match get(CLEANUP_INTERVAL) {
        None => Cleanup::INTERVAL_SECONDS,
        Some(text) => match text.parse() {
            Ok(seconds @ 1..) => seconds,
            _ => return Err(EnvironmentError::CleanupInterval(text)),
        },
    };
    let is_on = get("CHECK_SERVICES").is_none_or(|it| matches!(it.to_lowercase().as_str(), "true" | "1"));
    let list = |name| get(name).filter(|_| is_on).unwrap_or_default();
    let (names, urls, tokens) = (list(cleanup::NAMES), list(cleanup::URLS), list(cleanup::TOKENS));
    Ok(Cleanup::of_lists(&names, &urls, &tokens, Duration::from_secs(seconds)))
}

fn end_date_check(get: &impl Fn(&str) -> Option<String>) -> Result<Option<u64>, EnvironmentError> {
    if get("CHECK_ENDDATES").is_some_and(|it| !matches!(it.to_lowercase().as_str(), "true" | "1")) {
        return Ok(Some(0));
    }
    let Some(text) = get(END_DATE_INTERVAL) else { return Ok(None) };
    match text.parse() {
        Ok(seconds @ 1..) => Ok(Some(seconds)),
        _ => Err(EnvironmentError::EndDateInterval(text)),
    }
}

fn tls_files(certificate: Option<String>, key: Option<String>) -> Result<Option<(PathBuf, PathBuf)>, EnvironmentError> {
    let half = |set, missing| Err(EnvironmentError::HalfOfTls { set, missing });
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some((certificate.into(), key.into()))),
        (Some(_), None) => half(TLS_CERTIFICATE, TLS_KEY),
        (None, Some(_)) => half(TLS_KEY, TLS_CERTIFICATE),
        (None, None) => Ok(None),
    }
}

fn base_path(given: Option<String>) -> String {
    let given = given.unwrap_or_default();
    match given.trim_matches('/') {
        "" => String::new(),
        path => format!("/{path}"),
    }
}

/// As Outpost reads them: lists by semicolons, empty items dropped from each, a name without a password left out.
fn outpost_users(variables: &BTreeMap<String, String>) -> Result<Vec<(Credential, SecretString)>, EnvironmentError> {
    let items = |name: &str| {
        let text = variables.get(name).map(String::as_str).unwrap_or_default();
        text.split(';').filter(|it| !it.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    let user = |(index, (name, password)): (usize, (String, String))| match Credential::parse(&name) {
        Ok(credential) => Ok((credential, SecretString::from(password))),
        Err(reason) => Err(EnvironmentError::NotAUser { position: index + 1, reason }),
    };
    items(USERNAMES).into_iter().zip(items(PASSWORDS)).enumerate().map(user).collect()
}

fn label(name: &'static str, value: String) -> Result<String, EnvironmentError> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if value.len() <= 63 && value.chars().all(inner) && !value.starts_with('-') && !value.ends_with('-') {
        Ok(value)
    } else {
        Err(EnvironmentError::NotALabel { name, value })
    }
}

/// The database as the reference's variables describe it, with Django's names of engines.
fn reference_database(
    get: &impl Fn(&str) -> Option<String>,
    password: Option<&String>,
) -> Result<Option<SecretUrl>, EnvironmentError> {
    let Some(engine) = get("SQL_ENGINE") else { return Ok(None) };
    let database = get("SQL_DATABASE").ok_or_else(|| EnvironmentError::MissingDatabase(engine.clone()))?;
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    match engine.as_str() {
        "django.db.backends.sqlite3" => Ok(Some(SecretUrl::new(format!("sqlite://{database}")))),
        "django.db.backends.postgresql" | "django.db.backends.postgresql_psycopg2" => {
            let user = get("SQL_USER").map(|user| encoded(&user)).unwrap_or_default();
            let password = password.filter(|it| !it.is_empty()).map(|it| format!(":{}", encoded(it)));
            let login = match (user.as_str(), password) {
                ("", None) => String::new(),
                (user, password) => format!("{user}{}@", password.unwrap_or_default()),
            };
            let host = get("SQL_HOST").unwrap_or_else(|| "localhost".to_owned());
            let port = get("SQL_PORT").unwrap_or_else(|| "5432".to_owned());
            Ok(Some(SecretUrl::new(format!("postgresql://{login}{host}:{port}/{}", encoded(&database)))))
        }
        _ => Err(EnvironmentError::UnknownEngine(engine)),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Result<Environment, EnvironmentError> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Environment::from_variables(&variables, Some("pods\n".to_owned()))
    }

    #[test]
    fn what_is_not_set_has_a_default() {
        let it = environment(&[("STAGE", ""), ("SUPERUSER_PASS", "")]).unwrap();
        assert_eq!((it.deployment_name.as_str(), it.deployment_namespace.as_str()), ("k8smgr", "pods"));
        assert!(it.stage.is_none() && it.database_url.is_none() && it.superuser_password.is_none());
        assert_eq!(Environment::from_variables(&BTreeMap::new(), None).unwrap().deployment_namespace, "default");
    }

    #[test]
    fn the_stage_is_lower_case() {
        assert_eq!(environment(&[("STAGE", "Production")]).unwrap().stage.as_deref(), Some("production"));
    }

    #[test]
    fn a_user_s_password_is_found_by_name_in_capitals() {
        let it = environment(&[("JUPYTERHUB_USER_PASS", "a"), ("MY_HUB_2_USER_PASS", "b"), ("EMPTY_USER_PASS", "")]);
        let it = it.unwrap();
        let password = |name: &str| it.user_password(&Credential::parse(name).unwrap()).map(|it| it.expose_secret());
        assert_eq!(password("jupyterhub"), Some("a"));
        assert_eq!(password("my-hub.2"), Some("b"));
        assert_eq!(password("empty"), None);
        assert!(!format!("{it:?}").contains("\"b\""));
    }

    #[test]
    fn end_dates_are_looked_at_as_outposts_variables_say() {
        let seconds = |variables: &[(&str, &str)]| environment(variables).map(|it| it.end_date_check_seconds).ok();
        let timer = "JUPYTERHUB_CHECK_ENDDATES_SLEEP_TIMER";
        assert_eq!(seconds(&[]), Some(None));
        assert_eq!(seconds(&[("CHECK_ENDDATES", "True"), (timer, "5")]), Some(Some(5)));
        assert_eq!(seconds(&[("CHECK_ENDDATES", "false"), (timer, "5")]), Some(Some(0)));
        assert_eq!(seconds(&[(timer, "0")]), None);
        let files = environment(&[("OUTPOST_FLAVORS_PATH", "/mnt/flavors/flavors.yaml")]).unwrap();
        assert_eq!(files.flavors_file.as_deref(), Some(std::path::Path::new("/mnt/flavors/flavors.yaml")));
    }

    #[test]
    fn hubs_of_outpost_are_listed_by_position() {
        let users = |names: &str, passwords: &str| {
            let it = environment(&[("usernames", names), ("passwords", passwords)]).unwrap().outpost_users;
            it.iter().map(|(name, password)| format!("{name}={}", password.expose_secret())).collect::<Vec<_>>()
        };
        assert_eq!(users("hub1;hub2", "a;b:c"), ["hub1=a", "hub2=b:c"]);
        assert_eq!(users(";hub1;;hub2;hub3", "a;;b;"), ["hub1=a", "hub2=b"]);
        assert!(users("", "a").is_empty());
        assert!(environment(&[("usernames", "a b"), ("passwords", "x")]).is_err());
        for (given, expected) in [("", ""), ("/", ""), ("/outpost/", "/outpost"), ("a/b", "/a/b")] {
            assert_eq!(environment(&[("OUTPOST_BASE_PATH", given)]).unwrap().outpost_base_path, expected);
        }
    }

    #[test]
    fn the_variables_of_the_reference_name_a_database() {
        let postgres = [
            ("SQL_ENGINE", "django.db.backends.postgresql"),
            ("SQL_DATABASE", "k8s"),
            ("SQL_USER", "me"),
            ("SQL_PASSWORD", "p@ss/:% "),
            ("SQL_HOST", "db"),
        ];
        let url = environment(&postgres).unwrap().database_url.unwrap();
        assert_eq!(url.expose(), "postgresql://me:p%40ss%2F%3A%25%20@db:5432/k8s");
        assert_eq!(url.to_string(), "postgresql://me:***@db:5432/k8s");
        let url = environment(&[("SQL_ENGINE", "django.db.backends.sqlite3"), ("SQL_DATABASE", "/data/db.sqlite3")]);
        assert_eq!(url.unwrap().database_url.unwrap().expose(), "sqlite:///data/db.sqlite3");
        let both = [("DATABASE_URL", "sqlite:///x"), ("SQL_ENGINE", "django.db.backends.mysql")];
        assert_eq!(environment(&both).unwrap().database_url.unwrap().expose(), "sqlite:///x");
        assert_eq!(
            environment(&both[1..]).map(|_| ()).unwrap_err().to_string(),
            "SQL_DATABASE is needed with SQL_ENGINE=django.db.backends.mysql"
        );
    }

    #[test]
    fn lists_of_servers_are_compared_every_half_hour_unless_something_else_is_said() {
        let hub = [
            ("JUPYTERHUB_CLEANUP_NAMES", "hub1"),
            ("JUPYTERHUB_CLEANUP_URLS", "http://hub/hub/api/servers"),
            ("JUPYTERHUB_CLEANUP_TOKENS", "marker"),
        ];
        let found = environment(&hub).unwrap();
        assert_eq!((found.cleanup.hubs.len(), found.cleanup.interval), (1, Duration::from_secs(1800)));
        assert!(!format!("{found:?}").contains("marker"));
        for (text, hubs) in [("false", 0), ("0", 0), ("True", 1), ("1", 1)] {
            let variables = [hub.as_slice(), &[("CHECK_SERVICES", text)]].concat();
            assert_eq!(environment(&variables).unwrap().cleanup.hubs.len(), hubs, "{text}");
        }
        let timer = |text| environment(&[("JUPYTERHUB_CLEANUP_SLEEP_TIMER", text)]).map(|it| it.cleanup.interval);
        assert_eq!(timer("60").unwrap(), Duration::from_secs(60));
        assert_eq!(
            timer("0").unwrap_err().to_string(),
            "JUPYTERHUB_CLEANUP_SLEEP_TIMER is `0`; it must be a number of seconds, at least 1"
        );
    }

    #[test]
    fn tls_needs_certificate_and_key() {
        let (certificate, key) = (("GUNICORN_SSL_CRT", "/tls/tls.crt"), ("GUNICORN_SSL_KEY", "/tls/tls.key"));
        let both = environment(&[certificate, key]).unwrap().tls_files;
        assert_eq!(both, Some((PathBuf::from("/tls/tls.crt"), PathBuf::from("/tls/tls.key"))));
        assert_eq!(environment(&[("GUNICORN_SSL_CRT", ""), ("GUNICORN_SSL_KEY", " ")]).unwrap().tls_files, None);
        assert_eq!(
            environment(&[certificate]).unwrap_err().to_string(),
            "GUNICORN_SSL_CRT is set and GUNICORN_SSL_KEY is not: TLS needs both, its certificate and its key"
        );
        assert!(environment(&[key]).is_err());
    }

    #[test]
    fn a_name_that_no_object_may_have_is_refused() {
        for value in ["K8s", "a_b", "-a", "a.b", &"x".repeat(64)] {
            assert!(environment(&[("DEPLOYMENT_NAME", value)]).is_err(), "{value}");
            assert!(environment(&[("DEPLOYMENT_NAMESPACE", value)]).is_err(), "{value}");
        }
    }
}
