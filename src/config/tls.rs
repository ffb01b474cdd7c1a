//! Section `tls`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// HTTPS instead of HTTP, TLS 1.2 and 1.3. The files are followed: new contents apply to new connections as soon as they
/// are good, open connections go on, and bad contents are kept out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Tls {
    /// PEM file with the certificate, then those that lead to its authority; needs `key`. The environment's
    /// `GUNICORN_SSL_CRT` and `GUNICORN_SSL_KEY` come first. Without any: HTTP. Restart.
    pub certificate: Option<PathBuf>,
    /// PEM file with the private key of the certificate, not encrypted. Restart.
    pub key: Option<PathBuf>,
    /// PEM file with the authorities whose certificates clients may show. Without it clients are asked for none. Logins
    /// are needed all the same. Restart.
    pub client_ca: Option<PathBuf>,
    /// Whether a client has to show a certificate of `client_ca`: `optional` (it may, and a wrong one is refused) or
    /// `required` (kubelets have none: set `metrics.listen` for their probes). Restart.
    pub client_certificates: ClientCertificates,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientCertificates {
    #[default]
    Optional,
    Required,
}

impl Tls {
    /// What is missing, with the key that it is about.
    pub(super) fn incomplete(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Self { certificate: Some(_), key: None, .. } => Some(("tls.key", "must be set where tls.certificate is")),
            Self { certificate: None, key: Some(_), .. } => Some(("tls.certificate", "must be set where tls.key is")),
            Self { client_ca: None, client_certificates: ClientCertificates::Required, .. } => {
                Some(("tls.client_ca", "must be set where tls.client_certificates is `required`"))
            }
            _ => None,
        }
    }
}
