//! What goes on for hubs: services announce, watches tell, `hubs` sends.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::cluster::Cluster;
use crate::config::SharedConfig;
use crate::domain::Clock;
use crate::hubs::{self, Notices, tell_progress_forever};
use crate::leader::Leader;
use crate::services::{Services, end_suspected_forever};
use crate::store::Store;

/// What is announced and not taken yet; more is lost, which only the steps of a start are.
const NEWS: usize = 4096;

pub(super) struct Parts {
    pub config: SharedConfig,
    pub cluster: Cluster,
    pub store: Store,
    pub leader: Leader,
    pub clock: Clock,
    pub services: Arc<Services>,
    pub notices: Notices,
    pub is_on_one_machine: bool,
}

/// Begins all of it, in the background.
pub(super) fn begin(parts: Parts) -> Vec<JoinHandle<()>> {
    let Parts { config, cluster, store, leader, clock, services, notices, is_on_one_machine } = parts;
    // Each start of the service is written down by its process, and told by the one that leads.
    let owing = notices.clone();
    let owing = tokio::spawn(async move { owing.owe().await });
    let noticing = tokio::spawn(leader.clone().while_leading(move || notices.clone().tell_forever()));

    let (announced, news) = mpsc::channel(NEWS);
    let (suspected, suspects) = mpsc::channel(NEWS);
    services.announce_to(announced);
    let asked = services.clone();
    let under_way = Arc::new(move || asked.starts_under_way());
    let told = hubs::Parts { config, cluster, store, leader, clock, is_on_one_machine, news, suspected, under_way };
    let telling = tokio::spawn(tell_progress_forever(told));
    let judging = tokio::spawn(end_suspected_forever(services, suspects));
    vec![owing, noticing, telling, judging]
}
