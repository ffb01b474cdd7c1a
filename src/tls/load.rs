//! The files read and checked, as a whole.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore, crypto::ring};
use sha2::{Digest, Sha256};

use super::certificate::{Facts, Validity, certificates, is_chain, private_key};
use super::{Problem, Role, TlsError, TlsFiles};

/// How often files that change while they are read are read again.
const ATTEMPTS: usize = 5;

/// Two that are the same were made from the same certificates and key.
pub(super) type Identity = [u8; 32];

/// What the files hold, checked.
pub struct Material {
    pub(super) certified_key: CertifiedKey,
    /// Those who may issue the certificates of clients.
    pub(super) authorities: Option<Arc<RootCertStore>>,
    pub(super) identity: Identity,
    pub(super) clients_identity: Identity,
    /// Of our own certificate.
    pub validity: Validity,
    /// Of the certificates behind it, and of the authorities of clients.
    pub others: Vec<(Role, Validity)>,
}

/// The bytes of all files, of one moment.
#[derive(PartialEq)]
struct Bytes {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

/// Reads and checks. Blocks.
pub fn load(files: &TlsFiles, now: Timestamp) -> Result<Material, TlsError> {
    let mut bytes = read(files)?;
    for _ in 0..ATTEMPTS {
        let loaded = check(files, &bytes, now);
        let again = read(files)?;
        if again == bytes {
            return loaded;
        }
        bytes = again;
    }
    Err(TlsError::Unrest)
}

fn read(files: &TlsFiles) -> Result<Bytes, TlsError> {
    let one = |role, file: &Path| {
        fs::read(file).map_err(|source| TlsError::Read { role, file: file.display().to_string(), source })
    };
    let client_ca = files.client_ca.as_deref().map(|file| one(Role::ClientAuthority, file)).transpose()?;
    Ok(Bytes { certificate: one(Role::Certificate, &files.certificate)?, key: one(Role::Key, &files.key)?, client_ca })
}

fn check(files: &TlsFiles, bytes: &Bytes, now: Timestamp) -> Result<Material, TlsError> {
    let bad = |problem| TlsError::bad(Role::Certificate, &files.certificate, problem);
    let chain = certificates(Role::Certificate, &files.certificate, &bytes.certificate)?;
    let facts = facts_of(Role::Certificate, &files.certificate, &chain)?;
    let Some(own) = facts.first() else { return Err(bad(Problem::Empty)) };
    let key = private_key(&files.key, &bytes.key)?;
    let mut identity = Sha256::new();
    chain.iter().for_each(|it| identity.update(it));
    identity.update(key.secret_der());
    let signing = ring::sign::any_supported_type(&key)
        .map_err(|_| TlsError::bad(Role::Key, &files.key, Problem::UnsupportedKey))?;
    let certified_key = CertifiedKey::new(chain.clone(), signing);
    if !belong_together(&certified_key) {
        let is_its_own = |it: &CertificateDer<'static>| {
            belong_together(&CertifiedKey::new(vec![it.clone()], certified_key.key.clone()))
        };
        let other = chain.iter().position(is_its_own);
        return Err(bad(other.map_or(Problem::Mismatch, |index| Problem::KeyOfAnother(index + 1))));
    }
    if let Some(problem) = own.validity.problem(now) {
        return Err(bad(problem));
    }
    if !is_chain(&chain, now) {
        return Err(bad(Problem::ForeignChain));
    }
    let mut others: Vec<_> = facts.iter().skip(1).map(|it| (Role::Certificate, it.validity)).collect();
    let mut clients_identity = Sha256::new();
    let authorities = match (&files.client_ca, &bytes.client_ca) {
        (Some(file), Some(bytes)) => {
            let (found, validities) = authorities(file, bytes, now)?;
            found.iter().for_each(|it| clients_identity.update(it));
            others.extend(validities.into_iter().map(|it| (Role::ClientAuthority, it)));
            Some(Arc::new(roots(file, &found)?))
        }
        _ => None,
    };
    let clients_identity: Identity = clients_identity.finalize().into();
    identity.update(clients_identity);
    let (identity, validity) = (identity.finalize().into(), own.validity);
    Ok(Material { certified_key, authorities, identity, clients_identity, validity, others })
}

/// Whether the key is that of the first certificate.
fn belong_together(pair: &CertifiedKey) -> bool {
    matches!(pair.keys_match(), Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)))
}

fn facts_of(role: Role, file: &Path, found: &[CertificateDer<'_>]) -> Result<Vec<Facts>, TlsError> {
    let one =
        |(index, it)| Facts::of(it).ok_or_else(|| TlsError::bad(role, file, Problem::UnreadableCertificate(index + 1)));
    found.iter().enumerate().map(one).collect()
}

/// The authorities that are valid now, at least one: who verifies does not ask for their time.
fn authorities(
    file: &Path,
    bytes: &[u8],
    now: Timestamp,
) -> Result<(Vec<CertificateDer<'static>>, Vec<Validity>), TlsError> {
    let bad = |problem| TlsError::bad(Role::ClientAuthority, file, problem);
    let found = certificates(Role::ClientAuthority, file, bytes)?;
    let facts = facts_of(Role::ClientAuthority, file, &found)?;
    if let Some(index) = facts.iter().position(|it| !it.is_authority) {
        return Err(bad(Problem::NoAuthority(index + 1)));
    }
    let all = found.into_iter().zip(facts.iter().map(|it| it.validity));
    let (found, valid): (Vec<_>, Vec<_>) = all.filter(|(_, it)| it.problem(now).is_none()).unzip();
    match facts.first().and_then(|it| it.validity.problem(now)) {
        _ if !found.is_empty() => Ok((found, valid)),
        Some(problem) if facts.len() == 1 => Err(bad(problem)),
        _ => Err(bad(Problem::ExpiredAuthorities)),
    }
}

fn roots(file: &Path, found: &[CertificateDer<'static>]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for (index, it) in found.iter().enumerate() {
        let problem = || TlsError::bad(Role::ClientAuthority, file, Problem::UnreadableCertificate(index + 1));
        roots.add(it.clone()).map_err(|_| problem())?;
    }
    Ok(roots)
}
