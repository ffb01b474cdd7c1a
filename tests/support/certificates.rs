//! Certificates made for a test: an authority, what it issues, and every mistake that an operator can make with them.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};

pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        Self {
            issuer: CertifiedIssuer::self_signed(parameters_of_authority(name), KeyPair::generate().unwrap()).unwrap(),
        }
    }

    pub fn expired(name: &str) -> Self {
        let mut parameters = parameters_of_authority(name);
        parameters.not_after = date_time_ymd(2020, 1, 1);
        Self { issuer: CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap() }
    }

    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// For localhost and 127.0.0.1; `name` tells one certificate from another.
    pub fn issue(&self, name: &str) -> Pair {
        self.issue_with(name, |_| {})
    }

    pub fn issue_with(&self, name: &str, edit: impl FnOnce(&mut CertificateParams)) -> Pair {
        self.issue_for(name, KeyPair::generate().unwrap(), edit)
    }

    /// With the years in which it is valid.
    pub fn issue_valid(&self, name: &str, from_year: i32, until_year: i32) -> Pair {
        self.issue_with(name, |it| {
            it.not_before = date_time_ymd(from_year, 1, 1);
            it.not_after = date_time_ymd(until_year, 1, 1);
        })
    }

    pub fn issue_for(&self, name: &str, key: KeyPair, edit: impl FnOnce(&mut CertificateParams)) -> Pair {
        let mut parameters = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        parameters.distinguished_name.push(DnType::CommonName, name);
        edit(&mut parameters);
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap().pem();
        Pair { certificate, key: key.serialize_pem() }
    }
}

fn parameters_of_authority(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    parameters
}
