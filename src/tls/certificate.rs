//! What a PEM file holds, what a certificate says, and whether the certificates of a file belong together.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_cert::der::Decode;
use x509_cert::ext::pkix::BasicConstraints;
use x509_cert::{Certificate, Version};

use super::{Problem, Role, TlsError};

/// How DER begins.
const DER_SEQUENCE: u8 = 0x30;

/// From when until when a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

impl Validity {
    /// Whether its time is nearly over: `part` of its whole time is left, or `longest`, whichever is less.
    pub fn ends_soon(&self, now: Timestamp, part: u32, longest: Duration) -> bool {
        let whole = self.not_after.duration_since(self.not_before).unsigned_abs();
        let left = self.not_after.duration_since(now);
        left.is_negative() || left.unsigned_abs() < (whole / part.max(1)).min(longest)
    }

    pub(super) fn problem(&self, now: Timestamp) -> Option<Problem> {
        match () {
            () if now > self.not_after => Some(Problem::Expired(self.not_after)),
            () if now < self.not_before => Some(Problem::NotYetValid(self.not_before)),
            () => None,
        }
    }
}

/// What is read of a certificate.
pub(super) struct Facts {
    pub validity: Validity,
    pub is_authority: bool,
}

impl Facts {
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let parsed = Certificate::from_der(certificate).ok()?.tbs_certificate;
        let at = |time: x509_cert::time::Time| {
            Timestamp::from_second(i64::try_from(time.to_unix_duration().as_secs()).ok()?).ok()
        };
        let validity =
            Validity { not_before: at(parsed.validity.not_before)?, not_after: at(parsed.validity.not_after)? };
        // The first version had nothing to say so by.
        let is_authority = match parsed.get::<BasicConstraints>() {
            Ok(Some((_, constraints))) => constraints.ca,
            Ok(None) => parsed.version == Version::V1,
            Err(_) => false,
        };
        Some(Self { validity, is_authority })
    }
}

/// All certificates of a file, at least one.
pub(super) fn certificates(role: Role, file: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bad = |problem| TlsError::bad(role, file, problem);
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    // What the parser says may hold a line of the file.
    let found = found.map_err(|_| bad(Problem::DamagedPem))?;
    if found.is_empty() {
        let holds_key = PrivateKeyDer::from_pem_slice(bytes).is_ok() || is_encrypted(bytes);
        return Err(bad(if holds_key { Problem::KeyInPlaceOfCertificate } else { nothing_in(bytes) }));
    }
    Ok(found)
}

pub(super) fn private_key(file: &Path, bytes: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    let bad = |problem| TlsError::bad(Role::Key, file, problem);
    if is_encrypted(bytes) {
        return Err(bad(Problem::EncryptedKey));
    }
    PrivateKeyDer::from_pem_slice(bytes).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => {
            let holds_certificate = CertificateDer::from_pem_slice(bytes).is_ok();
            bad(if holds_certificate { Problem::CertificateInPlaceOfKey } else { nothing_in(bytes) })
        }
        // Its text may hold a line of the key.
        _ => bad(Problem::DamagedPem),
    })
}

fn is_encrypted(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") || text.contains("Proc-Type: 4,ENCRYPTED")
}

fn nothing_in(bytes: &[u8]) -> Problem {
    match bytes.first() {
        _ if bytes.trim_ascii().is_empty() => Problem::Empty,
        Some(&DER_SEQUENCE) if !bytes.is_ascii() => Problem::Der,
        _ => Problem::NoPem,
    }
}

/// Whether the first certificate was issued by the others, where there are others. They are trusted here: whether the
/// one at their end is, is for clients to say.
pub(super) fn is_chain(certificates: &[CertificateDer<'_>], now: Timestamp) -> bool {
    let Some((own, issuers)) = certificates.split_first() else { return false };
    let Ok(own) = EndEntityCert::try_from(own) else { return false };
    let anchors: Vec<_> = issuers.iter().filter_map(|it| anchor_from_trusted_cert(it).ok()).collect();
    let time = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.as_second()).unwrap_or_default()));
    let algorithms = ring::default_provider().signature_verification_algorithms.all;
    let verified = own.verify_for_usage(algorithms, &anchors, &[], time, KeyUsage::server_auth(), None, None);
    // What only this library cannot do (a curve that it does not know) is for clients to judge, too.
    issuers.is_empty()
        || !matches!(verified, Err(webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey))
}
