//! API tokens: made at random, kept as SHA-256. A token is long enough that a slow hash would add nothing.

use rand::RngExt;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

#[derive(Debug, thiserror::Error)]
#[error("a token is 32 to 255 characters out of letters, digits and - . _ ~ + / =")]
pub struct TokenError;

/// A new token: 40 hex digits, the form the reference's tokens have.
pub fn new_token() -> SecretString {
    SecretString::from(random_text())
}

pub(super) fn random_text() -> String {
    let bytes: [u8; 20] = rand::rng().random();
    hex(&bytes)
}

/// A token that an operator chose, to keep the one a hub is configured with.
pub fn imported_token(text: &str) -> Result<SecretString, TokenError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
    let text = text.trim();
    if (32..=255).contains(&text.len()) && text.chars().all(allowed) {
        Ok(SecretString::from(text))
    } else {
        Err(TokenError)
    }
}

/// What the database holds of a token.
pub fn token_hash(token: &SecretString) -> String {
    hex(&Sha256::digest(token.expose_secret().as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_random_and_long() {
        let token = new_token();
        assert_eq!(token.expose_secret().len(), 40);
        assert_ne!(token.expose_secret(), new_token().expose_secret());
        assert!(imported_token(token.expose_secret()).is_ok());
        assert_eq!(
            token_hash(&SecretString::from("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn a_token_that_could_be_guessed_or_sent_wrongly_is_refused() {
        for bad in
            ["", "secret", "b1a3d3b531cdde047d01ec8a27b92c2 7005b8b5", "b1a3d3b531cdde047d01ec8a27b92c26\n7005b8b"]
        {
            assert!(imported_token(bad).is_err(), "{bad}");
        }
        let token = imported_token(" b1a3d3b531cdde047d01ec8a27b92c267005b8b5\n").unwrap();
        assert_eq!(token.expose_secret(), "b1a3d3b531cdde047d01ec8a27b92c267005b8b5");
    }
}
