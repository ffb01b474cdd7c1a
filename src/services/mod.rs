//! The use cases: start, poll, update, stop, and `recover`, which finishes what a crash or an outage left.
//!
//! A start flows `claim -> home -> apply -> record`; everything it is going to make is written down before the cluster
//! is touched. Nothing here knows HTTP.

mod adopt;
mod adopted_marks;
mod apply;
mod arrivals;
mod error;
mod explain;
mod files;
mod judge;
mod list;
mod plan;
mod poll;
mod recover;
mod start;
mod stop;
mod supersede;
mod turns;
mod update;

use std::sync::{Arc, Mutex};

use jiff::Timestamp;

pub use adopt::{AdoptError, Adopted, Adoption};
pub use error::{PollError, StartError, StopError, UpdateError};
pub use plan::StartRequest;
pub use poll::ServiceStatus;
pub use recover::recover_forever;

use crate::cluster::Cluster;
use crate::config::SharedConfig;
use crate::domain::{Credential, Mark, ServerName, ServiceRecord};
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
    site: Site,
    turns: turns::Turns<Name>,
    arrivals: arrivals::Arrivals,
    superseded: Mutex<supersede::Superseded>,
    suspicions: judge::Suspicions,
    /// A record that was `starting` before is of a process that is no more.
    born: Timestamp,
}

impl Services {
    pub fn new(store: Store, cluster: Cluster, config: SharedConfig, site: Site) -> Arc<Self> {
        Arc::new(Self {
            store,
            cluster,
            config,
            site,
            turns: turns::Turns::default(),
            arrivals: arrivals::Arrivals::default(),
            superseded: Mutex::default(),
            born: Timestamp::now(),
            suspicions: judge::Suspicions::default(),
        })
    }

    fn mark(&self, record: &ServiceRecord) -> Mark {
        let site = &self.site;
        Mark::new(&site.installation, &record.credential, &record.server_name, &record.start_id, record.start_date)
    }
}

fn name_of(record: &ServiceRecord) -> Name {
    (record.credential.clone(), record.server_name.clone())
}
