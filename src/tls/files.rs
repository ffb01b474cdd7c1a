//! Which files there are.

use std::path::{Path, PathBuf};

use super::TlsError;
use crate::config::{ClientCertificates, Environment, Tls};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub client_ca: Option<PathBuf>,
    pub client_certificates: ClientCertificates,
}

impl TlsFiles {
    /// The environment comes before the configuration. `None`: HTTP without TLS.
    pub fn of(config: &Tls, environment: &Environment) -> Result<Option<Self>, TlsError> {
        let configured = || config.certificate.clone().zip(config.key.clone());
        let (client_ca, client_certificates) = (config.client_ca.clone(), config.client_certificates);
        match environment.tls_files.clone().or_else(configured) {
            Some((certificate, key)) => Ok(Some(Self { certificate, key, client_ca, client_certificates })),
            None if client_ca.is_some() => Err(TlsError::NothingToServe),
            None => Ok(None),
        }
    }

    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        [&self.certificate, &self.key].into_iter().chain(&self.client_ca).map(PathBuf::as_path)
    }
}
