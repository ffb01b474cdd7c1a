//! `DATABASE_URL`: which database, read and checked once. It prints without its password.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use secrecy::{ExposeSecret, SecretString};

/// `sqlite:///absolute/path`, a plain path, `postgres://user:password@host:port/database?sslmode=...`.
#[derive(Clone)]
pub struct DatabaseUrl(Kind);

#[derive(Clone)]
pub(super) enum Kind {
    /// Always absolute, so that SQLite never takes it for a URI of its own.
    Sqlite(PathBuf),
    Postgres(PostgresUrl),
}

#[derive(Clone)]
pub(super) struct PostgresUrl {
    /// Without the options below, which tokio-postgres does not know or knows less of.
    pub(super) url: SecretString,
    pub(super) tls: TlsMode,
    /// `sslrootcert`: a PEM file of the authorities to trust in place of the system's.
    pub(super) root_certificates: Option<PathBuf>,
    shown: String,
}

/// `sslmode`, with libpq's meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TlsMode {
    Disable,
    /// TLS where the server offers it; nobody's certificate is checked.
    Prefer,
    /// TLS or nothing; the certificate is not checked, unless `sslrootcert` is given.
    Require,
    /// TLS, by a certificate that a known authority issued for this host.
    VerifyFull,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DatabaseUrlError {
    #[error(
        "the database URL is empty; give sqlite:///path/to/file, a path, or postgres://user:password@host/database"
    )]
    Empty,
    #[error("unknown kind of database `{0}://`; there are sqlite:// and postgres://")]
    Scheme(String),
    #[error("a SQLite database in memory cannot be shared; give the path of a file")]
    Memory,
    #[error("write sqlite:///absolute/path (three slashes) or sqlite://relative/path; `?` and `#` are not allowed")]
    SqlitePath,
    #[error("failed to make the database path absolute: {0}")]
    Absolute(String),
    #[error(
        "the database URL must be postgres://user:password@host:port/database; write `@` in a password as %40, `/` as %2F, `?` as %3F"
    )]
    Postgres,
    #[error("failed to read the database URL: {0}")]
    PostgresDetail(String),
    #[error("unknown sslmode `{0}`; there are disable, prefer, require, verify-full")]
    SslMode(String),
}

impl DatabaseUrl {
    pub fn sqlite(path: &Path) -> Result<Self, DatabaseUrlError> {
        let path = std::path::absolute(path).map_err(|error| DatabaseUrlError::Absolute(error.to_string()))?;
        Ok(Self(Kind::Sqlite(path)))
    }

    pub(super) fn kind(&self) -> &Kind {
        &self.0
    }
}

impl FromStr for DatabaseUrl {
    type Err = DatabaseUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        match text.split_once("://") {
            _ if text.is_empty() => Err(DatabaseUrlError::Empty),
            _ if text.contains(":memory:") => Err(DatabaseUrlError::Memory),
            Some(("sqlite", path)) if path.is_empty() || path.contains(['?', '#']) => Err(DatabaseUrlError::SqlitePath),
            Some(("sqlite", path)) => Self::sqlite(Path::new(path)),
            Some(("postgres" | "postgresql", rest)) => PostgresUrl::parse(rest).map(|it| Self(Kind::Postgres(it))),
            // What stands before `://` may be a mistyped password; only a plain word is repeated.
            Some((scheme, _)) if scheme.chars().all(|c| c.is_ascii_alphanumeric()) => {
                Err(DatabaseUrlError::Scheme(scheme.to_owned()))
            }
            Some(_) => Err(DatabaseUrlError::Postgres),
            None => Self::sqlite(Path::new(text)),
        }
    }
}

impl PostgresUrl {
    fn parse(rest: &str) -> Result<Self, DatabaseUrlError> {
        let (address, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, _) = address.split_once('/').unwrap_or((address, ""));
        if address.matches('@').count() > 1 || options.contains('@') || address.contains('@') != authority.contains('@')
        {
            return Err(DatabaseUrlError::Postgres);
        }
        let mut tls = TlsMode::Prefer;
        let mut root_certificates = None;
        let mut kept = Vec::new();
        for option in options.split('&').filter(|it| !it.is_empty()) {
            match option.split_once('=') {
                Some(("sslmode", mode)) => tls = mode.parse()?,
                Some(("sslrootcert", path)) => {
                    let path = percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned();
                    root_certificates = (path != "system").then(|| PathBuf::from(path));
                }
                _ => kept.push(option),
            }
        }
        let separator = if kept.is_empty() { "" } else { "?" };
        let url = SecretString::from(format!("postgres://{address}{separator}{}", kept.join("&")));
        tokio_postgres::Config::from_str(url.expose_secret())
            .map_err(|error| DatabaseUrlError::PostgresDetail(error.to_string()))?;
        Ok(Self { url, tls, root_certificates, shown: shown(address) })
    }
}

/// User, host and database; options are left out, since `password=` may be one.
fn shown(address: &str) -> String {
    match address.split_once('@') {
        Some((login, place)) => match login.split_once(':') {
            Some((user, _)) => format!("postgres://{user}:***@{place}"),
            None => format!("postgres://{login}@{place}"),
        },
        None => format!("postgres://{address}"),
    }
}

impl FromStr for TlsMode {
    type Err = DatabaseUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "disable" => Ok(TlsMode::Disable),
            "prefer" => Ok(TlsMode::Prefer),
            "require" => Ok(TlsMode::Require),
            "verify-full" => Ok(TlsMode::VerifyFull),
            _ => Err(DatabaseUrlError::SslMode(text.to_owned())),
        }
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            Kind::Postgres(it) => f.write_str(&it.shown),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<DatabaseUrl, DatabaseUrlError> {
        text.parse()
    }

    #[test]
    fn a_path_and_a_sqlite_url_are_the_same() {
        assert_eq!(
            parse("/var/lib/k8smgr/k8smgr.sqlite3").unwrap().to_string(),
            "sqlite:///var/lib/k8smgr/k8smgr.sqlite3"
        );
        assert_eq!(parse("sqlite:///var/lib/x").unwrap().to_string(), "sqlite:///var/lib/x");
        let here = std::env::current_dir().unwrap().join("x");
        assert_eq!(
            parse("file:x").unwrap().to_string(),
            format!("sqlite://{}", here.with_file_name("file:x").display())
        );
    }

    #[test]
    fn a_password_is_never_printed() {
        let url = parse("postgres://k8smgr:s3cret@db.example.org:5433/jobs?connect_timeout=3&password=0ther").unwrap();
        assert_eq!(
            format!("{url} {url:?}"),
            "postgres://k8smgr:***@db.example.org:5433/jobs postgres://k8smgr:***@db.example.org:5433/jobs"
        );
        for bad in [
            "postgres://u:s3c@ret@host/db",
            "postgres://u:s3c/ret@host/db",
            "postgres://u:s3c?ret@host/db",
            "u:s3cret://x",
            "postgres://u:s3cret@host:port/db",
        ] {
            let error = parse(bad).unwrap_err().to_string();
            assert!(!error.contains("s3c") && !error.contains("ret@"), "{bad}: {error}");
        }
    }

    #[test]
    fn tls_modes_are_libpqs() {
        let tls = |text: &str| match parse(text).unwrap().0 {
            Kind::Postgres(it) => (it.tls, it.root_certificates),
            Kind::Sqlite(path) => panic!("{path:?}"),
        };
        assert_eq!(tls("postgres://host/db").0, TlsMode::Prefer);
        assert_eq!(tls("postgresql://host/db?sslmode=disable").0, TlsMode::Disable);
        assert_eq!(
            tls("postgres://host/db?sslmode=verify-full&sslrootcert=/etc/ca%20one.pem&application_name=x"),
            (TlsMode::VerifyFull, Some(PathBuf::from("/etc/ca one.pem")))
        );
        assert_eq!(
            parse("postgres://host/db?sslmode=allow").unwrap_err(),
            DatabaseUrlError::SslMode("allow".to_owned())
        );
    }

    #[test]
    fn other_urls_are_refused_with_a_reason() {
        assert_eq!(parse(" ").unwrap_err(), DatabaseUrlError::Empty);
        assert_eq!(parse("mysql://host/db").unwrap_err(), DatabaseUrlError::Scheme("mysql".to_owned()));
        assert_eq!(parse("sqlite://:memory:").unwrap_err(), DatabaseUrlError::Memory);
        assert_eq!(parse("sqlite://").unwrap_err(), DatabaseUrlError::SqlitePath);
    }
}
