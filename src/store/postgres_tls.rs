//! TLS for PostgreSQL by rustls, with libpq's idea of what each `sslmode` checks.

use tokio_postgres_rustls::MakeRustlsConnect;

use super::url::{PostgresUrl, TlsMode};
use crate::tls::trust::{self, Trust, TrustError};

/// `prefer` and `require` encrypt and do not ask who the server is, as libpq documents them.
pub(super) fn connector(url: &PostgresUrl) -> Result<Option<MakeRustlsConnect>, TrustError> {
    let trust = match (url.tls, &url.root_certificates) {
        (TlsMode::Disable, _) => return Ok(None),
        (TlsMode::Prefer, _) | (TlsMode::Require, None) => Trust::Anyone,
        (TlsMode::Require | TlsMode::VerifyFull, Some(file)) => Trust::Authority(file),
        (TlsMode::VerifyFull, None) => Trust::System,
    };
    Ok(Some(MakeRustlsConnect::new(trust::client(trust)?)))
}
