//! One flavor update: the token found, the flavors counted at the last moment, the request sent.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use http::StatusCode;
use secrecy::SecretString;

use super::client::{HubClient, HubError, Post};
use super::destination::{Refused, of_flavors};
use super::flavor_updates::FlavorParts;
use crate::config::Hub;
use crate::domain::Credential;
use crate::domain::news::HubAddress;

const TIMEOUT: Duration = Duration::from_secs(10);

/// The body of GET /flavors/ for a hub.
pub type FlavorsOf = Arc<dyn Fn(Credential) -> BoxFuture<'static, Result<String, FlavorsError>> + Send + Sync>;
pub type FlavorsError = Box<dyn std::error::Error + Send + Sync>;

/// What came of it.
pub enum Outcome {
    Answered(StatusCode),
    /// Nobody is told: there is no token.
    Untold,
    Refused(Refused),
    Failed(HubError),
    Unknown(String),
}

/// One request, with all that it needs.
pub struct FlavorUpdate {
    credential: Credential,
    hub: Hub,
    address: HubAddress,
    token_file: Option<PathBuf>,
    token_variable: Option<SecretString>,
    is_on_one_machine: bool,
    flavors: FlavorsOf,
    client: HubClient,
}

impl FlavorUpdate {
    pub fn new(parts: &FlavorParts, client: &HubClient, credential: &Credential, address: HubAddress) -> Self {
        let config = parts.config.current();
        let outpost = config.outpost.get(credential.as_str());
        let variable = outpost.and_then(|it| it.flavors_update_token_env.as_deref());
        Self {
            credential: credential.clone(),
            hub: config.hubs.get(credential.as_str()).cloned().unwrap_or_default(),
            address,
            token_file: outpost.and_then(|it| it.flavors_update_token_file.clone()),
            token_variable: variable.and_then(|name| parts.environment.variable(name)).cloned(),
            is_on_one_machine: parts.is_on_one_machine,
            flavors: parts.flavors.clone(),
            client: client.clone(),
        }
    }

    pub async fn send(self) -> Outcome {
        let configured = match self.configured_token().await {
            Ok(token) => token,
            Err(reason) => return Outcome::Unknown(reason),
        };
        let destination = match of_flavors(&self.hub, &self.address, configured.as_ref(), self.is_on_one_machine) {
            Ok(Some(destination)) => destination,
            Ok(None) => return Outcome::Untold,
            Err(reason) => return Outcome::Refused(reason),
        };
        // As late as can be: whatever changes from here on is told by the next one.
        let body = match (self.flavors)(self.credential).await {
            Ok(body) => body,
            Err(error) => return Outcome::Unknown(format!("its flavors cannot be counted: {error}")),
        };
        let (url, headers) = (&destination.url, destination.headers.clone());
        let (certificate, reach) = (&destination.certificate, destination.reach);
        let post = Post { url, headers, body, certificate, reach, timeout: TIMEOUT };
        self.client.post(post).await.map_or_else(Outcome::Failed, Outcome::Answered)
    }

    /// Where the start brought none.
    async fn configured_token(&self) -> Result<Option<SecretString>, String> {
        let (None, Some(file)) = (&self.address.flavors_token, &self.token_file) else {
            return Ok(self.token_variable.clone());
        };
        let text = tokio::fs::read_to_string(file).await;
        let text =
            text.map_err(|error| format!("flavors_update_token_file {} cannot be read: {error}", file.display()))?;
        match text.trim() {
            "" => Err(format!("flavors_update_token_file {} is empty", file.display())),
            token => Ok(Some(SecretString::from(token))),
        }
    }
}
