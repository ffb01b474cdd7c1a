//! Tells hubs with Outpost's protocol how many servers of each flavor they have here, whenever that may have changed: what GET
//! /flavors/ would tell them, to their JUPYTERHUB_FLAVORS_UPDATE_URL.
//!
//! Only whoever leads tells, so that an older state never comes after a newer one; what changes while one is told is told
//! afterwards, as it is then. Tokens are the services' own: heard of with their starts, else read from the Secret of one that
//! runs, and forgotten with the hub's last service.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::client::{HubClient, HubError, with_causes};
use super::flavor_update::{FlavorUpdate, FlavorsOf, Outcome};
use super::secret::read_address;
use super::told_start::refuses;
use crate::cluster::{Cluster, Deadline};
use crate::config::{Environment, SharedConfig};
use crate::domain::news::{BegunStart, CountedService, HubAddress, News};
use crate::domain::{AppliedObject, Clock, Credential, Moment, ServiceState};
use crate::leader::Leader;
use crate::store::Store;

/// Between looks at what is due, while there is anything.
const TICK: Duration = Duration::from_millis(100);
const IDLE: Duration = Duration::from_secs(1);
/// Of one hub and URL: three a second at most.
const BETWEEN: Duration = Duration::from_millis(350);
const READING_TIME: Duration = Duration::from_secs(5);
/// Attempts with growing pauses; then the next change is told.
const ATTEMPTS: u32 = 4;
/// Requests at a time, and Secrets that are read at a time.
const AT_ONCE: usize = 16;
/// URLs of one hub: one for each system that it shows.
const MOST_URLS: usize = 16;
/// Services of a hub whose Secrets are looked at after a restart: they may name several URLs.
const MOST_LOOKED_AT: usize = 3;

/// What `app` hands in.
pub struct FlavorParts {
    pub config: SharedConfig,
    pub environment: Environment,
    pub cluster: Cluster,
    pub store: Store,
    pub leader: Leader,
    pub clock: Clock,
    /// The API server is on this machine: so everything else may be.
    pub is_on_one_machine: bool,
    pub flavors: FlavorsOf,
}

/// Runs until it is aborted.
pub async fn tell_flavors_forever(parts: FlavorParts, mut news: mpsc::Receiver<News>) {
    let mut teller = Teller::new(parts);
    loop {
        teller.work().await;
        let pause = if teller.is_anything_due() { TICK } else { IDLE };
        tokio::select! {
            Some(news) = news.recv() => if teller.leads { teller.hear(news) },
            Some(Ok(sent)) = teller.sending.join_next() => teller.note(sent),
            Some(Ok(read)) = teller.reading.join_next() => teller.learn(read),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Where one hub is told, and how that goes. No `Debug`: it holds a token.
struct Target {
    address: HubAddress,
    is_due: bool,
    is_sending: bool,
    not_before: Moment,
    failures: u32,
}

type Key = (Credential, String);

type Read = (i64, Credential, Option<HubAddress>);

struct Teller {
    parts: FlavorParts,
    client: HubClient,
    leads: bool,
    targets: BTreeMap<Key, Target>,
    /// The services of these hubs, as far as they count.
    services: HashMap<i64, Credential>,
    /// Others' starts whose environment was read.
    looked_at: HashSet<i64>,
    sending: JoinSet<(Key, Outcome)>,
    reading: JoinSet<Read>,
    /// Hubs of which the log says already that they do not take it.
    troubled: HashSet<Credential>,
}

impl Teller {
    fn new(parts: FlavorParts) -> Self {
        Self {
            parts,
            client: HubClient::default(),
            leads: false,
            targets: BTreeMap::new(),
            services: HashMap::new(),
            looked_at: HashSet::new(),
            sending: JoinSet::new(),
            reading: JoinSet::new(),
            troubled: HashSet::new(),
        }
    }

    fn is_anything_due(&self) -> bool {
        self.targets.values().any(|it| it.is_due)
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Begun(begun) if begun.start.is_of_outpost => {
                let BegunStart { start, address, .. } = *begun;
                self.services.insert(start.sequence, start.credential.clone());
                self.looked_at.insert(start.sequence);
                self.keep(&start.credential, address);
                self.due(&start.credential);
            }
            News::Counted(counted) => {
                let CountedService { sequence, credential, owner } = *counted;
                self.services.insert(sequence, credential.clone());
                if let Some(owner) = owner {
                    self.look_at(sequence, &credential, owner);
                }
                self.due(&credential);
            }
            News::Ended { sequence, .. } => {
                if let Some(credential) = self.services.get(&sequence).cloned() {
                    self.due(&credential);
                }
            }
            News::Gone { sequence } => {
                self.looked_at.remove(&sequence);
                if let Some(credential) = self.services.remove(&sequence) {
                    self.due(&credential);
                }
            }
            News::AllCounted => self.targets.values_mut().for_each(Target::due),
            News::Begun(_) | News::Made { .. } | News::Answered { .. } | News::EndsSoon(_) => {}
        }
    }

    fn due(&mut self, credential: &Credential) {
        self.targets.iter_mut().filter(|((of, _), _)| of == credential).for_each(|(_, it)| it.due());
    }

    /// The newest token counts. A start may bring none.
    fn keep(&mut self, credential: &Credential, mut address: HubAddress) {
        let Some(url) = address.flavors.as_ref().map(|it| it.text.clone()) else { return };
        // Not ours to keep.
        address.token = None;
        let key = (credential.clone(), url);
        let of_this_hub = self.targets.keys().filter(|(of, _)| of == credential).count();
        match self.targets.get_mut(&key) {
            Some(known) if known.address.flavors_token.is_none() || address.flavors_token.is_some() => {
                known.address = address;
            }
            Some(_) => {}
            None if of_this_hub < MOST_URLS => {
                let not_before = self.parts.clock.moment();
                let (is_due, is_sending, failures) = (false, false, 0);
                self.targets.insert(key, Target { address, is_due, is_sending, not_before, failures });
            }
            None => tracing::debug!(%credential, "too many URLs for flavor updates"),
        }
    }

    fn look_at(&mut self, sequence: i64, credential: &Credential, owner: AppliedObject) {
        if self.reading.len() >= AT_ONCE || !self.looked_at.insert(sequence) {
            return;
        }
        let (cluster, credential) = (self.parts.cluster.clone(), credential.clone());
        self.reading.spawn(async move { (sequence, credential, read(&cluster, &owner).await) });
    }

    fn learn(&mut self, (sequence, credential, address): Read) {
        if let Some(address) = address.filter(|_| self.services.contains_key(&sequence)) {
            self.keep(&credential, address);
            self.due(&credential);
        }
    }

    async fn work(&mut self) {
        let leads = self.parts.leader.status().leading;
        if leads != self.leads {
            self.leads = leads && self.begin().await;
        }
        if !leads {
            (self.targets, self.services, self.looked_at) = Default::default();
            return;
        }
        let now = self.parts.clock.moment();
        let is_idle = |it: &Target| !it.is_due && !it.is_sending;
        let served: HashSet<&Credential> = self.services.values().collect();
        // Its last service is gone, and it was told.
        self.targets.retain(|(credential, _), it| served.contains(credential) || !is_idle(it));
        let due = self.targets.iter_mut().filter(|(_, it)| it.is_due && !it.is_sending && now >= it.not_before);
        for (key, it) in due.take(AT_ONCE.saturating_sub(self.sending.len())) {
            (it.is_due, it.is_sending) = (false, true);
            let update = FlavorUpdate::new(&self.parts, &self.client, &key.0, it.address.clone());
            let key = key.clone();
            self.sending.spawn(async move { (key, update.send().await) });
        }
    }

    /// Leads from now on: the hubs that have services, and the newest token of each. False: to be tried again.
    async fn begin(&mut self) -> bool {
        let states = [ServiceState::Starting, ServiceState::Running];
        let mut alive = match self.parts.store.services_in(&states).await {
            Ok(alive) => alive,
            Err(error) => {
                tracing::debug!(%error, "hubs are told of their flavors later");
                return false;
            }
        };
        alive.retain(|it| it.server_name.outpost_name().is_some());
        alive.sort_by_key(|it| std::cmp::Reverse(it.sequence));
        let mut looked_at: HashMap<Credential, usize> = HashMap::new();
        for record in alive {
            self.services.insert(record.sequence, record.credential.clone());
            let looks = looked_at.entry(record.credential.clone()).or_default();
            if record.state != ServiceState::Running || *looks >= MOST_LOOKED_AT {
                continue;
            }
            *looks += 1;
            self.looked_at.insert(record.sequence);
            if let Some(owner) = record.objects.first()
                && let Some(address) = read(&self.parts.cluster, owner).await
            {
                self.keep(&record.credential, address);
            }
        }
        // Whatever changed while nobody led.
        self.targets.values_mut().for_each(Target::due);
        true
    }

    fn note(&mut self, (key, outcome): (Key, Outcome)) {
        let now = self.parts.clock.moment();
        let Some(it) = self.targets.get_mut(&key) else { return };
        it.is_sending = false;
        it.not_before = now.later(BETWEEN);
        let (counted, reason) = match outcome {
            Outcome::Untold => return,
            Outcome::Answered(status) if status.is_success() => ("sent", String::new()),
            Outcome::Answered(status) if refuses(status) => ("refused", format!("it answered {status}")),
            Outcome::Refused(reason) => ("refused", reason.to_string()),
            Outcome::Failed(error @ (HubError::Forbidden { .. } | HubError::Url)) => ("refused", error.to_string()),
            Outcome::Answered(status) => ("failed", format!("it answered {status}")),
            Outcome::Failed(error) => ("failed", with_causes(&error)),
            Outcome::Unknown(reason) => ("failed", reason),
        };
        it.failures = if counted == "failed" { it.failures + 1 } else { 0 };
        if (1..ATTEMPTS).contains(&it.failures) {
            it.is_due = true;
            it.not_before = now.later(Duration::from_secs(1 << (it.failures - 1)));
        }
        let credential = key.0;
        let of = credential.to_string();
        metrics::counter!("k8smgr_flavor_updates_total", "credential" => of, "outcome" => counted).increment(1);
        if reason.is_empty() {
            self.troubled.remove(&credential);
        } else if self.troubled.insert(credential.clone()) {
            tracing::warn!(%credential, "the hub is not told of its flavors: {reason}");
        } else {
            tracing::debug!(%credential, "the hub is not told of its flavors: {reason}");
        }
    }
}

impl Target {
    fn due(&mut self) {
        self.is_due = true;
        self.failures = 0;
    }
}

async fn read(cluster: &Cluster, owner: &AppliedObject) -> Option<HubAddress> {
    let address = read_address(cluster, owner, Deadline::after(READING_TIME)).await;
    address.unwrap_or_else(|error| {
        tracing::debug!(%error, "where a hub is told of its flavors is looked up with its next start");
        None
    })
}
