//! Restart notices: each hub of `tunnel` is told of each start of K8s Manager, so that it makes its tunnels again.
//!
//! A notice is owed from the start on and written down, so that no crash loses it. Whoever leads tells all hubs at the same
//! time, again and again until each has answered. Several starts that a hub was not told of yet are one notice.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use tokio::sync::SetOnce;
use tokio::task::JoinSet;

use super::client::{HubClient, with_causes};
use super::notified_hub::{NotifiedHub, notified_hubs};
use crate::config::{CertificatePath, Environment, Tunnel};
use crate::domain::{Clock, Moment};
use crate::fail_points::fail_point;
use crate::store::{Store, StoreError};

/// Between looks at what is due, while there is anything.
const TICK: Duration = Duration::from_millis(250);
/// Between looks for what other processes owe.
const OWED_ELSEWHERE: Duration = Duration::from_secs(5);
const STORE_PAUSE: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// A hub that comes back is told within this and the time that an attempt may take.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// Of a hub that answers and refuses: somebody has to change something first.
const LONGEST_PAUSE_OF_REFUSALS: Duration = Duration::from_secs(300);

/// The notices of one process. Clones are the same.
#[derive(Clone)]
pub struct Notices(Arc<Inner>);

struct Inner {
    hubs: BTreeMap<String, NotifiedHub>,
    store: Store,
    client: HubClient,
    clock: Clock,
    /// This process has written down what it owes.
    owed_here: SetOnce<()>,
    untold: Mutex<Vec<String>>,
}

/// A hub that is to be told.
struct Owed {
    starts: i64,
    pause: Duration,
    /// When it was last tried; `None` while it is.
    tried: Option<Moment>,
    is_tried: bool,
    /// It has answered, and that is not written down yet.
    is_told: bool,
    /// What the log says already.
    reason: Option<String>,
}

impl Owed {
    fn new(starts: i64) -> Self {
        Self { starts, pause: Duration::ZERO, tried: None, is_tried: false, is_told: false, reason: None }
    }

    fn is_due(&self, now: Moment) -> bool {
        !self.is_tried && self.tried.is_none_or(|tried| now.since(tried) >= self.pause)
    }
}

enum Answer {
    Taken,
    /// It has to be changed before it can work: told as an error, tried again seldom.
    Refused(StatusCode),
    Passing(String),
}

impl Notices {
    /// Logs which hubs cannot be told at all, and why.
    pub fn new(tunnels: &[Tunnel], environment: &Environment, store: Store, clock: Clock) -> Self {
        let hubs = notified_hubs(tunnels, environment);
        Self(Arc::new(Inner {
            hubs,
            store,
            client: HubClient::default(),
            clock,
            owed_here: SetOnce::new(),
            untold: Mutex::default(),
        }))
    }

    /// What people should look at: reads without a login, so it names hubs and nothing else.
    pub fn problem(&self) -> Option<String> {
        let unverified = self.0.hubs.values().filter(|it| it.certificate == CertificatePath::Unverified);
        let unverified: Vec<_> = unverified.map(|it| it.name.as_str()).collect();
        let untold = self.0.untold.lock().unwrap_or_else(PoisonError::into_inner).join(", ");
        let mut problems = Vec::new();
        if !untold.is_empty() {
            problems.push(format!("not told of the restart yet: {untold}; the log says why"));
        }
        if !unverified.is_empty() {
            problems.push(format!("TLS is not verified (certificate_path: false): {}", unverified.join(", ")));
        }
        (!problems.is_empty()).then(|| problems.join("; "))
    }

    /// This process was started: writes down whom to tell of it.
    pub async fn owe(&self) {
        for hub in self.0.hubs.keys() {
            while let Err(error) = self.0.store.owe_notice(hub).await {
                tracing::debug!(%error, "a restart notice is written down later");
                tokio::time::sleep(STORE_PAUSE).await;
            }
            fail_point!(NoticeAfterOwed);
        }
        let _ = self.0.owed_here.set(());
    }

    /// Tells hubs, for as long as this process leads.
    pub async fn tell_forever(self) {
        if self.0.hubs.is_empty() {
            return std::future::pending().await;
        }
        // What earlier starts left and this one are one notice.
        self.0.owed_here.wait().await;
        let mut owed: HashMap<String, Owed> = HashMap::new();
        let mut attempts: JoinSet<(String, Answer)> = JoinSet::new();
        let mut is_asked = true;
        let mut asked = self.0.clock.moment();
        loop {
            let now = self.0.clock.moment();
            if is_asked || (self.0.store.is_shared() && now.since(asked) >= OWED_ELSEWHERE) {
                asked = now;
                is_asked = self.read_owed(&mut owed).await.is_err();
            }
            for (key, it) in owed.iter_mut().filter(|(_, it)| it.is_due(now)) {
                let Some(hub) = self.0.hubs.get(key) else { continue };
                it.is_tried = true;
                attempts.spawn(attempt(self.clone(), key.clone(), hub.clone(), it.is_told, it.starts));
            }
            self.show(&owed);
            let pause = if owed.is_empty() { OWED_ELSEWHERE } else { TICK };
            tokio::select! {
                Some(ended) = attempts.join_next() => {
                    if let Ok((key, answer)) = ended {
                        is_asked |= self.note(&mut owed, &key, answer).await;
                    }
                }
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// What is in progress goes on as it is.
    async fn read_owed(&self, owed: &mut HashMap<String, Owed>) -> Result<(), StoreError> {
        let rows = self.0.store.owed_notices().await.inspect_err(|error| {
            tracing::debug!(%error, "restart notices are looked for later");
        })?;
        owed.retain(|key, it| it.is_tried || rows.iter().any(|(hub, _)| hub == key));
        for (key, starts) in rows.into_iter().filter(|(key, _)| self.0.hubs.contains_key(key)) {
            let known = owed.entry(key).or_insert_with(|| Owed::new(starts));
            if !known.is_tried && !known.is_told {
                known.starts = starts;
            }
        }
        Ok(())
    }

    /// True: what is owed has to be read anew.
    async fn note(&self, owed: &mut HashMap<String, Owed>, key: &str, answer: Answer) -> bool {
        let (Some(it), Some(hub)) = (owed.get_mut(key), self.0.hubs.get(key)) else { return true };
        it.is_tried = false;
        it.tried = Some(self.0.clock.moment());
        let (outcome, longest, reason) = match answer {
            Answer::Taken => {
                if !it.is_told {
                    it.is_told = true;
                    count("told");
                    tracing::info!(uuidcode = "StartUp", hub = hub.name, "the hub was told of the restart");
                }
                fail_point!(NoticeBeforeTaken);
                // A start since then is told of, too.
                match self.0.store.notice_was_taken(key, it.starts).await {
                    Ok(_) => drop(owed.remove(key)),
                    Err(error) => {
                        tracing::debug!(%error, "that a hub was told is written down later");
                        it.pause = STORE_PAUSE;
                    }
                }
                return true;
            }
            Answer::Refused(status) => ("refused", LONGEST_PAUSE_OF_REFUSALS, what_to_do(status)),
            Answer::Passing(reason) => ("failed", LONGEST_PAUSE, reason),
        };
        count(outcome);
        it.pause = (it.pause * 2).clamp(FIRST_PAUSE, longest);
        // Once a reason: a hub may be away for hours.
        if it.reason.as_ref() != Some(&reason) {
            let (hub, pause_ms) = (&hub.name, it.pause.as_millis());
            match outcome {
                "refused" => tracing::error!(
                    uuidcode = "StartUp",
                    hub,
                    pause_ms,
                    "the hub was not told of the restart: {reason}"
                ),
                _ => tracing::warn!(
                    uuidcode = "StartUp",
                    hub,
                    pause_ms,
                    "the hub was not told of the restart yet: {reason}"
                ),
            }
            it.reason = Some(reason);
        }
        false
    }

    fn show(&self, owed: &HashMap<String, Owed>) {
        metrics::gauge!("k8smgr_restart_notices_owed").set(owed.len() as f64);
        let failing = owed.iter().filter(|(_, it)| it.reason.is_some() && !it.is_told);
        let mut names: Vec<_> = failing.filter_map(|(key, _)| Some(self.0.hubs.get(key)?.name.clone())).collect();
        names.sort();
        *self.0.untold.lock().unwrap_or_else(PoisonError::into_inner) = names;
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("k8smgr_restart_notices_total", "outcome" => outcome).increment(1);
}

/// One that has answered is not asked again.
async fn attempt(notices: Notices, key: String, hub: NotifiedHub, is_told: bool, starts: i64) -> (String, Answer) {
    if is_told {
        return (key, Answer::Taken);
    }
    tracing::debug!(uuidcode = "StartUp", hub = hub.name, starts, "telling the hub of the restart");
    let answer = match notices.0.client.post(hub.post()).await {
        Ok(status) if status.is_success() => Answer::Taken,
        Ok(status) if may_pass(status) => Answer::Passing(format!("it answered {status}")),
        Ok(status) => Answer::Refused(status),
        Err(error) => Answer::Passing(with_causes(&error)),
    };
    (key, answer)
}

/// What an ingress or a proxy says in place of a hub that is away, and what a hub says that is overloaded.
pub(super) fn may_pass(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(status, StatusCode::NOT_FOUND | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
}

fn what_to_do(status: StatusCode) -> String {
    let remedy = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            "look at cred_env_name, or TUNNELSVC_K8SMGR_USER_TOKEN and TUNNELSVC_K8SMGR_USER_PASSWORD"
        }
        status if status.is_redirection() => {
            "write the URL that it leads to into restart_url: redirects are not followed"
        }
        _ => "look at restart_url and at the hub's log",
    };
    format!("it answered {status}; {remedy}")
}
