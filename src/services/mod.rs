//! The use cases: start, poll, update, stop, and `recover`, which finishes what a crash or an outage left.
//!
//! A start flows `claim -> home -> apply -> record`; everything it is going to make is written down before the cluster
//! is touched. Nothing here knows HTTP.

mod acceptance;
mod address;
mod adopt;
mod adopt_outpost;
mod adopted_marks;
mod ages;
mod apply;
mod arrivals;
mod await_up;
mod drain;
mod end_dates;
mod error;
mod explain;
mod files;
mod follow;
mod judge;
mod known;
mod list;
mod outpost;
pub mod plan;
mod poll;
mod recover;
mod replace;
mod start;
mod stop;
mod supersede;
mod survey;
mod sweep;
mod telling;
mod turns;
mod unanswered;
mod unseen;
mod unwritten;
mod update;
mod watching;

use std::collections::HashSet;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::mpsc;

pub use adopt::{AdoptError, Adopted, Adoption};
pub use adopt_outpost::OutpostAdoption;
pub use await_up::UpError;
pub use end_dates::end_services_forever;
pub use error::{PollError, StartError, StopError, UpdateError};
pub use explain::escape_html;
pub use follow::follow_changes;
pub use known::KnownService;
pub use list::ListedService;
pub use outpost::OutpostListed;
pub use plan::StartRequest;
pub use poll::{Polled, ServiceStatus};
pub use recover::recover_forever;
pub use sweep::SweepHalt;
pub use telling::end_suspected_forever;
pub use unanswered::stop_unanswered_forever;

use crate::cluster::Cluster;
use crate::cluster::watch::{Changes, WatchHealth};
use crate::config::SharedConfig;
use crate::description::{Chosen, SharedCatalogue};
use crate::domain::news::News;
use crate::domain::{Clock, Credential, Mark, Moment, ServerName, ServiceName, ServiceRecord};
use crate::store::Store;

/// What an installation is called and where it stands; fixed while the process runs.
#[derive(Clone, Debug)]
pub struct Site {
    /// `STAGE`, lower-cased.
    pub stage: Option<String>,
    /// `DEPLOYMENT_NAME`.
    pub deployment_name: String,
    /// `DEPLOYMENT_NAMESPACE`: where objects without a namespace go.
    pub namespace: String,
    /// The id that marks what is ours.
    pub installation: String,
}

/// A server as its hub names it. All work on one happens in turn.
type Name = (Credential, ServerName);

/// The services of all hubs.
pub struct Services {
    store: Store,
    cluster: Cluster,
    config: SharedConfig,
    descriptions: SharedCatalogue,
    site: Site,
    turns: turns::Turns<Name>,
    arrivals: arrivals::Arrivals,
    known: known::Known,
    unwritten: unwritten::UnwrittenStops,
    drain: drain::Drain,
    stop_places: tokio::sync::Semaphore,
    superseded: Mutex<supersede::Superseded>,
    suspicions: judge::Suspicions,
    unseen: unseen::Unseen,
    clock: Clock,
    /// What another process asked for, it asked for before.
    began: Moment,
    ages: ages::Ages,
    recovering: recover::Recovering,
    sweeping: sweep::Sweeping,
    /// The services that this process has begun to start and that are not gone yet.
    started: Mutex<HashSet<i64>>,
    /// The highest sequence that was there before this process: what runs and came later is known to have been made.
    inherited: AtomicI64,
    /// Who hears of what happens to starts.
    news: RwLock<Vec<mpsc::Sender<News>>>,
    /// Who waits for a start, by its sequence.
    changes: Changes<i64>,
    /// The starts whose servers are waited for.
    awaited: Mutex<HashSet<i64>>,
    unanswered: unanswered::Unanswered,
}

impl Services {
    pub fn new(
        store: Store,
        cluster: Cluster,
        config: SharedConfig,
        descriptions: SharedCatalogue,
        site: Site,
        clock: Clock,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            cluster,
            config,
            descriptions,
            site,
            turns: turns::Turns::default(),
            arrivals: arrivals::Arrivals::default(),
            known: known::Known::default(),
            unwritten: unwritten::UnwrittenStops::default(),
            drain: drain::Drain::default(),
            stop_places: tokio::sync::Semaphore::new(stop::STOPS_AT_ONCE),
            superseded: Mutex::default(),
            began: clock.moment(),
            clock,
            ages: ages::Ages::default(),
            recovering: recover::Recovering::default(),
            sweeping: sweep::Sweeping::default(),
            started: Mutex::default(),
            inherited: AtomicI64::default(),
            news: RwLock::default(),
            changes: Changes::default(),
            awaited: Mutex::default(),
            unanswered: unanswered::Unanswered::default(),
            suspicions: judge::Suspicions::default(),
            unseen: unseen::Unseen::default(),
        })
    }

    fn started(&self) -> MutexGuard<'_, HashSet<i64>> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn awaited(&self) -> MutexGuard<'_, HashSet<i64>> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The record is no more, whoever removed it.
    fn forget(&self, sequence: i64) {
        self.started().remove(&sequence);
        self.ages.forget(sequence);
        self.recovering.forget(sequence);
        self.changes.tell(&sequence);
    }

    /// How the watches on the cluster are doing.
    pub fn cluster_health(&self) -> Vec<WatchHealth> {
        self.cluster.health()
    }

    /// What a start of this service is made from, whatever changes afterwards.
    pub fn choose(&self, credential: &Credential, service: &ServiceName) -> Chosen {
        self.descriptions.current().choose(credential, service)
    }

    /// Where objects without a namespace go.
    pub fn namespace(&self) -> &str {
        &self.site.namespace
    }

    fn mark(&self, record: &ServiceRecord) -> Mark {
        let site = &self.site;
        Mark::new(&site.installation, &record.credential, &record.server_name, &record.start_id, record.start_date)
    }
}

fn name_of(record: &ServiceRecord) -> Name {
    (record.credential.clone(), record.server_name.clone())
}
