//! Taking over what JupyterHub Outpost keeps: hubs, for whom passwords are given, and the servers that KubeSpawner started.
//!
//! Hubs come first: a service without a user would be stopped. Starts that were on their way in the Outpost are left out; it does
//! not finish them either after a restart.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::fernet::{FernetError, FernetKey};
use super::import::start_date;
use super::report::{Outcome, Report};
use crate::auth::{PasswordError, hash_password};
use crate::domain::group::Group;
use crate::domain::{Credential, Json, OutpostName, ServiceName, StartId};
use crate::services::{Adopted, OutpostAdoption, Services};
use crate::store::{NewUser, OutpostDatabase, OutpostService, Store, StoreError};

/// What stands in the place of the description.
const SERVICE: &str = "KubeSpawner";
/// The Outpost's word for no end: Python's last moment, which is beyond the last one that we can tell.
const NO_END: &str = "9999-";

#[derive(Debug, thiserror::Error)]
pub enum OutpostImportError {
    #[error("OUTPOST_CRYPT_KEY is not set: without the Outpost's key its services cannot be read")]
    NoKey,
    #[error(transparent)]
    Key(#[from] FernetError),
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What an import needs.
pub struct OutpostImport {
    pub store: Store,
    pub services: Arc<Services>,
    /// The Outpost's OUTPOST_CRYPT_KEY.
    pub key: Option<SecretString>,
    /// Hubs with their passwords: the Outpost's `usernames` and `passwords`.
    pub hubs: Vec<(Credential, SecretString)>,
    /// Only tell what would be done.
    pub is_dry: bool,
}

/// Takes over all that can be. Fails only where our own database does, or where nothing can be read.
pub async fn import_outpost(outpost: &OutpostDatabase, import: &OutpostImport) -> Result<Report, OutpostImportError> {
    let key = match &import.key {
        Some(key) => FernetKey::parse(key)?,
        None => return Err(OutpostImportError::NoKey),
    };
    let mut report = Report::default();
    for hub in &outpost.hubs {
        report.add("user", hub, import.user(hub).await?);
    }
    let read: Vec<_> = outpost.services.iter().map(|it| checked(it, &key)).collect();
    let pods = newest_of_each_pod(&read);
    let mut seen = HashSet::new();
    for (service, read) in outpost.services.iter().zip(&read) {
        let outcome = match read {
            Err(reason) => Outcome::NotTaken(reason.clone()),
            // The Outpost changes the first of them only.
            Ok(it) if !seen.insert(start_of(it)) => Outcome::NotTaken("a row before is of the same start".to_owned()),
            Ok(it) if pods.get(&pod_of(it)) != Some(&start_of(it)) => {
                Outcome::NotTaken(format!("its pod {} was replaced by that of a later start", it.pod_name))
            }
            Ok(it) => import.service(it, outpost).await,
        };
        let OutpostService { jupyterhub_username: hub, name, start_id, .. } = service;
        report.add("service", format!("{hub} {name:?} ({start_id})"), outcome);
    }
    Ok(report)
}

type Start<'a> = (&'a Credential, &'a OutpostName, &'a StartId);
type Pod<'a> = (&'a str, &'a str);

fn start_of(it: &OutpostAdoption) -> Start<'_> {
    (&it.credential, &it.name, &it.start_id)
}

fn pod_of(it: &OutpostAdoption) -> Pod<'_> {
    (&it.namespace, &it.pod_name)
}

/// The Outpost names pods by user and server: a later start takes the pod's name over.
fn newest_of_each_pod(read: &[Result<OutpostAdoption, String>]) -> HashMap<Pod<'_>, Start<'_>> {
    read.iter().flatten().map(|it| (pod_of(it), start_of(it))).collect()
}

impl OutpostImport {
    fn password_of(&self, hub: &str) -> Option<&SecretString> {
        self.hubs.iter().find(|(name, _)| name.as_str() == hub).map(|(_, password)| password)
    }

    async fn user(&self, hub: &str) -> Result<Outcome, OutpostImportError> {
        let Ok(name) = Credential::parse(hub) else {
            return Ok(Outcome::NotTaken("a user's name is letters, digits and @ . + - _, at most 150".to_owned()));
        };
        if self.store.user(hub).await?.is_some() {
            return Ok(Outcome::ThereAlready);
        }
        let Some(password) = self.password_of(hub) else {
            let how = "set `usernames` and `passwords` as the Outpost has them, or add it with `k8smgr user add`";
            return Ok(Outcome::NotTaken(format!("its password is not given: {how}, and import again")));
        };
        if self.is_dry {
            return Ok(Outcome::Taken(String::new()));
        }
        let password_hash = Some(hash_password(password.clone()).await?);
        let groups = [Group::Webservice].into();
        let is_new = self.store.create_user(&NewUser { name, password_hash, is_superuser: false, groups }).await?;
        Ok(if is_new { Outcome::Taken(String::new()) } else { Outcome::ThereAlready })
    }

    async fn service(&self, adoption: &OutpostAdoption, outpost: &OutpostDatabase) -> Outcome {
        // A dry run has not taken the user.
        let hub = adoption.credential.as_str();
        let comes_with_its_user = self.password_of(hub).is_some() && outpost.hubs.iter().any(|it| it == hub);
        match self.services.adopt_of_outpost(adoption, self.is_dry && comes_with_its_user, self.is_dry).await {
            Ok(Adopted::Taken { objects, notes }) => {
                let stops = adoption.is_stopping.then(|| "its stop is finished when the service runs".to_owned());
                let ends = adoption.ends_at.map(|it| format!("until {it}"));
                let all = std::iter::once(format!("{objects} objects")).chain(ends).chain(notes).chain(stops);
                Outcome::Taken(all.collect::<Vec<_>>().join("; "))
            }
            Ok(Adopted::ThereAlready) => Outcome::ThereAlready,
            Err(error) => Outcome::NotTaken(error.to_string()),
        }
    }
}

/// A row as it can be taken, or why not. No text holds anything of what was sealed but names of pods.
fn checked(service: &OutpostService, key: &FernetKey) -> Result<OutpostAdoption, String> {
    let bad = |what: &str, error: &dyn std::fmt::Display| format!("{what}: {error}");
    if !service.state_stored {
        return Err("its start was on its way: it was not finished by the Outpost, and is not here".to_owned());
    }
    let state = opened(service.state.as_deref(), key).map_err(|it| bad("state", &it))?;
    let body = opened(service.body.as_deref(), key).map_err(|it| bad("body", &it))?;
    let answer = opened(service.start_response.as_deref(), key).map_err(|it| bad("start_response", &it))?;
    let address = answer.get("service").and_then(Json::as_str).filter(|it| is_url(it));
    let text_of = |name: &str| state.get(name).and_then(Json::as_str).map(str::to_owned);
    let not_kubespawners = "its state names no pod and namespace: only servers that KubeSpawner started are taken over";
    let (Some(pod_name), Some(namespace)) = (text_of("pod_name"), text_of("namespace")) else {
        return Err(not_kubespawners.to_owned());
    };
    let env = match body.get("env") {
        Some(Json::Object(members)) => members.iter().map(|(key, value)| (key.clone(), value.python_str())).collect(),
        _ => BTreeMap::new(),
    };
    let user_options = body.get("user_options").filter(|it| matches!(it, Json::Object(_)));
    let date =
        |text: &Option<String>| text.as_deref().map(|it| start_date(it).ok_or_else(|| format!("`{it}` is no date")));
    Ok(OutpostAdoption {
        credential: Credential::parse(&service.jupyterhub_username).map_err(|it| bad("jupyterhub_username", &it))?,
        name: OutpostName::parse(&service.name).map_err(|it| bad("name", &it))?,
        start_id: StartId::parse(&service.start_id).map_err(|it| bad("start_id", &it))?,
        service: ServiceName::parse(SERVICE).map_err(|it| bad("service", &it))?,
        user_options: user_options.cloned().unwrap_or_else(|| Json::Object(Vec::new())),
        env,
        jhub_user_id: service.jupyterhub_user_id,
        start_date: date(&service.start_date).transpose()?.ok_or("it has no start date")?,
        ends_at: date(&service.end_date.clone().filter(|it| !it.starts_with(NO_END))).transpose()?,
        flavor: service.flavor.clone().filter(|it| !it.is_empty()),
        is_stopping: service.stop_pending,
        namespace,
        pod_name,
        address: address.map(str::to_owned),
    })
}

fn is_url(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

/// The Outpost takes nothing for an empty object.
fn opened(token: Option<&[u8]>, key: &FernetKey) -> Result<Json, String> {
    let Some(token) = token else { return Ok(Json::Object(Vec::new())) };
    let text = key.open(token).map_err(|it| it.to_string())?;
    Json::parse(text.expose_secret().as_bytes()).map_err(|_| "it is no JSON".to_owned())
}
