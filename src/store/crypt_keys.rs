//! The keys that seal what is kept of requests, and the text that a sealed column holds: AES-256-GCM with a random nonce.
//!
//! `sealed:1:<key id>:<base64 of nonce, ciphertext and tag>`. The first key seals, all of them open. Where a text stands is
//! authenticated along with it, so that it is worth nothing in another row or column. What is in clear is JSON, YAML or a plain
//! word, and never of this form. With random nonces a key is good for some 2^32 texts.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_STANDARD;
use rand::RngExt;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use sha2::{Digest, Sha256};

const FORM: &str = "sealed:1:";
const KEY_LENGTH: usize = 32;
const ID_LENGTH: usize = 8;
/// Nobody else hashes a key behind these words.
const ID_DOMAIN: &[u8] = b"k8smgr crypt key id\0";
/// The variable that holds keys, separated by semicolons.
pub const VARIABLE: &str = "K8SMGR_CRYPT_KEYS";
/// The variable that names a file with a key a line.
pub const FILE_VARIABLE: &str = "K8SMGR_CRYPT_KEYS_FILE";

#[derive(Debug, thiserror::Error)]
pub enum CryptKeysError {
    #[error("key {position} in {place} is not the base64 of 32 bytes; `openssl rand -base64 32` makes one")]
    NotAKey { place: String, position: usize },
    #[error("there is no key in {place}")]
    NoKey { place: String },
    #[error("failed to read {path}, the file of {FILE_VARIABLE}")]
    Read { path: PathBuf, source: std::io::Error },
}

/// The id of a key: the first digits of a hash of it. It says nothing about the key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(String);

impl KeyId {
    fn of(key: &[u8]) -> Self {
        let digest = Sha256::new().chain_update(ID_DOMAIN).chain_update(key).finalize();
        Self(digest.iter().take(ID_LENGTH / 2).map(|byte| format!("{byte:02x}")).collect())
    }

    /// `None`: no key has such an id.
    pub fn parse(text: &str) -> Option<Self> {
        let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        (text.len() == ID_LENGTH && text.chars().all(is_hex)).then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a sealed text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// `<table>.<column>`.
    pub column: &'static str,
    /// What tells the row from all others, and never changes.
    pub row: &'a str,
}

impl Place<'_> {
    fn authenticated(self) -> Aad<Vec<u8>> {
        Aad::from(format!("k8smgr\0{}\0{}", self.column, self.row).into_bytes())
    }
}

/// Why a text cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOpened {
    #[error("it is sealed by the key {0}, which is not among those of {VARIABLE} and {FILE_VARIABLE}")]
    UnknownKey(KeyId),
    #[error("it was sealed by the key {0} and is damaged, or was sealed in another place")]
    Damaged(KeyId),
}

/// How a text is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    Clear,
    /// By the key that seals.
    Sealed,
    /// By another key that we have.
    SealedBefore,
    Closed(NotOpened),
}

#[derive(Clone)]
struct Key {
    id: KeyId,
    key: LessSafeKey,
}

/// The keys, the one that seals first. None: all is kept in clear.
#[derive(Clone, Default)]
pub struct CryptKeys(Arc<[Key]>);

impl fmt::Debug for CryptKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|it| it.id.to_string())).finish()
    }
}

impl CryptKeys {
    /// The keys of the variable, then those of the file: `#` begins a line that is none. A variable or file that is named
    /// holds a key.
    pub fn read(variable: Option<&SecretString>, file: Option<&Path>) -> Result<Self, CryptKeysError> {
        let mut keys = Vec::new();
        if let Some(text) = variable {
            parse(&mut keys, VARIABLE, text.expose_secret().split(';'))?;
        }
        if let Some(path) = file {
            let read = std::fs::read_to_string(path).map(SecretString::from);
            let text = read.map_err(|source| CryptKeysError::Read { path: path.to_owned(), source })?;
            let lines = text.expose_secret().lines().filter(|it| !it.trim_start().starts_with('#'));
            parse(&mut keys, &path.display().to_string(), lines)?;
        }
        Ok(Self(keys.into()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The id of the key that seals.
    pub fn sealing(&self) -> Option<&KeyId> {
        self.0.first().map(|it| &it.id)
    }

    /// What to keep of a text: itself where there are no keys. `None`: it is too long to be sealed.
    pub(super) fn seal(&self, place: Place<'_>, text: String) -> Option<String> {
        let Some(Key { id, key }) = self.0.first() else { return Some(text) };
        let nonce: [u8; NONCE_LEN] = rand::rng().random();
        let mut sealed = Vec::with_capacity(NONCE_LEN + text.len() + AES_256_GCM.tag_len());
        sealed.extend_from_slice(&nonce);
        let mut message = text.into_bytes();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = key.seal_in_place_separate_tag(nonce, place.authenticated(), &mut message).ok()?;
        sealed.extend_from_slice(&message);
        sealed.extend_from_slice(tag.as_ref());
        Some(format!("{FORM}{id}:{}", BASE64_STANDARD.encode(sealed)))
    }

    /// A text as it was before it was sealed; one that is in clear as it is.
    pub(super) fn open<'a>(&self, place: Place<'_>, text: &'a str) -> Result<Cow<'a, str>, NotOpened> {
        let Some(sealed) = Sealed::parse(text) else { return Ok(Cow::Borrowed(text)) };
        let mut of_this_id = self.0.iter().filter(|it| it.id == sealed.key_id).peekable();
        if of_this_id.peek().is_none() {
            return Err(NotOpened::UnknownKey(sealed.key_id));
        }
        // Two keys may have the same id, by a chance of one in four thousand millions.
        let opened = of_this_id.find_map(|it| sealed.open(&it.key, place));
        opened.map(Cow::Owned).ok_or(NotOpened::Damaged(sealed.key_id))
    }

    pub(super) fn kept(&self, place: Place<'_>, text: &str) -> Kept {
        let Some(sealed) = Sealed::parse(text) else { return Kept::Clear };
        match self.open(place, text) {
            Err(error) => Kept::Closed(error),
            Ok(_) if self.sealing() == Some(&sealed.key_id) => Kept::Sealed,
            Ok(_) => Kept::SealedBefore,
        }
    }
}

fn parse<'a>(keys: &mut Vec<Key>, place: &str, texts: impl Iterator<Item = &'a str>) -> Result<(), CryptKeysError> {
    let texts: Vec<&str> = texts.map(str::trim).filter(|it| !it.is_empty()).collect();
    if texts.is_empty() {
        return Err(CryptKeysError::NoKey { place: place.to_owned() });
    }
    for (index, text) in texts.into_iter().enumerate() {
        let not_a_key = || CryptKeysError::NotAKey { place: place.to_owned(), position: index + 1 };
        let bytes = key_bytes(text).ok_or_else(not_a_key)?;
        let bytes = bytes.expose_secret();
        let key = UnboundKey::new(&AES_256_GCM, bytes).map_err(|_| not_a_key())?;
        keys.push(Key { id: KeyId::of(bytes), key: LessSafeKey::new(key) });
    }
    Ok(())
}

/// Of either alphabet, with or without `=` at its end.
fn key_bytes(text: &str) -> Option<SecretSlice<u8>> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let alphabet = match text.contains(['-', '_']) {
        true => base64::alphabet::URL_SAFE,
        false => base64::alphabet::STANDARD,
    };
    let bytes = SecretSlice::from(GeneralPurpose::new(&alphabet, config).decode(text).ok()?);
    (bytes.expose_secret().len() == KEY_LENGTH).then_some(bytes)
}

/// A sealed text, taken apart.
struct Sealed {
    key_id: KeyId,
    nonce: [u8; NONCE_LEN],
    message: Vec<u8>,
}

impl Sealed {
    /// `None`: it is in clear.
    fn parse(text: &str) -> Option<Self> {
        let (id, encoded) = text.strip_prefix(FORM)?.split_once(':')?;
        let bytes = BASE64_STANDARD.decode(encoded).ok()?;
        let (nonce, message) = bytes.split_first_chunk()?;
        Some(Self { key_id: KeyId::parse(id)?, nonce: *nonce, message: message.to_vec() })
    }

    fn open(&self, key: &LessSafeKey, place: Place<'_>) -> Option<String> {
        let mut message = self.message.clone();
        let nonce = Nonce::assume_unique_for_key(self.nonce);
        let opened = key.open_in_place(nonce, place.authenticated(), &mut message).ok()?.len();
        message.truncate(opened);
        String::from_utf8(message).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place<'_> = Place { column: "services.user_options", row: "lab-s1" };
    const ONE: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const TWO: &str = "-_________________________________________8";

    fn keys(text: &str) -> Result<CryptKeys, CryptKeysError> {
        CryptKeys::read(Some(&SecretString::from(text.to_owned())), None)
    }

    #[test]
    fn a_text_is_opened_where_it_was_sealed_and_nowhere_else() {
        let keys = keys(ONE).unwrap();
        let sealed = keys.seal(HERE, r#"{"token":"canary"}"#.to_owned()).unwrap();
        assert!(sealed.starts_with("sealed:1:") && !sealed.contains("canary"));
        assert_eq!(keys.open(HERE, &sealed).unwrap(), r#"{"token":"canary"}"#);
        assert_ne!(keys.seal(HERE, r#"{"token":"canary"}"#.to_owned()).unwrap(), sealed, "the nonce is another");
        let damaged = Err(NotOpened::Damaged(keys.sealing().unwrap().clone()));
        assert_eq!(keys.open(Place { row: "lab-s2", ..HERE }, &sealed), damaged);
        assert_eq!(keys.open(Place { column: "services.details", ..HERE }, &sealed), damaged);
        // Another letter of the alphabet, whichever stood there: what is no Base64 was never sealed.
        let mut changed = sealed;
        let other = if changed.as_bytes()[40] == b'A' { "B" } else { "A" };
        changed.replace_range(40..41, other);
        assert_eq!(keys.open(HERE, &changed), damaged);
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let (old, both) = (keys(ONE).unwrap(), keys(&format!(" {TWO} ; {ONE};")).unwrap());
        let sealed = old.seal(HERE, "text".to_owned()).unwrap();
        assert_eq!((old.kept(HERE, &sealed), both.kept(HERE, &sealed)), (Kept::Sealed, Kept::SealedBefore));
        assert_eq!(both.open(HERE, &sealed).unwrap(), "text");
        let anew = both.seal(HERE, "text".to_owned()).unwrap();
        assert_eq!(both.kept(HERE, &anew), Kept::Sealed);
        assert_eq!(old.open(HERE, &anew), Err(NotOpened::UnknownKey(both.sealing().unwrap().clone())));
        assert_eq!(
            CryptKeys::default().open(HERE, &sealed),
            Err(NotOpened::UnknownKey(old.sealing().unwrap().clone()))
        );
    }

    #[test]
    fn what_is_in_clear_stays_readable() {
        for keys in [CryptKeys::default(), keys(ONE).unwrap()] {
            for text in [
                "",
                "{}",
                "kind: Pod\n",
                "sealed:1:",
                "sealed:1:abc: 1",
                "sealed:1:0123abcd:x y",
                "sealed:2:0123abcd:AAAA",
            ] {
                assert_eq!((keys.open(HERE, text).unwrap(), keys.kept(HERE, text)), (text.into(), Kept::Clear));
            }
        }
        assert_eq!(CryptKeys::default().seal(HERE, "{}".to_owned()).unwrap(), "{}");
    }

    #[test]
    fn the_id_of_a_key_is_always_the_same_and_the_key_is_never_shown() {
        let keys = keys(&format!("{ONE};{TWO}")).unwrap();
        assert_eq!(format!("{keys:?}"), r#"["f828fc5b", "410a94f6"]"#);
        let error = CryptKeys::read(Some(&SecretString::from(format!("{ONE};c2VjcmV0"))), None).unwrap_err();
        let told = "key 2 in K8SMGR_CRYPT_KEYS is not the base64 of 32 bytes; `openssl rand -base64 32` makes one";
        assert_eq!(error.to_string(), told);
    }

    #[test]
    fn a_file_holds_a_key_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        std::fs::write(&path, format!("# of 2026\n{TWO}\n\n{ONE}\n")).unwrap();
        let read = CryptKeys::read(None, Some(&path)).unwrap();
        assert_eq!(format!("{read:?}"), format!("{:?}", keys(&format!("{TWO};{ONE}")).unwrap()));
        let both = CryptKeys::read(Some(&SecretString::from(ONE.to_owned())), Some(&path)).unwrap();
        assert_eq!((both.0.len(), both.sealing()), (3, keys(ONE).unwrap().sealing()));
        std::fs::write(&path, "# none\n").unwrap();
        assert!(matches!(CryptKeys::read(None, Some(&path)), Err(CryptKeysError::NoKey { .. })));
        assert!(matches!(CryptKeys::read(None, Some(folder.path())), Err(CryptKeysError::Read { .. })));
        for bad in ["x", "AAEC", &ONE[1..], "canary canary canary canary canary canary "] {
            assert!(matches!(keys(bad), Err(CryptKeysError::NotAKey { position: 1, .. })), "{bad}");
        }
    }
}
