//! Who a request is from: the administrator's token, tokens of ServiceAccounts, or nobody.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::storage::{Key, Resource, Storage};

/// An authenticated user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub groups: Vec<String>,
}

impl User {
    pub fn admin() -> Self {
        let groups = ["system:masters", "system:authenticated"];
        Self { name: "kubernetes-admin".to_owned(), groups: groups.map(str::to_owned).to_vec() }
    }

    pub fn service_account(namespace: &str, name: &str) -> Self {
        let groups = vec![
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{namespace}"),
            "system:authenticated".to_owned(),
        ];
        Self { name: format!("system:serviceaccount:{namespace}:{name}"), groups }
    }

    pub fn is_admin(&self) -> bool {
        self.groups.iter().any(|it| it == "system:masters")
    }
}

/// Checks and issues tokens. Clones share the same secrets.
#[derive(Clone)]
pub struct Auth {
    admin_token: Arc<str>,
    /// Signs the tokens of ServiceAccounts.
    signing_key: Arc<[u8]>,
    anonymous_is_admin: bool,
}

impl Auth {
    pub fn new(admin_token: &str, signing_key: &[u8], anonymous_is_admin: bool) -> Self {
        Self { admin_token: admin_token.into(), signing_key: signing_key.into(), anonymous_is_admin }
    }

    pub fn admin_token(&self) -> &str {
        &self.admin_token
    }

    /// The user of an `Authorization` header; `None` when it proves nobody.
    pub fn user(&self, header: &str, storage: &Storage) -> Option<User> {
        if header.is_empty() {
            return self.anonymous_is_admin.then(User::admin);
        }
        let (scheme, token) = header.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        self.user_of_token(token.trim(), storage)
    }

    pub fn user_of_token(&self, token: &str, storage: &Storage) -> Option<User> {
        if same(token.as_bytes(), self.admin_token.as_bytes()) {
            return Some(User::admin());
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let given = URL_SAFE_NO_PAD.decode(signature).ok()?;
        if !same(&given, &hmac(&self.signing_key, signed.as_bytes())) {
            return None;
        }
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(signed.split_once('.')?.1).ok()?).ok()?;
        if claims["exp"].as_i64()? < jiff::Timestamp::now().as_second() {
            return None;
        }
        let bound = &claims["kubernetes.io"];
        let namespace = bound["namespace"].as_str()?;
        let name = bound["serviceaccount"]["name"].as_str()?;
        let exists = |plural: &str, object: &Value| {
            let key = Key::new(Resource::core(plural), namespace, object["name"].as_str().unwrap_or_default());
            storage.get(&key).is_some_and(|it| it["metadata"]["uid"] == object["uid"])
        };
        if !exists("serviceaccounts", &bound["serviceaccount"]) {
            return None;
        }
        // A token that was made for a pod ends with it.
        if bound["pod"].is_object() && !exists("pods", &bound["pod"]) {
            return None;
        }
        Some(User::service_account(namespace, name))
    }

    /// A token for a ServiceAccount, as a JWT; `pod`: the pod it ends with.
    pub fn issue(&self, account: &Value, pod: Option<&Value>, audience: Option<&str>, seconds: i64) -> (String, i64) {
        let now = jiff::Timestamp::now().as_second();
        let expires = now + seconds;
        let metadata = &account["metadata"];
        let (namespace, name) = (&metadata["namespace"], &metadata["name"]);
        let mut bound = json!({
            "namespace": namespace, "serviceaccount": {"name": name, "uid": metadata["uid"]},
        });
        if let Some(pod) = pod {
            bound["pod"] = json!({"name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]});
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let claims = json!({
            "iss": "https://kubernetes.default.svc", "aud": [audience.unwrap_or("https://kubernetes.default.svc")],
            "sub": format!("system:serviceaccount:{}:{}", text(namespace), text(name)),
            "iat": now, "nbf": now, "exp": expires, "jti": uuid::Uuid::new_v4().to_string(), "kubernetes.io": bound,
        });
        let header = URL_SAFE_NO_PAD.encode(json!({"alg": "HS256", "typ": "JWT"}).to_string());
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = URL_SAFE_NO_PAD.encode(hmac(&self.signing_key, signed.as_bytes()));
        (format!("{signed}.{signature}"), expires)
    }

    /// The token that a pod's projected volume holds.
    pub fn issue_for_pod(&self, storage: &Storage, pod: &Value, audience: Option<&str>) -> Option<String> {
        let namespace = pod["metadata"]["namespace"].as_str()?;
        let name = pod["spec"]["serviceAccountName"].as_str().filter(|it| !it.is_empty()).unwrap_or("default");
        let account = storage.get(&Key::new(Resource::core("serviceaccounts"), namespace, name))?;
        const YEAR: i64 = 365 * 24 * 3600;
        Some(self.issue(&account, Some(pod), audience, YEAR).0)
    }
}

/// Compares in a time that does not tell where they differ.
fn same(one: &[u8], other: &[u8]) -> bool {
    // Of equal lengths by hashing, so that the length is not told either.
    let (one, other) = (Sha256::digest(one), Sha256::digest(other));
    one.iter().zip(other.iter()).fold(0_u8, |difference, (a, b)| difference | (a ^ b)) == 0
}

/// HMAC-SHA256 (RFC 2104).
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = [0_u8; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let padded = |byte: u8| -> Vec<u8> { block.iter().map(|it| it ^ byte).collect() };
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().to_vec()
}

/// A random secret of 256 bits, as text.
pub fn random_secret() -> String {
    use rand::RngExt;
    let mut bytes = [0_u8; 32];
    rand::rng().fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn hmac_is_the_one_of_rfc_4231() {
        let hex: String = hmac(b"Jefe", b"what do ya want for nothing?").iter().map(|it| format!("{it:02x}")).collect();
        assert_eq!(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn a_token_is_its_accounts_and_ends_with_it() {
        let storage = Storage::new();
        let key = Key::new(Resource::core("serviceaccounts"), "n", "robot");
        let account = storage.create(key.clone(), json!({"metadata": {"namespace": "n", "name": "robot"}})).unwrap();
        let auth = Auth::new("admin", b"key", false);
        let (token, _) = auth.issue(&account, None, None, 60);
        let header = format!("Bearer {token}");
        assert_eq!(auth.user(&header, &storage).unwrap().name, "system:serviceaccount:n:robot");
        assert!(Auth::new("admin", b"other", false).user(&header, &storage).is_none());
        assert!(auth.user(&format!("Bearer {}", auth.issue(&account, None, None, -60).0), &storage).is_none());
        assert!(auth.user("Bearer admin", &storage).unwrap().is_admin());
        for nobody in ["", "Bearer", "Bearer x", "Basic admin", "Bearer a.b.c"] {
            assert!(auth.user(nobody, &storage).is_none(), "{nobody}");
        }
        storage.remove(&key);
        assert!(auth.user(&header, &storage).is_none());
    }
}
