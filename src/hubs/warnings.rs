//! Warns users whose servers are to be stopped soon, because the time of their flavor is over. Where the hub wants to hear is
//! read from the Secret that owns the server.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::client::{HubClient, HubError, with_causes};
use super::destination::of_steps;
use super::pause::pause;
use super::progress::send;
use super::secret::of_secret;
use crate::cluster::{Cluster, Deadline};
use crate::config::SharedConfig;
use crate::domain::news::{EndingService, News};
use crate::domain::{Clock, Credential};

/// Servers of a hub whose users are warned at the same time; more of this hub wait.
const AT_ONCE: usize = 16;
const READING_TIME: Duration = Duration::from_secs(5);
/// A hub that is away for a moment hears of it later.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(20)];
/// What a server that runs has reached.
const PROGRESS: u8 = 99;

#[derive(Clone)]
pub struct WarningParts {
    pub config: SharedConfig,
    pub cluster: Cluster,
    pub clock: Clock,
    /// The API server is on this machine: so everything else may be.
    pub is_on_one_machine: bool,
}

/// Runs until nobody announces any more, or it is aborted.
pub async fn warn_forever(parts: WarningParts, mut news: mpsc::Receiver<News>) {
    let client = HubClient::default();
    let mut warning = JoinSet::new();
    let mut turns: HashMap<Credential, Arc<Semaphore>> = HashMap::new();
    while let Some(it) = news.recv().await {
        let News::EndsSoon(ending) = it else { continue };
        while warning.try_join_next().is_some() {}
        // Waited for by the task alone: a hub that hangs is in nobody else's way.
        let turn = turns.entry(ending.credential.clone()).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE))).clone();
        let (parts, client) = (parts.clone(), client.clone());
        warning.spawn(async move {
            let _turn = turn.acquire().await;
            warn(&parts, &client, &ending).await;
        });
    }
}

async fn warn(parts: &WarningParts, client: &HubClient, ending: &EndingService) {
    let mut pauses = PAUSES.into_iter();
    loop {
        let (reason, next) = match attempt(parts, client, ending).await {
            Ok(None) => return,
            Ok(Some(status)) if status.is_success() => return,
            // It knows no such server, or takes nothing of it.
            Ok(Some(status)) if status.is_client_error() => (format!("the hub answered {}", status.as_u16()), None),
            Ok(Some(status)) => (format!("the hub answered {}", status.as_u16()), pauses.next()),
            Err(reason) => (reason, pauses.next()),
        };
        let Some(next) = next else {
            let EndingService { sequence, credential, .. } = ending;
            tracing::warn!(sequence, %credential, reason, "a user is not warned of the end of a server");
            return;
        };
        pause(&parts.clock, next).await;
    }
}

/// `None`: nobody wants to hear.
async fn attempt(
    parts: &WarningParts,
    client: &HubClient,
    ending: &EndingService,
) -> Result<Option<StatusCode>, String> {
    let read = parts.cluster.read(&ending.owner, Deadline::after(READING_TIME)).await;
    let Some(secret) = read.map_err(|error| error.to_string())? else { return Ok(None) };
    let address = of_secret(&secret, ending.is_of_outpost);
    let config = parts.config.current();
    let hub = config.hubs.get(ending.credential.as_str()).cloned().unwrap_or_default();
    let destination = of_steps(&hub, &address, parts.is_on_one_machine).map_err(|refused| refused.to_string())?;
    let Some(destination) = destination else { return Ok(None) };
    let sent: Result<StatusCode, HubError> = send(client, &destination, event(ending)).await;
    sent.map(Some).map_err(|error| with_causes(&error))
}

fn event(ending: &EndingService) -> String {
    let text = text(ending);
    let mut event = json!({"progress": PROGRESS, "failed": false, "html_message": text});
    if ending.is_of_outpost {
        event["message"] = json!(text);
    }
    event.to_string()
}

/// Of our own words and numbers only: nothing in it has to be escaped.
fn text(ending: &EndingService) -> String {
    let minutes = (ending.left.as_secs() + 59) / 60;
    let unit = if minutes == 1 { "minute" } else { "minutes" };
    let at = ending.ends_at.strftime("%Y-%m-%d %H:%M UTC");
    format!("This server will be stopped in {minutes} {unit} ({at}), when its time is over. Save your work.")
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::domain::AppliedObject;

    #[test]
    fn a_warning_says_when() {
        let owner = AppliedObject {
            api_version: "v1".to_owned(),
            kind: "Secret".to_owned(),
            namespace: None,
            name: "s".to_owned(),
            uid: None,
            is_workload: false,
            is_kept: false,
            address: None,
        };
        let mut ending = EndingService {
            sequence: 1,
            credential: Credential::parse("hub").unwrap(),
            is_of_outpost: true,
            owner,
            ends_at: "2026-11-20T12:04:39.265902Z".parse().unwrap(),
            left: SignedDuration::from_millis(599_900),
        };
        let said =
            "This server will be stopped in 10 minutes (2026-11-20 12:04 UTC), when its time is over. Save your work.";
        assert_eq!(text(&ending), said);
        let both = json!({"progress": 99, "failed": false, "html_message": said, "message": said});
        assert_eq!(event(&ending), both.to_string());
        ending.left = SignedDuration::from_secs(60);
        assert!(text(&ending).contains(" in 1 minute ("));
    }
}
