//! Fernet, by which JupyterHub Outpost seals what it keeps: AES-128-CBC with PKCS#7 padding, signed with HMAC-SHA256. Only opened
//! here, never made (<https://github.com/fernet/spec/blob/master/Spec.md>). How old a token is does not count.

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, KeyIvInit};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE;
use ring::hmac;
use secrecy::{ExposeSecret, SecretSlice, SecretString};

const VERSION: u8 = 0x80;
/// Version and time.
const HEAD: usize = 1 + 8;
const IV: usize = 16;
const SIGNATURE: usize = 32;
const HALF_OF_KEY: usize = 16;

#[derive(Debug, thiserror::Error)]
pub enum FernetError {
    #[error("OUTPOST_CRYPT_KEY is no Fernet key: that is the base64 (URL-safe) of 32 bytes")]
    Key,
    #[error("it is no Fernet token")]
    NoToken,
    #[error("OUTPOST_CRYPT_KEY does not open it: give the key that the Outpost has")]
    WrongKey,
}

/// The key, of which the first half signs.
pub struct FernetKey {
    signing: hmac::Key,
    encryption: SecretSlice<u8>,
}

impl FernetKey {
    pub fn parse(text: &SecretString) -> Result<Self, FernetError> {
        let bytes = BASE64_URL_SAFE.decode(text.expose_secret().trim()).map_err(|_| FernetError::Key)?;
        let bytes = SecretSlice::from(bytes);
        match bytes.expose_secret().split_at_checked(HALF_OF_KEY) {
            Some((signing, encryption)) if encryption.len() == HALF_OF_KEY => Ok(Self {
                signing: hmac::Key::new(hmac::HMAC_SHA256, signing),
                encryption: SecretSlice::from(encryption.to_vec()),
            }),
            _ => Err(FernetError::Key),
        }
    }

    /// The text in a token. The signature is checked before anything is decrypted.
    pub fn open(&self, token: &[u8]) -> Result<SecretString, FernetError> {
        let bytes = BASE64_URL_SAFE.decode(token).map_err(|_| FernetError::NoToken)?;
        let signed = bytes.len().checked_sub(SIGNATURE).filter(|it| *it > HEAD + IV).ok_or(FernetError::NoToken)?;
        let (signed, signature) = bytes.split_at(signed);
        if signed.first() != Some(&VERSION) {
            return Err(FernetError::NoToken);
        }
        hmac::verify(&self.signing, signed, signature).map_err(|_| FernetError::WrongKey)?;
        let (iv, message) = signed.split_at(HEAD + IV);
        let cipher = cbc::Decryptor::<aes::Aes128>::new_from_slices(self.encryption.expose_secret(), &iv[HEAD..]);
        let mut message = message.to_vec();
        let opened = cipher.map_err(|_| FernetError::NoToken)?.decrypt_padded::<Pkcs7>(&mut message);
        let text = std::str::from_utf8(opened.map_err(|_| FernetError::NoToken)?).map_err(|_| FernetError::NoToken)?;
        Ok(SecretString::from(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the specification.
    const KEY: &str = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=";
    const TOKEN: &str =
        "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==";

    fn key(text: &str) -> Result<FernetKey, FernetError> {
        FernetKey::parse(&SecretString::from(text))
    }

    #[test]
    fn the_token_of_the_specification_is_opened() {
        assert_eq!(key(KEY).unwrap().open(TOKEN.as_bytes()).unwrap().expose_secret(), "hello");
    }

    #[test]
    fn a_token_that_was_changed_or_is_another_keys_is_refused() {
        let other = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        assert!(matches!(key(other).unwrap().open(TOKEN.as_bytes()), Err(FernetError::WrongKey)));
        for position in 0..TOKEN.len() - 2 {
            let mut changed = TOKEN.as_bytes().to_vec();
            changed[position] = if changed[position] == b'A' { b'B' } else { b'A' };
            assert!(key(KEY).unwrap().open(&changed).is_err(), "{position}");
        }
        for length in 0..TOKEN.len() {
            assert!(key(KEY).unwrap().open(&TOKEN.as_bytes()[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in ["", "x", "c2hvcnQ=", &KEY[..42], &format!("{KEY}AAAA")] {
            assert!(matches!(key(text), Err(FernetError::Key)), "{text}");
        }
    }
}
