//! Writing the records anew from what the owner Secrets in the cluster say of themselves.
//!
//! The database becomes that of the installation whose objects they are: an id that is named, or the only one there.
//! It adds what is missing and changes no record that is there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::{StreamExt, stream};
use kube::api::ObjectMeta;

use super::report::{Outcome, Report};
use crate::cluster::{Cluster, ClusterError, Deadline};
use crate::description::rebuild_data::{self, OBJECTS, RebuildData, RebuildDataError};
use crate::domain::group::Group;
use crate::domain::mark::INSTALLATION_LABEL;
use crate::domain::{AppliedObject, Credential, Mark, NewService};
use crate::store::{FoundService, Inserted, Store, StoreError, User};

/// What reading one service, or the list of them, may take.
const READING_TIME: Duration = Duration::from_secs(30);
const AT_ONCE: usize = 8;

#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    #[error("there is nothing of K8s Manager in the namespace {0}: no Secret carries its labels")]
    Nothing(String),
    #[error("there is nothing of the installation `{wanted}` in the namespace; there is {found}")]
    NotFound { wanted: String, found: String },
    #[error(
        "there are several installations in the namespace: {0}; say with --installation which one this database is of"
    )]
    Ambiguous(String),
    #[error(
        "this database is of the installation `{own}` and has services; it cannot become that of `{wanted}`. Give an \
         empty database, or stop these services first"
    )]
    Another { own: String, wanted: String },
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Rebuilds the records of the installation `wanted`, or of the one that can be meant. Gives its id and what came of it.
pub async fn rebuild(
    store: &Store,
    cluster: &Cluster,
    namespace: &str,
    wanted: Option<&str>,
) -> Result<(String, Report), RebuildError> {
    let secrets = cluster.marked_secrets(namespace, Deadline::after(READING_TIME)).await?;
    let owners: Vec<ObjectMeta> = secrets.into_iter().filter(is_owner).collect();
    let own = store.installation_id().await?;
    let installation = choose(&owners, &own, namespace, wanted)?;
    if !store.take_over_installation(&installation).await? {
        return Err(RebuildError::Another { own, wanted: installation });
    }
    let mut report = Report::default();
    let mut found = Vec::new();
    for owner in owners.iter().filter(|it| installation_of(it) == Some(installation.as_str())) {
        let (labels, annotations) = (owner.labels.clone(), owner.annotations.clone());
        match rebuild_data::read(
            &installation,
            namespace,
            &labels.unwrap_or_default(),
            &annotations.unwrap_or_default(),
        ) {
            Ok(data) => found.push((owner, data)),
            Err(error) => report.add("secret", owner.name.clone().unwrap_or_default(), refused(&error)),
        }
    }
    // The newest start of a name is the one that was written down last.
    found.sort_by_key(|(_, data)| data.new.start_date);
    add_users(store, &found, &mut report).await?;
    let id = installation.as_str();
    let read = stream::iter(found)
        .map(|(owner, data)| async move { (name_of(&data.new), read_service(cluster, owner, data, id).await) });
    let read: Vec<_> = read.buffered(AT_ONCE).collect().await;
    for (name, service) in read {
        let outcome = match service {
            Ok(service) => insert(store, service).await?,
            Err(error) => Outcome::NotTaken(error.to_string()),
        };
        report.add("service", name, outcome);
    }
    Ok((installation, report))
}

fn is_owner(secret: &ObjectMeta) -> bool {
    secret.annotations.as_ref().is_some_and(|it| it.contains_key(OBJECTS))
}

fn installation_of(object: &ObjectMeta) -> Option<&str> {
    object.labels.as_ref()?.get(INSTALLATION_LABEL).map(String::as_str)
}

fn choose(owners: &[ObjectMeta], own: &str, namespace: &str, wanted: Option<&str>) -> Result<String, RebuildError> {
    let mut services: BTreeMap<&str, usize> = BTreeMap::new();
    for installation in owners.iter().filter_map(installation_of) {
        *services.entry(installation).or_default() += 1;
    }
    let shown = || {
        let each = services.iter().map(|(installation, services)| format!("`{installation}` ({services} services)"));
        each.collect::<Vec<_>>().join(", ")
    };
    match wanted {
        _ if services.is_empty() => Err(RebuildError::Nothing(namespace.to_owned())),
        Some(wanted) if services.contains_key(wanted) => Ok(wanted.to_owned()),
        Some(wanted) => Err(RebuildError::NotFound { wanted: wanted.to_owned(), found: shown() }),
        // After a restore: the database knows whose it is.
        None if services.contains_key(own) => Ok(own.to_owned()),
        None => match services.keys().collect::<Vec<_>>().as_slice() {
            [only] => Ok((**only).to_owned()),
            _ => Err(RebuildError::Ambiguous(shown())),
        },
    }
}

fn refused(error: &RebuildDataError) -> Outcome {
    Outcome::NotTaken(error.to_string())
}

fn name_of(new: &NewService) -> String {
    format!("{} {} ({})", new.credential, new.server_name, new.start_id)
}

/// A service without a user would be stopped. Passwords are in no cluster.
async fn add_users(store: &Store, found: &[(&ObjectMeta, RebuildData)], report: &mut Report) -> Result<(), StoreError> {
    let credentials: BTreeSet<&Credential> = found.iter().map(|(_, data)| &data.new.credential).collect();
    for credential in credentials {
        let user = User {
            name: credential.clone(),
            password_hash: None,
            is_superuser: false,
            is_active: true,
            groups: BTreeSet::from([Group::Webservice]),
        };
        if store.insert_user(&user).await? {
            let note =
                format!("without a password: set one with `k8smgr user passwd {credential}`, or give it a token");
            report.add("user", credential.as_str(), Outcome::Taken(note));
        }
    }
    Ok(())
}

/// Finds out which of the listed objects are there.
async fn read_service(
    cluster: &Cluster,
    owner: &ObjectMeta,
    data: RebuildData,
    installation: &str,
) -> Result<FoundService, ClusterError> {
    let RebuildData { mut new, is_adopted } = data;
    let mark = Mark::new(installation, &new.credential, &new.server_name, &new.start_id, new.start_date);
    let deadline = Deadline::after(READING_TIME);
    let mut objects = Vec::new();
    for object in std::mem::take(&mut new.objects) {
        let there = cluster.metadata(&object, deadline).await?;
        let is_ours = |it: &ObjectMeta| {
            it.labels
                .as_ref()
                .is_some_and(|labels| mark.is_on(labels) || (object.is_kept && mark.is_of_credential(labels)))
        };
        let uid = there.filter(is_ours).and_then(|it| it.uid);
        // What is gone is of no interest, but for what a poll asks about.
        if uid.is_some() || object.is_workload || objects.is_empty() {
            objects.push(AppliedObject { uid, ..object });
        }
    }
    new.objects = objects;
    Ok(FoundService { new, is_stopping: owner.deletion_timestamp.is_some(), is_adopted })
}

async fn insert(store: &Store, mut service: FoundService) -> Result<Outcome, StoreError> {
    // The database knows a later start of the name, so this one was superseded.
    let is_superseded = store.has_newer_service(&service.new).await?;
    service.is_stopping |= is_superseded;
    let there = service.new.objects.iter().filter(|it| it.uid.is_some()).count();
    Ok(match store.insert_found_service(&service).await? {
        Inserted::New(_) if is_superseded => Outcome::Taken("it is stopped: there is a later start".to_owned()),
        Inserted::New(_) if service.is_stopping => Outcome::Taken("its stop is finished".to_owned()),
        Inserted::New(_) => Outcome::Taken(format!("{there} objects")),
        Inserted::SameStart(_) => Outcome::ThereAlready,
        Inserted::IdTaken => Outcome::NotTaken(format!("another service has the name {}", service.new.object_id)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owners(installations: &[&str]) -> Vec<ObjectMeta> {
        let owner = |installation: &&str| ObjectMeta {
            labels: Some(BTreeMap::from([(INSTALLATION_LABEL.to_owned(), (*installation).to_owned())])),
            ..ObjectMeta::default()
        };
        installations.iter().map(owner).collect()
    }

    #[test]
    fn the_installation_is_named_or_the_only_one_that_can_be_meant() {
        let choose = |installations: &[&str], own: &str, wanted: Option<&str>| {
            choose(&owners(installations), own, "golden", wanted).map_err(|error| error.to_string())
        };
        let refused = |it: Result<String, String>| it.unwrap_err();
        assert_eq!(choose(&["a", "a"], "new", None).as_deref(), Ok("a"));
        assert_eq!(choose(&["a", "b"], "b", None).as_deref(), Ok("b"), "after a restore");
        assert_eq!(choose(&["a", "b"], "b", Some("a")).as_deref(), Ok("a"));
        assert_eq!(
            refused(choose(&["a", "b", "b"], "new", None)),
            "there are several installations in the namespace: `a` (1 services), `b` (2 services); say with \
             --installation which one this database is of"
        );
        assert_eq!(
            refused(choose(&["a"], "new", Some("x"))),
            "there is nothing of the installation `x` in the namespace; there is `a` (1 services)"
        );
        assert!(refused(choose(&[], "new", Some("x"))).starts_with("there is nothing of K8s Manager"));
    }
}
