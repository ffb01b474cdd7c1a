//! What goes on for hubs: services announce, watches tell, `hubs` sends and asks.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::cluster::Cluster;
use crate::config::{Environment, SharedConfig};
use crate::domain::Clock;
use crate::hubs::{
    self, CleanupParts, FlavorParts, FlavorsOf, Notices, Serves, StopService, TunnelParts, Tunnels, WarningParts,
    clean_up_forever, tell_flavors_forever, tell_progress_forever, warn_forever,
};
use crate::leader::Leader;
use crate::services::{Services, end_suspected_forever};
use crate::store::Store;

/// What is announced and not taken yet; more is lost, which only the steps of a start are.
const NEWS: usize = 4096;

#[derive(Clone)]
pub(super) struct Parts {
    pub config: SharedConfig,
    pub environment: Environment,
    pub cluster: Cluster,
    pub store: Store,
    pub leader: Leader,
    pub clock: Clock,
    pub services: Arc<Services>,
    pub notices: Notices,
    pub flavors: FlavorsOf,
    pub is_on_one_machine: bool,
}

/// Begins all of it, in the background.
pub(super) fn begin(parts: Parts) -> Vec<JoinHandle<()>> {
    let mut tasks = after_a_restart(&parts);
    tasks.push(cleaning_up(&parts));
    let (counted, heard) = mpsc::channel(NEWS);
    let Parts { config, environment, cluster, store, leader, clock, services, flavors, is_on_one_machine, .. } = parts;
    let telling = FlavorParts {
        config: config.clone(),
        environment,
        cluster: cluster.clone(),
        store: store.clone(),
        leader: leader.clone(),
        clock: clock.clone(),
        is_on_one_machine,
        flavors,
    };
    tasks.push(tokio::spawn(tell_flavors_forever(telling, heard)));

    let (announced, news) = mpsc::channel(NEWS);
    let (suspected, suspects) = mpsc::channel(NEWS);
    services.announce_to(announced);
    services.announce_to(counted);
    let (ending, ends) = mpsc::channel(NEWS);
    services.announce_to(ending);
    let warned =
        WarningParts { config: config.clone(), cluster: cluster.clone(), clock: clock.clone(), is_on_one_machine };
    tasks.push(tokio::spawn(warn_forever(warned, ends)));
    let asked = services.clone();
    let under_way = Arc::new(move || asked.starts_under_way());
    let told = hubs::Parts { config, cluster, store, leader, clock, is_on_one_machine, news, suspected, under_way };
    tasks.push(tokio::spawn(tell_progress_forever(told)));
    tasks.push(tokio::spawn(end_suspected_forever(services, suspects)));
    tasks
}

/// Each start of the process is written down by it, and told by the one that leads.
fn after_a_restart(parts: &Parts) -> Vec<JoinHandle<()>> {
    let (leader, notices) = (parts.leader.clone(), parts.notices.clone());
    let owing = notices.clone();
    let owing = tokio::spawn(async move { owing.owe().await });
    let noticing = tokio::spawn(leader.clone().while_leading(move || notices.clone().tell_forever()));

    let services = parts.services.clone();
    let serves: Serves = Arc::new(move |record| services.serves(record));
    let tunnels = Tunnels::new(TunnelParts {
        config: parts.config.clone(),
        cluster: parts.cluster.clone(),
        store: parts.store.clone(),
        clock: parts.clock.clone(),
        is_on_one_machine: parts.is_on_one_machine,
        serves,
    });
    let owed = tunnels.clone();
    let owed = tokio::spawn(async move { owed.owe().await });
    let tunnelling = tokio::spawn(leader.while_leading(move || tunnels.clone().make_forever()));
    vec![owing, noticing, owed, tunnelling]
}

fn cleaning_up(parts: &Parts) -> JoinHandle<()> {
    let cleanup = parts.environment.cleanup.clone();
    for problem in &cleanup.problems {
        tracing::error!(uuidcode = "StartUp", "{problem}");
    }
    let services = parts.services.clone();
    let stop: StopService = Arc::new(move |credential, server_name| {
        let services = services.clone();
        Box::pin(async move {
            // Gone meanwhile: so much the better.
            let _ = services.stop(&credential, &server_name).await;
        })
    });
    let cleaning = CleanupParts {
        cleanup,
        config: parts.config.clone(),
        store: parts.store.clone(),
        clock: parts.clock.clone(),
        stop,
    };
    tokio::spawn(parts.leader.clone().while_leading(move || clean_up_forever(cleaning.clone())))
}
