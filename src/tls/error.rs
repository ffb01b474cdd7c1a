//! What can be wrong with the files, and what to do about it.

use std::fmt;
use std::path::Path;

use jiff::Timestamp;

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Certificate,
    Key,
    ClientAuthority,
}

impl fmt::Display for Role {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Role::Certificate => "TLS certificate",
            Role::Key => "TLS key",
            Role::ClientAuthority => "certificate authority of clients",
        })
    }
}

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("tls.client_ca is set without a certificate to serve; set tls.certificate and tls.key, or remove it")]
    NothingToServe,
    #[error("failed to read the {role} {file}; it must be there, and readable for the user that K8s Manager runs as")]
    Read { role: Role, file: String, source: std::io::Error },
    #[error("the {role} {file} {problem}")]
    Bad { role: Role, file: String, problem: Problem },
    #[error("the files of TLS change while they are read")]
    Unrest,
    #[error("failed to set up TLS")]
    Setup(#[source] rustls::Error),
}

impl TlsError {
    pub(super) fn bad(role: Role, file: &Path, problem: Problem) -> Self {
        Self::Bad { role, file: file.display().to_string(), problem }
    }

    /// For who may not know paths.
    pub fn without_paths(&self) -> String {
        match self {
            Self::Read { role, .. } => format!("the {role} cannot be read"),
            Self::Bad { role, problem, .. } => format!("the {role} {}", problem.what()),
            other => other.to_string(),
        }
    }
}

/// What is wrong with a file that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    Empty,
    NoPem,
    Der,
    DamagedPem,
    KeyInPlaceOfCertificate,
    CertificateInPlaceOfKey,
    EncryptedKey,
    UnsupportedKey,
    /// Another certificate of the file, counted from one, is the key's.
    KeyOfAnother(usize),
    Mismatch,
    UnreadableCertificate(usize),
    Expired(Timestamp),
    NotYetValid(Timestamp),
    ForeignChain,
    NoAuthority(usize),
    ExpiredAuthorities,
}

impl Problem {
    /// What is wrong, as the end of a sentence that begins with the file.
    pub fn what(&self) -> String {
        match self {
            Self::Empty => "is empty".to_owned(),
            Self::NoPem => "is not in PEM".to_owned(),
            Self::Der => "is in DER, not in PEM".to_owned(),
            Self::DamagedPem => "is damaged: a PEM block is cut off or is no base64".to_owned(),
            Self::KeyInPlaceOfCertificate => "holds a private key and no certificate".to_owned(),
            Self::CertificateInPlaceOfKey => "holds a certificate and no private key".to_owned(),
            Self::EncryptedKey => "is encrypted with a passphrase, which nobody is here to give".to_owned(),
            Self::UnsupportedKey => "is of a kind or length that is not supported".to_owned(),
            Self::KeyOfAnother(number) => {
                format!("begins with a certificate that is not the key's: the key belongs to number {number} in it")
            }
            Self::Mismatch => "does not belong to the TLS key".to_owned(),
            Self::UnreadableCertificate(number) => format!("holds a certificate, number {number}, that is no X.509"),
            Self::Expired(since) => format!("has expired, at {since:.0}"),
            Self::NotYetValid(from) => format!("is not valid before {from:.0}"),
            Self::ForeignChain => "holds certificates of an authority that did not issue the first one".to_owned(),
            Self::NoAuthority(number) => {
                format!("holds a certificate, number {number}, that is not one of a certificate authority")
            }
            Self::ExpiredAuthorities => "holds only certificates that have expired".to_owned(),
        }
    }

    fn remedy(&self) -> &'static str {
        match self {
            Self::Empty | Self::NoPem => {
                "give a file with blocks -----BEGIN CERTIFICATE----- (a key: -----BEGIN PRIVATE KEY-----)"
            }
            Self::Der => "convert it: openssl x509 -inform der -in FILE (a key: openssl pkey -inform der -in FILE)",
            Self::DamagedPem => "copy it again, whole",
            Self::KeyInPlaceOfCertificate | Self::CertificateInPlaceOfKey => {
                "perhaps the paths of certificate and key are exchanged"
            }
            Self::EncryptedKey => "decrypt it: openssl pkey -in FILE -out NEW, and let nobody else read it",
            Self::UnsupportedKey => "use ECDSA on P-256 or P-384, Ed25519, or RSA of 2048 bits or more",
            Self::KeyOfAnother(_) => "put the server's own certificate first, then those that lead to its authority",
            Self::Mismatch => "give the certificate that was issued for this key, or the key of this certificate",
            Self::UnreadableCertificate(_) => "ask for it again, or remove it from the file",
            Self::Expired(_) => "renew it",
            Self::NotYetValid(_) => "wait until then, or correct this machine's clock",
            Self::ForeignChain => "after the server's own certificate put those of its issuers and no others",
            Self::NoAuthority(_) => {
                "give the certificate of the authority that issued those of the clients, not one of theirs"
            }
            Self::ExpiredAuthorities => "give the authority's present certificate",
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}; {}", self.what(), self.remedy())
    }
}
