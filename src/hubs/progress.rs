//! Tells hubs how their users' starts are going: one task that hears of starts (`domain::news`), of their pods and of what
//! Kubernetes says of these, and sends what comes of it. Nobody waits for it, and it keeps little: a hub that does not
//! take it is left alone.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::client::{HubClient, HubError, Post, with_causes};
use super::destination::{Destination, of_steps};
use super::resume::{OwnStarts, Resumed, Resumer};
use super::told_start::{Next, ToldStart, refuses};
use crate::cluster::Cluster;
use crate::config::{Config, Hub, SharedConfig};
use crate::domain::news::{BegunStart, HubAddress, News, StartUnderWay, Suspicion};
use crate::domain::pod_state::{PodNews, PodState};
use crate::domain::{Clock, Credential, Moment};
use crate::leader::Leader;
use crate::store::Store;

/// Between looks at what is due, while there is anything.
const TICK: Duration = Duration::from_millis(100);
const IDLE: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(5);
/// News that come faster than they are taken are lost, not kept.
const NEWS: usize = 4096;
/// Starts that are told at a time.
const MOST_STARTS: usize = 10_000;
/// Requests to one hub at a time.
const AT_ONCE: usize = 8;
/// What Kubernetes says of pods that were not seen yet, and for how long it is kept.
const MOST_UNKNOWN: usize = 256;
const UNKNOWN_FOR: Duration = Duration::from_secs(5);
/// A watch on events goes on for as long after the last start: the next one may come soon.
const WATCH_IDLE: Duration = Duration::from_secs(60);

/// What `app` hands in.
pub struct Parts {
    pub config: SharedConfig,
    pub cluster: Cluster,
    pub store: Store,
    pub leader: Leader,
    pub clock: Clock,
    /// The API server is on this machine: so everything else may be.
    pub is_on_one_machine: bool,
    pub news: mpsc::Receiver<News>,
    /// Services that seem to be over, for whoever judges.
    pub suspected: mpsc::Sender<Suspicion>,
    /// The starts whose servers do not run yet, whoever began them.
    pub under_way: Arc<dyn Fn() -> Vec<StartUnderWay> + Send + Sync>,
}

/// Runs until it is aborted.
pub async fn tell_progress_forever(parts: Parts) {
    let (pods, pod_states) = mpsc::channel(NEWS);
    let (events, pod_news) = mpsc::channel(NEWS);
    let ((resumed, resumes), (lost, losses)) = (mpsc::channel(AT_ONCE), mpsc::channel(NEWS));
    parts.cluster.watches().onlookers().listen(pods);
    let Parts { config, cluster, store, leader, clock, is_on_one_machine, news, suspected, under_way } = parts;
    let own = OwnStarts::default();
    let resumer = Resumer {
        store,
        cluster: cluster.clone(),
        leader,
        config: config.clone(),
        clock: clock.clone(),
        own: own.clone(),
        under_way,
        resumed,
        lost,
    };
    let teller = Teller {
        config,
        cluster,
        clock,
        is_on_one_machine,
        suspected,
        own,
        client: HubClient::default(),
        starts: HashMap::new(),
        labels: HashMap::new(),
        pods: HashMap::new(),
        unknown: VecDeque::new(),
        watches: BTreeMap::new(),
        events,
        sending: JoinSet::new(),
        in_flight: HashMap::new(),
        troubled: HashSet::new(),
    };
    let sources = Sources { news, pod_states, pod_news, resumes, losses };
    tokio::join!(teller.run(sources), resumer.run());
}

struct Sources {
    news: mpsc::Receiver<News>,
    pod_states: mpsc::Receiver<PodState>,
    pod_news: mpsc::Receiver<PodNews>,
    resumes: mpsc::Receiver<Resumed>,
    losses: mpsc::Receiver<i64>,
}

type Sent = (i64, Credential, Result<StatusCode, HubError>);

struct Teller {
    config: SharedConfig,
    cluster: Cluster,
    clock: Clock,
    is_on_one_machine: bool,
    suspected: mpsc::Sender<Suspicion>,
    own: OwnStarts,
    client: HubClient,
    starts: HashMap<i64, ToldStart>,
    labels: HashMap<String, i64>,
    /// By uid.
    pods: HashMap<String, i64>,
    unknown: VecDeque<(Moment, PodNews)>,
    /// One watch a namespace, while a start there is on its way.
    watches: BTreeMap<String, EventWatch>,
    events: mpsc::Sender<PodNews>,
    sending: JoinSet<Sent>,
    in_flight: HashMap<Credential, usize>,
    /// Hubs of which the log says already that they do not take it.
    troubled: HashSet<Credential>,
}

/// A watch on the events of a namespace. Ends when it is dropped.
struct EventWatch {
    handle: AbortHandle,
    /// Since when no start there is on its way.
    idle: Option<Moment>,
}

impl Drop for EventWatch {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

impl Teller {
    async fn run(mut self, mut sources: Sources) {
        let mut worked = tokio::time::Instant::now();
        loop {
            let pause = if self.starts.is_empty() { IDLE } else { TICK };
            tokio::select! {
                Some(news) = sources.news.recv() => self.hear(news),
                Some(pod) = sources.pod_states.recv() => self.see_pod(&pod),
                Some(news) = sources.pod_news.recv() => self.see_news(news),
                Some(sent) = self.sending.join_next() => if let Ok(sent) = sent { self.note(sent) },
                Some(resumed) = sources.resumes.recv() => self.resume(resumed),
                Some(lost) = sources.losses.recv() => self.forget(lost),
                () = tokio::time::sleep_until(worked + pause) => {
                    self.work();
                    worked = tokio::time::Instant::now();
                }
            }
        }
    }

    fn hear(&mut self, news: News) {
        let now = self.clock.moment();
        match news {
            News::Begun(begun) => {
                let BegunStart { start, began, address, is_awaited } = *begun;
                self.begin(start, began, Duration::ZERO, &address, is_awaited);
            }
            News::Made { sequence } => {
                if let Some(it) = self.starts.get_mut(&sequence) {
                    it.was_answered(now);
                }
            }
            News::Ended { sequence, details } => {
                let config = self.config.current();
                if let Some(it) = self.starts.get_mut(&sequence) {
                    it.end(&details, now, &config.progress_messages);
                }
            }
            News::Answered { sequence } => {
                if let Some(it) = self.starts.get_mut(&sequence) {
                    it.is_no_longer_awaited();
                }
            }
            News::Gone { sequence } => {
                if !self.starts.get(&sequence).is_some_and(ToldStart::has_last_words) {
                    self.forget(sequence);
                }
            }
            News::Counted(_) | News::AllCounted | News::EndsSoon(_) => {}
        }
    }

    /// False: this start is not told.
    fn begin(
        &mut self,
        start: StartUnderWay,
        began: Moment,
        head_start: Duration,
        address: &HubAddress,
        is_awaited: bool,
    ) -> bool {
        let config = self.config.current();
        let Some(destination) = self.destination(&config, &start.credential, address) else {
            self.own.note(start.sequence, false);
            return false;
        };
        if self.starts.len() >= MOST_STARTS {
            tracing::debug!(id = %start.object_id, "too many starts to tell of");
            return false;
        }
        self.cluster.watches().onlookers().look_at(&start.label);
        self.own.note(start.sequence, true);
        self.labels.insert(start.label.clone(), start.sequence);
        self.starts.insert(start.sequence, ToldStart::new(start, destination, began, head_start, is_awaited));
        self.watch_events();
        true
    }

    fn destination(&mut self, config: &Config, credential: &Credential, address: &HubAddress) -> Option<Destination> {
        let defaults = Hub::default();
        let hub = config.hubs.get(credential.as_str()).unwrap_or(&defaults);
        match of_steps(hub, address, self.is_on_one_machine) {
            Ok(destination) => destination,
            Err(reason) => {
                self.complain(credential, &reason.to_string());
                None
            }
        }
    }

    /// Once a hub, until it takes something.
    fn complain(&mut self, credential: &Credential, reason: &str) {
        if self.troubled.insert(credential.clone()) {
            tracing::warn!(%credential, "the hub is not told how starts are going: {reason}");
        } else {
            tracing::debug!(%credential, "the hub is not told how a start is going: {reason}");
        }
    }

    fn resume(&mut self, resumed: Resumed) {
        let Resumed { start, age, address, pods } = resumed;
        let (sequence, now) = (start.sequence, self.clock.moment());
        if self.starts.contains_key(&sequence) || !self.begin(start, now, age, &address, false) {
            return;
        }
        if let Some(it) = self.starts.get_mut(&sequence) {
            it.was_answered(now);
        }
        pods.iter().for_each(|pod| self.see_pod(pod));
    }

    fn see_pod(&mut self, pod: &PodState) {
        let now = self.clock.moment();
        let Some(sequence) = self.labels.get(&pod.service) else { return };
        let Some(it) = self.starts.get_mut(sequence) else { return };
        if self.pods.insert(pod.uid.clone(), *sequence).is_none() {
            let (known, unknown) =
                std::mem::take(&mut self.unknown).into_iter().partition(|(_, it)| it.pod_uid == pod.uid);
            self.unknown = unknown;
            it.story.see_pod(pod, now);
            let known: VecDeque<(Moment, PodNews)> = known;
            known.iter().for_each(|(_, news)| it.story.see_news(news, now));
        } else {
            it.story.see_pod(pod, now);
        }
        it.has_changed();
    }

    fn see_news(&mut self, news: PodNews) {
        let now = self.clock.moment();
        match self.pods.get(&news.pod_uid).and_then(|sequence| self.starts.get_mut(sequence)) {
            Some(it) => it.story.see_news(&news, now),
            None => {
                self.unknown.push_back((now, news));
                if self.unknown.len() > MOST_UNKNOWN {
                    self.unknown.pop_front();
                }
            }
        }
    }

    /// Everything that is due.
    fn work(&mut self) {
        let now = self.clock.moment();
        let config = self.config.current();
        self.unknown.retain(|(since, _)| now.since(*since) < UNKNOWN_FOR);
        let mut old = Vec::new();
        let mut came_up = false;
        for (sequence, it) in &mut self.starts {
            if it.is_old(now) {
                old.push(*sequence);
                continue;
            }
            if it.is_suspicious(now) {
                // Who is full asks again in two seconds.
                let _ = self.suspected.try_send(Suspicion { sequence: *sequence, has_crashed: it.has_crashed(now) });
            }
            let was_on_its_way = it.is_on_its_way();
            it.tell(now, &config.progress_messages);
            if was_on_its_way && !it.is_on_its_way() {
                came_up = true;
                self.own.remove(*sequence);
            }
            if !it.wants_to_send(now) {
                continue;
            }
            let in_flight = self.in_flight.entry(it.start.credential.clone()).or_default();
            if *in_flight < AT_ONCE
                && let Some(event) = it.next()
            {
                *in_flight += 1;
                let (client, destination) = (self.client.clone(), it.destination.clone());
                let (sequence, credential) = (*sequence, it.start.credential.clone());
                self.sending.spawn(async move { (sequence, credential, send(&client, &destination, event).await) });
            }
        }
        old.into_iter().for_each(|it| self.forget(it));
        self.watches.retain(|_, it| it.idle.is_none_or(|idle| now.since(idle) < WATCH_IDLE));
        if came_up {
            self.watch_events();
        }
        metrics::gauge!("k8smgr_starts_told").set(self.starts.values().filter(|it| it.is_on_its_way()).count() as f64);
    }

    fn note(&mut self, (sequence, credential, answer): Sent) {
        let now = self.clock.moment();
        if let Some(in_flight) = self.in_flight.get_mut(&credential) {
            *in_flight = in_flight.saturating_sub(1);
        }
        let Some(it) = self.starts.get_mut(&sequence) else { return };
        let status = answer.as_ref().ok().copied();
        let is_forbidden = matches!(answer, Err(HubError::Forbidden { .. } | HubError::Url));
        let outcome = match status {
            Some(status) if status.is_success() => "sent",
            Some(status) if refuses(status) => "refused",
            _ if is_forbidden => "refused",
            _ => "failed",
        };
        metrics::counter!("k8smgr_hub_events_total", "credential" => credential.to_string(), "outcome" => outcome)
            .increment(1);
        let next = if is_forbidden { Next::Over } else { it.was_sent(status, now) };
        let reason = match (&answer, outcome) {
            (_, "sent") => {
                self.troubled.remove(&credential);
                String::new()
            }
            (Ok(status), "refused") => format!("it answered {status} and is left alone for this start"),
            (Ok(status), _) => format!("it answered {status}"),
            (Err(error), _) => with_causes(error),
        };
        if !reason.is_empty() {
            self.complain(&credential, &reason);
        }
        if next == Next::Over {
            self.forget(sequence);
            // Nobody goes on with what a hub does not want.
            self.own.note(sequence, false);
        }
    }

    fn forget(&mut self, sequence: i64) {
        self.own.remove(sequence);
        let Some(it) = self.starts.remove(&sequence) else { return };
        self.cluster.watches().onlookers().look_away(&it.start.label);
        self.labels.remove(&it.start.label);
        self.pods.retain(|_, of| *of != sequence);
        if it.is_on_its_way() {
            self.watch_events();
        }
    }

    /// So that there is a watch on events where a start is on its way.
    fn watch_events(&mut self) {
        let now = self.clock.moment();
        let on_their_way = self.starts.values().filter(|it| it.is_on_its_way());
        let wanted: HashSet<&String> = on_their_way.flat_map(|it| &it.start.namespaces).collect();
        for (namespace, watch) in &mut self.watches {
            watch.idle = if wanted.contains(namespace) { None } else { watch.idle.or(Some(now)) };
        }
        for namespace in wanted {
            if !self.watches.contains_key(namespace) {
                let (cluster, events, of) = (self.cluster.clone(), self.events.clone(), namespace.clone());
                let tell = move |news| drop(events.try_send(news));
                let handle = tokio::spawn(async move { cluster.tell_pod_news(&of, tell).await }).abort_handle();
                self.watches.insert(namespace.clone(), EventWatch { handle, idle: None });
            }
        }
    }
}

pub(super) async fn send(client: &HubClient, destination: &Destination, body: String) -> Result<StatusCode, HubError> {
    let Destination { url, headers, certificate, reach } = destination;
    let post = Post { url, headers: headers.clone(), body, certificate, reach: *reach, timeout: TIMEOUT };
    client.post(post).await
}
