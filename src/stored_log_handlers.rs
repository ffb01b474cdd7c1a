//! The log handlers that are stored, kept active here: joins the database, the configuration and this process's
//! handlers. A change is written down, then applied; every process looks for changes of the others.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use crate::config::SharedConfig;
use crate::domain::Json;
use crate::log_handlers::{
    Bounds, Configuration, HandlerKind, HandlerStatus, LogHandlers, SmtpLogin, StoredHandler, try_out,
};
use crate::store::{Store, StoreError};

/// Between attempts to read what changed.
const PAUSE: Duration = Duration::from_secs(1);
/// How often a change that others change too is tried.
const ATTEMPTS: usize = 5;

#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The text is for the caller: what and why.
    #[error("{0}")]
    Refused(String),
    #[error("there is a handler of this name")]
    Exists,
    #[error("there is no handler of this name")]
    NotFound,
    #[error("others change the handler at the same time")]
    Busy,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a background task was lost")]
    TaskLost(#[from] tokio::task::JoinError),
}

#[derive(Clone)]
pub struct StoredLogHandlers {
    store: Store,
    handlers: LogHandlers,
    config: SharedConfig,
    smtp_login: Option<SmtpLogin>,
}

impl StoredLogHandlers {
    pub fn new(
        store: Store,
        handlers: LogHandlers,
        config: SharedConfig,
        smtp_login: Option<(String, SecretString)>,
    ) -> Arc<Self> {
        let smtp_login = smtp_login.map(|(user, password)| SmtpLogin { user, password });
        Arc::new(Self { store, handlers, config, smtp_login })
    }

    /// All handlers, oldest first.
    pub async fn list(&self) -> Result<Vec<StoredHandler>, StoreError> {
        let rows = self.store.log_handlers().await?;
        Ok(rows.into_iter().map(|it| StoredHandler { handler: it.handler, configuration: it.configuration }).collect())
    }

    pub async fn get(&self, kind: HandlerKind) -> Result<Option<StoredHandler>, StoreError> {
        Ok(self.list().await?.into_iter().find(|it| it.handler == kind.as_str()))
    }

    pub fn status(&self, handler: &str) -> HandlerStatus {
        self.handlers.status(handler).unwrap_or_default()
    }

    /// Makes a handler from the defaults and what is given. It is active when this returns.
    pub async fn create(&self, kind: HandlerKind, given: Option<&Json>) -> Result<StoredHandler, ChangeError> {
        let configuration = Configuration::merged(kind, None, given).map_err(ChangeError::Refused)?;
        let _turn = self.handlers.turn().await;
        if self.get(kind).await?.is_some() {
            return Err(ChangeError::Exists);
        }
        let made = self.tried_out(configuration).await?;
        if !self.store.insert_log_handler(kind.as_str(), &made.configuration).await? {
            return Err(ChangeError::Exists);
        }
        self.apply_stored().await?;
        Ok(made)
    }

    /// Lays what is given over what is stored. The change is active when this returns.
    pub async fn change(&self, kind: HandlerKind, given: Option<&Json>) -> Result<StoredHandler, ChangeError> {
        let _turn = self.handlers.turn().await;
        for _ in 0..ATTEMPTS {
            let old = self.get(kind).await?.ok_or(ChangeError::NotFound)?.configuration;
            let configuration = Configuration::merged(kind, Some(&old), given).map_err(ChangeError::Refused)?;
            let made = self.tried_out(configuration).await?;
            if self.store.replace_log_handler(kind.as_str(), &old, &made.configuration).await? {
                self.apply_stored().await?;
                return Ok(made);
            }
        }
        Err(ChangeError::Busy)
    }

    pub async fn delete(&self, kind: HandlerKind) -> Result<(), ChangeError> {
        let _turn = self.handlers.turn().await;
        if !self.store.delete_log_handler(kind.as_str()).await? {
            return Err(ChangeError::NotFound);
        }
        self.apply_stored().await
    }

    /// Makes active what is stored.
    pub async fn synchronise(&self) -> Result<(), ChangeError> {
        let _turn = self.handlers.turn().await;
        self.apply_stored().await
    }

    /// Sees the changes of other processes and of what handlers may write to, until this process ends.
    pub async fn follow_forever(self: Arc<Self>) {
        let mut changes = self.store.changes().await;
        let mut configurations = self.config.changes();
        // What changed before that.
        let mut is_due = true;
        let mut is_lost = false;
        loop {
            if !is_due {
                is_due = tokio::select! {
                    batch = changes.next() => batch.log_handlers || batch.everything,
                    changed = configurations.changed() => changed.is_ok(),
                };
                continue;
            }
            match self.synchronise().await {
                Ok(()) => (is_due, is_lost) = (false, false),
                Err(error) => {
                    if !is_lost {
                        tracing::warn!(%error, "changes of log handlers are not seen for now");
                    }
                    is_lost = true;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Needs the turn.
    async fn apply_stored(&self) -> Result<(), ChangeError> {
        let (stored, bounds, handlers) = (self.list().await?, self.bounds(), self.handlers.clone());
        Ok(tokio::task::spawn_blocking(move || handlers.apply(&stored, &bounds)).await?)
    }

    async fn tried_out(&self, configuration: Configuration) -> Result<StoredHandler, ChangeError> {
        let bounds = self.bounds();
        let tried = tokio::task::spawn_blocking(move || {
            try_out(&configuration, &bounds)?;
            Ok(StoredHandler { handler: configuration.kind.as_str().to_owned(), configuration: configuration.json })
        });
        tried.await?.map_err(ChangeError::Refused)
    }

    fn bounds(&self) -> Bounds {
        let logs = &self.config.current().logs;
        Bounds {
            directories: logs.directories.clone(),
            targets: logs.targets.clone(),
            smtp_login: self.smtp_login.clone(),
        }
    }
}
