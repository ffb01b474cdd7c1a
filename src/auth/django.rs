//! Password hashes as Django writes them, in databases that were taken over: checked until the next login, which
//! replaces them.

use std::num::NonZeroU32;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::pbkdf2;

const PBKDF2: &str = "pbkdf2_sha256$";
/// Django's argon2 hashes are the standard's text behind this word.
const ARGON2: &str = "argon2$argon2id$";

/// How a hash of the reference's database is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportedHash {
    Kept(String),
    /// The user never had a password: only tokens let it in.
    NoPassword,
    /// Made by a method that nothing here can check; its name.
    Unknown(String),
}

pub fn imported_hash(hash: &str) -> ImportedHash {
    if hash.is_empty() || hash.starts_with('!') {
        return ImportedHash::NoPassword;
    }
    if Pbkdf2::parse(hash).is_some() {
        return ImportedHash::Kept(hash.to_owned());
    }
    if hash.starts_with(ARGON2) {
        return ImportedHash::Kept(hash.trim_start_matches("argon2").to_owned());
    }
    // Never the hash itself.
    let method = hash.split_once('$').map_or("", |(method, _)| method);
    let is_word = method.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    ImportedHash::Unknown(if is_word && !method.is_empty() { method } else { "unknown" }.to_owned())
}

/// Whether a hash is of this form.
pub(super) fn is_django(hash: &str) -> bool {
    hash.starts_with(PBKDF2)
}

/// Whether the password has this hash. Slow on purpose: for threads that may block.
pub(super) fn matches(password: &str, hash: &str) -> bool {
    Pbkdf2::parse(hash).is_some_and(|it| {
        let (salt, password) = (it.salt.as_bytes(), password.as_bytes());
        pbkdf2::verify(pbkdf2::PBKDF2_HMAC_SHA256, it.iterations, salt, password, &it.digest).is_ok()
    })
}

struct Pbkdf2<'a> {
    iterations: NonZeroU32,
    salt: &'a str,
    digest: Vec<u8>,
}

impl<'a> Pbkdf2<'a> {
    fn parse(hash: &'a str) -> Option<Self> {
        let mut parts = hash.strip_prefix(PBKDF2)?.split('$');
        let (iterations, salt, digest) = (parts.next()?, parts.next()?, parts.next()?);
        let digest = BASE64_STANDARD.decode(digest).ok().filter(|it| it.len() == 32)?;
        let parsed = Self { iterations: iterations.parse().ok()?, salt, digest };
        parts.next().is_none().then_some(parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by the reference: `jupyterhub` with the password of the records.
    const HASH: &str = "pbkdf2_sha256$260000$hk4RVtNFkWDBld9sqNPsIN$pZgXel3Qii9wyGzNS6azs31ggb7PKl/xmumIy/70fFg=";

    /// The same password in a quick form.
    const QUICK: &str = "pbkdf2_sha256$1000$salt$oNw/UzWGW0RbXtf+b4FD45H2JJylwUTf5mGi72UT9mU=";

    #[test]
    fn a_hash_that_the_reference_made_is_checked() {
        assert!(matches("jhubpw", HASH));
        assert!(matches("jhubpw", QUICK));
        for wrong in ["", "jhubpW", "jhubpw "] {
            assert!(!matches(wrong, QUICK), "{wrong}");
        }
        for damaged in ["1001", "0", "-1", "x"] {
            assert!(!matches("jhubpw", &QUICK.replace("1000", damaged)), "{damaged}");
        }
        assert!(!matches("jhubpw", QUICK.trim_end_matches('=')));
        assert!(!matches("jhubpw", &format!("{QUICK}$")));
    }

    #[test]
    fn what_cannot_be_checked_is_told_by_its_name_alone() {
        assert_eq!(imported_hash(HASH), ImportedHash::Kept(HASH.to_owned()));
        assert_eq!(imported_hash("!xyz"), ImportedHash::NoPassword);
        let argon2 = "$argon2id$v=19$m=102400,t=2,p=8$c2FsdA$aGFzaA";
        assert_eq!(imported_hash(&format!("argon2{argon2}")), ImportedHash::Kept(argon2.to_owned()));
        assert_eq!(imported_hash("bcrypt_sha256$$2b$12$abc"), ImportedHash::Unknown("bcrypt_sha256".to_owned()));
        assert_eq!(imported_hash("s3cret password"), ImportedHash::Unknown("unknown".to_owned()));
        assert_eq!(imported_hash("pbkdf2_sha256$x$y"), ImportedHash::Unknown("pbkdf2_sha256".to_owned()));
    }
}
