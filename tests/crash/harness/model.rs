//! What a hub may find after a crash, and whether it is so: every server whole and running, or gone without a trace.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use k8smgr::domain::{ServiceRecord, ServiceState};

use super::client::{Answer, Client};
use super::site::{HUB, Objects, Seen, Site};

/// What controllers make of what a start made.
const DERIVED: [&str; 6] =
    ["ReplicaSet", "Pod", "PersistentVolumeClaim", "Endpoints", "EndpointSlice", "ControllerRevision"];

/// What may have become of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// The starts of which one may run, whole.
    pub runs: BTreeSet<String>,
    pub may_be_gone: bool,
    /// It may have ended by itself, and be kept for its explanation.
    pub may_have_ended: bool,
    /// The hub was told that it is over: it never hears otherwise.
    pub is_told_over: bool,
}

impl Expected {
    pub fn gone() -> Self {
        Self { may_be_gone: true, ..Self::default() }
    }

    pub fn ended() -> Self {
        Self { may_have_ended: true, ..Self::default() }
    }

    pub fn runs(start_id: &str) -> Self {
        Self { runs: BTreeSet::from([start_id.to_owned()]), ..Self::default() }
    }

    pub fn or(mut self, other: Expected) -> Self {
        self.runs.extend(other.runs);
        self.may_be_gone |= other.may_be_gone;
        self.may_have_ended |= other.may_have_ended;
        self.is_told_over = false;
        self
    }

    pub fn told(mut self) -> Self {
        self.is_told_over = true;
        self
    }

    fn must_run(&self) -> bool {
        !self.runs.is_empty() && !self.may_be_gone && !self.may_have_ended
    }
}

/// A server as its hub knows it.
#[derive(Clone, Debug)]
pub struct Server {
    pub name: String,
    pub user_id: i64,
    pub expected: Expected,
    /// What it consists of, where it runs and nothing was asked of it since it was looked at.
    pub untouched: Option<BTreeSet<Seen>>,
}

/// What one look at everything found.
#[derive(Debug)]
pub enum Look {
    Holds,
    NotYet(String),
    /// Wrong for good.
    Violated(String),
    NoAnswer,
}

/// Looks once. Where all is as it may be, the servers know what became of them.
pub async fn look(site: &Site, client: &Client, servers: &mut [Server]) -> Look {
    match compare(site, client, servers).await {
        Ok(()) => Look::Holds,
        Err(look) => look,
    }
}

async fn compare(site: &Site, client: &Client, servers: &mut [Server]) -> Result<(), Look> {
    let answers = polls(client, servers).await?;
    // First the objects: what is made or removed meanwhile is taken for unfinished, never for left behind.
    let objects = site.objects();
    let records = site.records().await;
    let unsettled = records.iter().find(|it| matches!(it.state, ServiceState::Starting | ServiceState::Stopping));
    if let Some(record) = unsettled {
        return Err(Look::NotYet(format!("{} is {:?}", record.object_id, record.state)));
    }
    nothing_is_left(site, &records, &objects)?;
    if !site.stranger_is_untouched() {
        return Err(Look::Violated("an object of a stranger was touched".to_owned()));
    }
    let mut found = Vec::new();
    for (server, answer) in servers.iter().zip(&answers) {
        found.push(find(site, server, answer, &records, &objects)?);
    }
    for (server, (expected, untouched)) in servers.iter_mut().zip(found) {
        (server.expected, server.untouched) = (expected, untouched);
    }
    Ok(())
}

/// Asks for every server, as hubs do. What they are told must be right from the first moment on.
pub async fn polls(client: &Client, servers: &[Server]) -> Result<Vec<Answer>, Look> {
    let answers = join_all(servers.iter().map(|it| client.poll(&it.name))).await;
    for (server, answer) in servers.iter().zip(&answers) {
        let Some(answer) = answer else { continue };
        let is_wrong = match &server.expected {
            expected if expected.must_run() => !answer.says_running(),
            expected if expected.is_told_over => !answer.says_over(),
            _ => !answer.says_running() && !answer.says_over(),
        };
        if is_wrong {
            return Err(Look::Violated(format!("{server:?} was answered {answer:?}")));
        }
    }
    answers.into_iter().collect::<Option<_>>().ok_or(Look::NoAnswer)
}

/// Nothing without a record, in the cluster or on disk.
fn nothing_is_left(site: &Site, records: &[ServiceRecord], objects: &Objects) -> Result<(), Look> {
    let known: BTreeSet<_> = records.iter().map(|it| site.mark(it)).collect();
    if let Some((service, left)) = objects.iter().find(|(service, _)| !known.contains(*service)) {
        return Err(Look::NotYet(format!("objects of {service} without a record: {left:?}")));
    }
    let (folders, ids) = (site.names_in("services"), records.iter().map(|it| it.object_id.to_string()).collect());
    if let Some(folder) = folders.difference(&ids).next() {
        return Err(Look::NotYet(format!("files of {folder} without a record")));
    }
    match site.names_in(&format!("homes/{HUB}")).iter().find(|it| it.starts_with('.')) {
        Some(home) => Err(Look::NotYet(format!("a part of a home: {home}"))),
        None => Ok(()),
    }
}

/// What became of a server, where it may have.
fn find(
    site: &Site,
    server: &Server,
    answer: &Answer,
    records: &[ServiceRecord],
    objects: &Objects,
) -> Result<(Expected, Option<BTreeSet<Seen>>), Look> {
    // Whole or absent, whatever became of the start that it was made for.
    site.has_home(server.user_id).map_err(Look::Violated)?;
    let own: Vec<_> = records.iter().filter(|it| it.server_name.as_str() == server.name).collect();
    let expected = &server.expected;
    let record = match own[..] {
        [] if expected.may_be_gone && answer.says_over() => return Ok((Expected::gone().told(), None)),
        [record] => record,
        _ => return Err(Look::NotYet(format!("{server:?}: {} records, answered {answer:?}", own.len()))),
    };
    let nothing = BTreeSet::new();
    let there = objects.get(&site.mark(record)).unwrap_or(&nothing);
    let (start_id, is_over) = (record.start_id.as_str(), record.state == ServiceState::Ended);
    let what = if is_over && expected.may_have_ended && answer.says_over() {
        what_is_wrong_with_ended(record, there)
    } else if !is_over && expected.runs.contains(start_id) && answer.says_running() {
        let has_home = site.has_home(record.jhub_user_id).map_err(Look::Violated)?;
        if has_home { what_is_wrong_with_running(record, there) } else { Some("it has no home".to_owned()) }
    } else {
        Some(format!("{start_id} is {:?}, answered {answer:?}", record.state))
    };
    if let Some(what) = what {
        return Err(Look::NotYet(format!("{server:?}: {what}")));
    }
    match &server.untouched {
        _ if is_over => Ok((Expected::ended().told(), None)),
        Some(before) if before != there => {
            Err(Look::Violated(format!("{} was touched: {before:?} became {there:?}", server.name)))
        }
        _ => Ok((Expected::runs(start_id), Some(there.clone()))),
    }
}

fn what_is_wrong_with_running(record: &ServiceRecord, there: &BTreeSet<Seen>) -> Option<String> {
    let by_name: BTreeMap<_, _> = there.iter().map(|it| ((it.kind.as_str(), it.name.as_str()), it)).collect();
    for object in &record.objects {
        let seen = by_name.get(&(object.kind.as_str(), object.name.as_str()));
        // What an update was about to make may be there or not.
        let is_right = seen.map_or(object.uid.is_none(), |it| object.uid.as_ref().is_none_or(|uid| *uid == it.uid));
        if !is_right {
            return Some(format!("recorded {object:?}, there {seen:?}"));
        }
    }
    let is_known = |it: &&Seen| {
        DERIVED.contains(&it.kind.as_str())
            || record.objects.iter().any(|object| object.kind == it.kind && object.name == it.name)
    };
    if let Some(unknown) = there.iter().find(|it| !is_known(it)) {
        return Some(format!("not recorded: {unknown:?}"));
    }
    if let Some(going) = there.iter().find(|it| it.is_going) {
        return Some(format!("is going: {going:?}"));
    }
    let pods: Vec<_> = there.iter().filter(|it| it.kind == "Pod").collect();
    (pods.len() != 1 || !pods[0].is_running).then(|| format!("not one running pod: {pods:?}"))
}

fn what_is_wrong_with_ended(record: &ServiceRecord, there: &BTreeSet<Seen>) -> Option<String> {
    let workload = record.objects.iter().find(|it| it.is_workload);
    let pod = there.iter().find(|it| it.kind == "Pod");
    (workload.is_some() || pod.is_some()).then(|| format!("it has ended and keeps {workload:?} {pod:?}"))
}
