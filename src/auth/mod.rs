//! Who calls, and what they may do. Knows no HTTP: a header's bytes in, a principal or the reason out.

mod django;
mod header;
mod memory;
mod passwords;
mod startup;
#[cfg(test)]
mod tests;
mod throttle;
mod tokens;
mod users;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use rand::RngExt;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

use crate::domain::Credential;
use crate::domain::group::Group;
use crate::store::{Store, StoreError, User, UserChanges};

pub use django::{ImportedHash, imported_hash};
pub use memory::CHANGES_COUNT_WITHIN;
pub use passwords::{PasswordError, hash_password};
pub use startup::{StartupUsersError, create_hubs, create_startup_users};
pub use tokens::{TokenError, imported_token, new_token, token_hash};
pub use users::{AccountChange, DEFAULT_LABEL, NewAccount, UserError, Users};

use header::Claim;
use memory::{Key, Memory, Remembered};
use throttle::Throttle;

/// An authenticated caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    pub credential: Credential,
    pub is_superuser: bool,
    pub groups: BTreeSet<Group>,
}

impl Principal {
    pub fn may(&self, group: Group) -> bool {
        self.is_superuser || self.groups.contains(&group)
    }
}

impl From<&User> for Principal {
    fn from(user: &User) -> Self {
        Principal { credential: user.name.clone(), is_superuser: user.is_superuser, groups: user.groups.clone() }
    }
}

/// The texts are those of the reference, which answers with them; the last two are failures of ours.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    #[error("Authentication credentials were not provided.")]
    NotProvided,
    #[error("Invalid username/password.")]
    Password,
    /// The same for whoever called, who sent no colon.
    #[error("Invalid username/password.")]
    BasicColon,
    #[error("Invalid basic header. No credentials provided.")]
    BasicEmpty,
    #[error("Invalid basic header. Credentials string should not contain spaces.")]
    BasicSpaces,
    #[error("Invalid basic header. Credentials not correctly base64 encoded.")]
    BasicEncoding,
    #[error("Invalid token.")]
    Token,
    #[error("Invalid token header. No credentials provided.")]
    TokenEmpty,
    #[error("Invalid token header. Token string should not contain spaces.")]
    TokenSpaces,
    #[error("Invalid token header. Token string should not contain invalid characters.")]
    TokenCharacters,
    #[error("failed to look up a user")]
    Store(#[from] StoreError),
    #[error("a task that checks passwords was lost")]
    TaskLost(#[from] tokio::task::JoinError),
}

/// Checks credentials against the database, and remembers the good ones for a while.
pub struct Authenticator {
    store: Store,
    /// Begun with a key of this process and this run.
    hmac: Option<Hmac<Sha256>>,
    memory: Memory,
    throttle: Throttle,
    /// As many argon2 checks at a time as there are processors, each 19 MiB.
    checks: Semaphore,
    /// Callers that failed often check one at a time, so that they cannot keep the others waiting.
    suspect_checks: Semaphore,
    clock: Clock,
}

/// What tells the time, so that tests need not wait.
type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// How long a login that may be taken from memory waits for the database.
const LOOK_UP_TIME: Duration = Duration::from_secs(1);

enum LookedUp {
    Found(Option<User>),
    /// The database did not answer.
    Away(Arc<Principal>),
}

/// A login by password that must be checked.
struct Attempt<'a> {
    name: &'a str,
    password: SecretString,
    address: IpAddr,
    key: Key,
    user_changes: UserChanges,
}

impl Authenticator {
    pub fn new(store: Store) -> Self {
        Self::with_clock(store, Arc::new(Instant::now))
    }

    fn with_clock(store: Store, clock: Clock) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self {
            store,
            hmac: <Hmac<Sha256> as KeyInit>::new_from_slice(&rand::rng().random::<[u8; 32]>()).ok(),
            memory: Memory::default(),
            throttle: Throttle::default(),
            checks: Semaphore::new(processors.min(8)),
            suspect_checks: Semaphore::new(1),
            clock,
        }
    }

    /// Who sent this `Authorization` header from this address.
    pub async fn authenticate(&self, header: Option<&[u8]>, address: IpAddr) -> Result<Arc<Principal>, AuthError> {
        match header::read(header)? {
            Claim::Password { name, password } => self.by_password(&name, password, address).await,
            Claim::Token(token) => self.by_token(&token).await,
        }
    }

    async fn by_token(&self, token: &SecretString) -> Result<Arc<Principal>, AuthError> {
        let key = self.key(b"token", &[token.expose_secret()]);
        let user_changes = self.store.user_changes();
        match self.fresh(&key, user_changes) {
            Some(known) => Ok(known),
            // Boxed: hardly anybody comes this far.
            None => Box::pin(self.look_up_token(token, key, user_changes)).await,
        }
    }

    async fn look_up_token(
        &self,
        token: &SecretString,
        key: Key,
        user_changes: UserChanges,
    ) -> Result<Arc<Principal>, AuthError> {
        let stand_in = self.stand_in(&key, user_changes);
        let user = match self.look_up(stand_in, self.store.user_by_token_hash(&token_hash(token))).await? {
            LookedUp::Found(user) => user,
            LookedUp::Away(known) => return Ok(known),
        };
        let Some(user) = user.filter(|it| it.is_active) else {
            self.memory.remove(&key);
            return Err(AuthError::Token);
        };
        Ok(self.remember(key, &user, None, user_changes))
    }

    async fn by_password(
        &self,
        name: &str,
        password: SecretString,
        address: IpAddr,
    ) -> Result<Arc<Principal>, AuthError> {
        let key = self.key(b"password", &[name, password.expose_secret()]);
        let user_changes = self.store.user_changes();
        match self.fresh(&key, user_changes) {
            Some(known) => Ok(known),
            None => Box::pin(self.look_up_password(Attempt { name, password, address, key, user_changes })).await,
        }
    }

    async fn look_up_password(&self, attempt: Attempt<'_>) -> Result<Arc<Principal>, AuthError> {
        let Attempt { name, key, user_changes, .. } = attempt;
        let stand_in = self.stand_in(&key, user_changes);
        let user = match self.look_up(stand_in, self.store.user(name)).await? {
            LookedUp::Found(user) => user.filter(|it| it.is_active),
            LookedUp::Away(known) => return Ok(known),
        };
        let hash: Option<Arc<str>> = user.as_ref().and_then(|it| it.password_hash.as_deref()).map(Arc::from);

        // The same password was found to match this very hash: that has not changed.
        let now = self.now();
        let known = self.memory.get(&key, now).filter(|it| it.saves_the_check(now)).and_then(|it| it.password_hash);
        if let (Some(user), Some(hash), Some(known)) = (&user, &hash, known)
            && bool::from(hash.as_bytes().ct_eq(known.as_bytes()))
        {
            return Ok(self.remember(key, user, Some(known), user_changes));
        }
        self.memory.remove(&key);
        self.check_password(attempt, user, hash).await
    }

    /// The slow half of a login. Costs the same whether there is such a user or not.
    async fn check_password(
        &self,
        attempt: Attempt<'_>,
        user: Option<User>,
        hash: Option<Arc<str>>,
    ) -> Result<Arc<Principal>, AuthError> {
        let Attempt { name, password, address, key, user_changes } = attempt;
        let throttle_name = self.key(b"name", &[name]);
        let is_suspect = self.throttle.is_suspect(throttle_name, hash.is_some(), address, self.now());
        let lane = if is_suspect { &self.suspect_checks } else { &self.checks };
        // The semaphores are never closed.
        let permit = lane.acquire().await.ok();
        // Somebody who waited before us may have checked the same.
        if let Some(known) = self.fresh(&key, user_changes) {
            return Ok(known);
        }
        let matches = passwords::password_matches(password.clone(), hash.clone()).await?;
        let hash = match hash {
            Some(old) if matches => Some(self.rehashed(name, password, old).await),
            other => other,
        };
        drop(permit);
        if let (true, Some(user)) = (matches, user) {
            self.throttle.succeeded(throttle_name, address);
            return Ok(self.remember(key, &user, hash, user_changes));
        }
        let delay = self.throttle.failed(throttle_name, address, self.now());
        let shown: String = name.chars().take(150).collect();
        tracing::warn!(user = ?shown, %address, delay_ms = delay.as_millis(), "login failed");
        tokio::time::sleep(delay).await;
        Err(AuthError::Password)
    }

    /// Asks the database; where it does not answer, whoever was let in before is let in again.
    async fn look_up(
        &self,
        stand_in: Option<Arc<Principal>>,
        query: impl Future<Output = Result<Option<User>, StoreError>>,
    ) -> Result<LookedUp, AuthError> {
        let Some(stand_in) = stand_in else { return Ok(LookedUp::Found(query.await?)) };
        match self.store.in_time_or_away(LOOK_UP_TIME, query).await {
            Ok(user) => Ok(LookedUp::Found(user)),
            Err(error) => {
                tracing::debug!(%error, user = %stand_in.credential, "a login is taken from memory");
                metrics::counter!("k8smgr_logins_without_database_total").increment(1);
                Ok(LookedUp::Away(stand_in))
            }
        }
    }

    /// The hash that the user has from now on: one of the reference's is replaced now that its password is known. What
    /// fails does not keep the user out; the next login tries again.
    async fn rehashed(&self, name: &str, password: SecretString, old: Arc<str>) -> Arc<str> {
        if !django::is_django(&old) {
            return old;
        }
        let new = match hash_password(password).await {
            Ok(new) => new,
            Err(error) => {
                tracing::warn!(user = name, %error, "the password of a user that was taken over is not hashed anew");
                return old;
            }
        };
        match self.store.replace_password_hash(name, &old, &new).await {
            Ok(true) => {
                tracing::info!(user = name, "the password of a user that was taken over is hashed anew");
                new.into()
            }
            Ok(false) => old,
            Err(error) => {
                tracing::warn!(user = name, %error, "the password of a user that was taken over is not hashed anew");
                old
            }
        }
    }

    /// Who had this credential when the database was last asked.
    fn stand_in(&self, key: &Key, user_changes: UserChanges) -> Option<Arc<Principal>> {
        let now = self.now();
        self.memory.get(key, now).filter(|it| it.may_stand_in(user_changes, now)).map(|it| it.principal)
    }

    fn fresh(&self, key: &Key, user_changes: UserChanges) -> Option<Arc<Principal>> {
        let now = self.now();
        self.memory.get(key, now).filter(|it| it.is_fresh(user_changes, now)).map(|it| it.principal)
    }

    fn remember(
        &self,
        key: Key,
        user: &User,
        password_hash: Option<Arc<str>>,
        user_changes: UserChanges,
    ) -> Arc<Principal> {
        let principal = Arc::new(Principal::from(user));
        let remembered =
            Remembered { principal: Arc::clone(&principal), password_hash, user_changes, checked_at: self.now() };
        self.memory.put(key, remembered);
        principal
    }

    fn now(&self) -> Instant {
        (self.clock)()
    }

    fn key(&self, kind: &[u8], parts: &[&str]) -> Key {
        let Some(mut hmac) = self.hmac.clone() else {
            // HMAC takes keys of any length. Were it not so, nothing would be found and everything checked.
            return rand::rng().random();
        };
        for part in std::iter::once(kind).chain(parts.iter().map(|it| it.as_bytes())) {
            hmac.update(&(part.len() as u64).to_le_bytes());
            hmac.update(part);
        }
        hmac.finalize().into_bytes().into()
    }
}
