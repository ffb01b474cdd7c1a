//! Taking over services that the reference implementation started: what is theirs in the cluster, and their record.
//!
//! The record comes first, so that nothing marked is ever without one; the marks are `adopted_marks`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::api::ObjectMeta;

use super::Services;
use crate::cluster::{ClusterError, Deadline};
use crate::description::Manifest;
use crate::description::names::{certs_secret_name, secret_name};
use crate::description::rendered::{self, Rendered, RenderedError};
use crate::domain::mark::INSTALLATION_LABEL;
use crate::domain::{AppliedObject, Credential, Json, Mark, NewService, ObjectId, ServerName, ServiceName, StartId};
use crate::store::{FoundService, Inserted, StoreError};

/// What taking over one service may take.
pub(super) const ADOPTION_TIME: Duration = Duration::from_secs(30);
/// The kinds that the reference deletes when a service stops. Without its files they are found by name.
const KINDS_OF_THE_REFERENCE: [(&str, &str); 5] =
    [("v1", "ConfigMap"), ("v1", "Secret"), ("v1", "Service"), ("apps/v1", "Deployment"), ("v1", "Pod")];

/// A service as the reference's database has it, checked.
#[derive(Clone)]
pub struct Adoption {
    pub credential: Credential,
    pub server_name: ServerName,
    pub start_id: StartId,
    pub service: ServiceName,
    pub user_options: Json,
    pub jhub_user_id: i64,
    pub start_date: jiff::Timestamp,
    /// The reference was told to stop it.
    pub is_stopping: bool,
    /// The folder with the rendered files of all services.
    pub base: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Adopted {
    /// Its objects, and what the admin should know.
    Taken { objects: usize, notes: Vec<String> },
    /// There is a record of this very start.
    ThereAlready,
}

#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    #[error("nothing of it is left in the cluster")]
    NothingLeft,
    #[error("{kind} {name} belongs to another service or installation of K8s Manager")]
    OthersObject { kind: String, name: String },
    #[error("the pod {name} was not made by KubeSpawner for this server")]
    NotOfKubeSpawner { name: String },
    #[error("another service of K8s Manager has the name {0}")]
    NameTaken(ObjectId),
    #[error("there is no user `{0}` that could stop it; add it with `k8smgr user add` and import again")]
    NoUser(Credential),
    #[error("its rendered files cannot be read: {0}")]
    Rendered(#[from] RenderedError),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("the database failed: {0}")]
    Store(#[from] StoreError),
    #[error("reading its files broke off")]
    BrokeOff(#[from] tokio::task::JoinError),
}

impl Services {
    /// Takes a service over. Done twice, it changes nothing more; one that was cut short is completed.
    /// A dry run may come `before_its_user` was added.
    pub async fn adopt(&self, adoption: &Adoption, before_its_user: bool, is_dry: bool) -> Result<Adopted, AdoptError> {
        let deadline = Deadline::after(ADOPTION_TIME);
        let named = self.store.services_named(&adoption.credential, &adoption.server_name).await?;
        if let Some(record) = named.iter().find(|it| it.start_id == adoption.start_id) {
            // One that an import before this one did not complete.
            if !is_dry && self.store.is_adopted_and_runs(record.sequence).await? {
                self.mark_adopted(record, deadline).await?;
            }
            return Ok(Adopted::ThereAlready);
        }
        if !before_its_user && self.store.user(adoption.credential.as_str()).await?.is_none() {
            return Err(AdoptError::NoUser(adoption.credential.clone()));
        }
        let id = ObjectId::from_stored(format!("{}-{}", adoption.server_name, adoption.start_id));
        let mut notes = Vec::new();
        let rendered = self.rendered(&adoption.base, &id).await?;
        let objects = match &rendered {
            Some(rendered) => self.objects_of_files(&id, rendered, deadline).await?,
            None => {
                notes.push("its rendered files are missing: its objects were found by their names".to_owned());
                self.objects_by_name(&id, deadline).await?
            }
        };
        let mut new = NewService {
            credential: adoption.credential.clone(),
            server_name: adoption.server_name.clone(),
            start_id: adoption.start_id.clone(),
            object_id: id.clone(),
            service: adoption.service.clone(),
            user_options: adoption.user_options.clone(),
            jhub_user_id: adoption.jhub_user_id,
            start_date: adoption.start_date,
            namespace: self.site.namespace.clone(),
            objects: Vec::new(),
            update_manifest: rendered.and_then(|it| it.update_text),
            flavor: None,
            ends_at: None,
        };
        let mark = self.mark_of_new(&new);
        new.objects = self.those_there(objects, &mark, deadline).await?;
        let there = new.objects.iter().filter(|it| it.uid.is_some()).count();
        if there == 0 {
            return Err(AdoptError::NothingLeft);
        }
        notes.extend(missing_parts(&new.objects));
        if is_dry {
            return Ok(Adopted::Taken { objects: there, notes });
        }
        let found = FoundService { new, is_stopping: adoption.is_stopping, is_adopted: true };
        let record = match self.store.insert_found_service(&found).await? {
            Inserted::New(record) => record,
            Inserted::SameStart(_) => return Ok(Adopted::ThereAlready),
            Inserted::IdTaken => return Err(AdoptError::NameTaken(id)),
        };
        if let Err(error) = self.mark_adopted(&record, deadline).await {
            notes.push(format!("it is not marked yet ({error}); the service does it when it runs"));
        }
        Ok(Adopted::Taken { objects: there, notes })
    }

    async fn rendered(&self, base: &Path, id: &ObjectId) -> Result<Option<Rendered>, AdoptError> {
        let (config, base, id) = (self.config.current(), base.to_owned(), id.clone());
        let read = tokio::task::spawn_blocking(move || rendered::read(&config.services, &base, &id));
        Ok(read.await??)
    }

    fn secret(&self, name: String) -> AppliedObject {
        self.target("v1", "Secret", name, false)
    }

    fn target(&self, api_version: &str, kind: &str, name: String, is_workload: bool) -> AppliedObject {
        AppliedObject {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: Some(self.site.namespace.clone()),
            name,
            uid: None,
            is_workload,
            is_kept: false,
            address: None,
        }
    }

    /// The Secrets that the reference makes by itself, the owner first.
    fn secrets_of(&self, id: &ObjectId) -> Vec<AppliedObject> {
        let deployment_name = &self.site.deployment_name;
        vec![self.secret(secret_name(id, deployment_name)), self.secret(certs_secret_name(id, deployment_name))]
    }

    async fn objects_of_files(
        &self,
        id: &ObjectId,
        rendered: &Rendered,
        deadline: Deadline,
    ) -> Result<Vec<AppliedObject>, ClusterError> {
        let mut objects = self.secrets_of(id);
        for manifest in rendered.manifests.iter().chain(&rendered.update_manifests) {
            // The reference names everything itself; what it left to the API server cannot be found again.
            if manifest.is_name_generated {
                continue;
            }
            let object = match self.located(manifest, deadline).await {
                Ok(object) => object,
                // The kind is no longer served: its objects went with it.
                Err(ClusterError::UnknownKind { .. }) => continue,
                Err(error) => return Err(error),
            };
            match objects.iter_mut().find(|it| it.is_same_object(&object)) {
                Some(known) => known.is_workload |= object.is_workload,
                None => objects.push(object),
            }
        }
        Ok(objects)
    }

    async fn located(&self, manifest: &Manifest, deadline: Deadline) -> Result<AppliedObject, ClusterError> {
        let (api_version, kind) = (&manifest.api_version, &manifest.kind);
        let (wanted, default) = (manifest.namespace.as_deref(), self.site.namespace.as_str());
        let namespace = self.cluster.namespace_for(api_version, kind, wanted, default, deadline).await?;
        Ok(AppliedObject {
            namespace: namespace.map(str::to_owned),
            is_kept: manifest.is_kept(),
            address: None,
            ..self.target(api_version, kind, manifest.name.clone(), manifest.counts)
        })
    }

    /// Without the files: what the reference's own clean-up would look for, where its name holds the whole `<id>`.
    async fn objects_by_name(&self, id: &ObjectId, deadline: Deadline) -> Result<Vec<AppliedObject>, ClusterError> {
        let main_name = format!("{}{id}", self.config.current().services.deployment_main_name_prefix);
        let mut objects = self.secrets_of(id);
        for (api_version, kind) in KINDS_OF_THE_REFERENCE {
            let namespace = &self.site.namespace;
            for name in self.cluster.names_holding(api_version, kind, namespace, id.as_str(), deadline).await? {
                let is_workload = kind == "Pod" || (kind == "Deployment" && name == main_name);
                let object = self.target(api_version, kind, name, is_workload);
                if !objects.iter().any(|it| it.is_same_object(&object)) {
                    objects.push(object);
                }
            }
        }
        Ok(objects)
    }

    /// Those objects that are there, with their uids; the owner and workloads also where they are not: that the workload
    /// is gone is what a poll tells then.
    async fn those_there(
        &self,
        objects: Vec<AppliedObject>,
        mark: &Mark,
        deadline: Deadline,
    ) -> Result<Vec<AppliedObject>, AdoptError> {
        let mut there = Vec::new();
        for (index, mut object) in objects.into_iter().enumerate() {
            if let Some(metadata) = self.cluster.metadata(&object, deadline).await? {
                if is_others(&metadata, mark, object.is_kept) {
                    return Err(AdoptError::OthersObject { kind: object.kind, name: object.name });
                }
                object.uid = metadata.uid;
            } else if index > 0 && !object.is_workload {
                continue;
            }
            there.push(object);
        }
        Ok(there)
    }

    pub(super) fn mark_of_new(&self, new: &NewService) -> Mark {
        let (credential, server_name) = (&new.credential, &new.server_name);
        Mark::new(&self.site.installation, credential, server_name, &new.start_id, new.start_date)
    }
}

/// Whether somebody else's mark is on it.
pub(super) fn is_others(there: &ObjectMeta, mark: &Mark, is_kept: bool) -> bool {
    let Some(labels) = there.labels.as_ref().filter(|it| it.contains_key(INSTALLATION_LABEL)) else { return false };
    !(mark.is_on(labels) || (is_kept && mark.is_of_credential(labels)))
}

/// What an admin should know of a service that is not whole.
fn missing_parts(objects: &[AppliedObject]) -> Vec<String> {
    let missing = objects.iter().filter(|it| it.uid.is_none());
    missing.map(|it| format!("{} {} is gone", it.kind, it.name)).collect()
}
