//! Passwords by argon2id: hashing and checking, on threads that may block, few at a time.

use std::sync::{Arc, LazyLock};

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use secrecy::{ExposeSecret, SecretString};

use super::django;

/// OWASP's first choice of small memory: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    #[error("failed to hash the password: {0}")]
    Hash(argon2::password_hash::Error),
    #[error("a task that hashes passwords was lost")]
    TaskLost(#[from] tokio::task::JoinError),
}

/// Hashes a password for the database, with a random salt.
pub async fn hash_password(password: SecretString) -> Result<String, PasswordError> {
    tokio::task::spawn_blocking(move || make(password.expose_secret())).await?
}

fn make(password: &str) -> Result<String, PasswordError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|error| PasswordError::Hash(error.into()))?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash: PasswordHash = argon2.hash_password(password.as_bytes()).map_err(PasswordError::Hash)?;
    Ok(hash.to_string())
}

/// Whether the password has this hash. `None` (no such user, or one without a password) costs the same and is false.
pub(super) async fn password_matches(
    password: SecretString,
    hash: Option<Arc<str>>,
) -> Result<bool, tokio::task::JoinError> {
    /// Of a password that nobody has.
    static NOBODYS: LazyLock<String> = LazyLock::new(|| make(&super::tokens::random_text()).unwrap_or_default());
    tokio::task::spawn_blocking(move || {
        let known = hash.is_some();
        let text = hash.as_deref().unwrap_or(&NOBODYS);
        let password = password.expose_secret();
        if django::is_django(text) {
            return django::matches(password, text);
        }
        // The parameters are those that the hash was made with.
        let matches = Argon2::default().verify_password(password.as_bytes(), text).is_ok();
        known && matches
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SecretString {
        SecretString::from(text)
    }

    #[tokio::test]
    async fn a_password_matches_its_hash_only() {
        let hash = hash_password(secret("jhubpw")).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_ne!(hash, hash_password(secret("jhubpw")).await.unwrap());
        let hash: Arc<str> = hash.into();
        assert!(password_matches(secret("jhubpw"), Some(Arc::clone(&hash))).await.unwrap());
        for wrong in ["", "jhubpW", "jhubpw "] {
            assert!(!password_matches(secret(wrong), Some(Arc::clone(&hash))).await.unwrap());
        }
        assert!(!password_matches(secret("jhubpw"), None).await.unwrap());
        for odd in ["", "jhubpw", "pbkdf2_sha256$260000$x$y"] {
            assert!(!password_matches(secret("jhubpw"), Some(odd.into())).await.unwrap());
        }
    }
}
