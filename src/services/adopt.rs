//! Taking over services that the reference implementation started: a record, and our marks on what runs.
//!
//! The record comes first, so that nothing marked is ever without one. Marks are laid over the metadata of objects and
//! of running pods; a pod template is never touched, since that would restart its pods. So a pod that a controller makes
//! later carries no mark: `recover` looks for such pods where a service does not seem to run, and before a service is
//! called dead its workloads are asked for them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::{StreamExt, stream};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::ObjectMeta;
use serde_json::{Value, json};

use super::Services;
use crate::cluster::{ClusterError, Deadline};
use crate::description::names::{certs_secret_name, secret_name};
use crate::description::rendered::{self, Rendered, RenderedError};
use crate::description::{Manifest, Ownership, rebuild_data};
use crate::domain::mark::{INSTALLATION_LABEL, MAIN_ROLE, ROLE_LABEL};
use crate::domain::status::{MainContainer, Observation};
use crate::domain::{
    AppliedObject, Credential, Json, Mark, NewService, ObjectId, ServerName, ServiceName, ServiceRecord, StartId,
};
use crate::store::{FoundService, Inserted, StoreError};

/// What taking over one service may take.
const ADOPTION_TIME: Duration = Duration::from_secs(30);
/// What marking the pods of one service may take while it is polled.
const LOOK_TIME: Duration = Duration::from_secs(2);
const AT_ONCE: usize = 4;
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
            if !is_dry {
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

    /// Lays our marks over what an adopted service has in the cluster. The pods come last: where they are marked,
    /// everything is.
    pub(super) async fn mark_adopted(&self, record: &ServiceRecord, deadline: Deadline) -> Result<(), ClusterError> {
        let mark = self.mark(record);
        let owner = record.objects.first().cloned();
        for object in record.objects.iter().filter(|it| it.uid.is_some()) {
            let is_owner = owner.as_ref() == Some(object);
            let change = |there: &ObjectMeta| match is_marked(there, &mark, object) {
                true => None,
                false => Some(self.adopting_metadata(record, object, is_owner, owner.as_ref(), there)),
            };
            self.cluster.change_metadata(object, change, deadline).await?;
        }
        for workload in record.objects.iter().filter(|it| it.is_workload) {
            self.mark_pods(record, workload, deadline).await?;
        }
        Ok(())
    }

    fn adopting_metadata(
        &self,
        record: &ServiceRecord,
        object: &AppliedObject,
        is_owner: bool,
        owner: Option<&AppliedObject>,
        there: &ObjectMeta,
    ) -> Value {
        let mark = self.mark(record);
        let config = self.config.current();
        let ownership = Ownership::of_record(record, &mark, &config.services.container_main_name);
        let mut metadata = ownership.adopting_metadata(object, &there.labels.clone().unwrap_or_default());
        if is_owner {
            for (key, value) in rebuild_data::annotations(&new_of(record), true) {
                metadata["annotations"][key] = json!(value);
            }
        } else if let Some(AppliedObject { name, namespace, uid: Some(uid), .. }) = owner
            && !object.is_kept
            && object.namespace == *namespace
        {
            let mut owners = there.owner_references.clone().unwrap_or_default();
            if owners.iter().all(|it| it.uid != *uid) {
                owners.push(OwnerReference {
                    api_version: "v1".to_owned(),
                    kind: "Secret".to_owned(),
                    name: name.clone(),
                    uid: uid.clone(),
                    ..OwnerReference::default()
                });
            }
            metadata["ownerReferences"] = json!(owners);
        }
        metadata
    }

    /// Marks the pods of an adopted workload. True: there was one that runs and was not marked.
    async fn mark_pods(
        &self,
        record: &ServiceRecord,
        workload: &AppliedObject,
        deadline: Deadline,
    ) -> Result<bool, ClusterError> {
        let Some(pods) = self.cluster.pods_of_adopted(workload, deadline).await? else { return Ok(false) };
        let (mark, config) = (self.mark(record), self.config.current());
        let ownership = Ownership::of_record(record, &mark, &config.services.container_main_name);
        let mut found = false;
        for pod in pods.into_iter().filter(|it| it.deletion_timestamp.is_none()) {
            let target = AppliedObject {
                api_version: "v1".to_owned(),
                kind: "Pod".to_owned(),
                namespace: pod.namespace,
                name: pod.name.unwrap_or_default(),
                uid: pod.uid,
                is_workload: true,
                is_kept: false,
            };
            let is_marked = |there: &ObjectMeta| is_marked(there, &mark, &target);
            let change = |there: &ObjectMeta| {
                let labels = there.labels.clone().unwrap_or_default();
                (!is_marked(there)).then(|| ownership.adopting_pod_metadata(&labels))
            };
            found |= !pod.labels.as_ref().is_some_and(|labels| mark.is_on(labels));
            self.cluster.change_metadata(&target, change, deadline).await?;
        }
        Ok(found)
    }

    /// Marks the pods that controllers made for adopted services since. Only services that do not seem to run are
    /// looked at: of the others the pod is known.
    pub(super) async fn mark_new_pods_of_adopted(&self) -> Result<(), StoreError> {
        let adopted = self.store.adopted_services().await?;
        let unseen = adopted.into_iter().filter(|record| {
            let watches = self.cluster.watches();
            self.cluster.is_synced(&record.objects) && !seems_to_run(&watches.observe(self.mark(record).service()))
        });
        let mark = |record: ServiceRecord| async move {
            if let Err(error) = self.mark_adopted(&record, Deadline::after(ADOPTION_TIME)).await {
                tracing::debug!(id = %record.object_id, %error, "the pods of an adopted service are marked later");
            }
        };
        stream::iter(unseen).for_each_concurrent(AT_ONCE, mark).await;
        Ok(())
    }

    /// Whether an adopted service has a pod that the cache does not know, or whether that cannot be told. It is known
    /// soon.
    pub(super) async fn has_unseen_pods(&self, record: &ServiceRecord) -> bool {
        let deadline = Deadline::after(LOOK_TIME);
        for workload in record.objects.iter().filter(|it| it.is_workload) {
            match self.mark_pods(record, workload, deadline).await {
                Ok(false) => {}
                Ok(true) => return true,
                Err(error) => {
                    tracing::debug!(id = %record.object_id, %error, "cannot look for pods without a mark");
                    return true;
                }
            }
        }
        false
    }

    fn mark_of_new(&self, new: &NewService) -> Mark {
        let (credential, server_name) = (&new.credential, &new.server_name);
        Mark::new(&self.site.installation, credential, server_name, &new.start_id, new.start_date)
    }
}

fn seems_to_run(observation: &Observation) -> bool {
    observation
        .pods
        .iter()
        .any(|pod| !pod.is_deleting && !pod.phase.is_terminal() && pod.main == MainContainer::Running)
}

/// Whether somebody else's mark is on it.
fn is_others(there: &ObjectMeta, mark: &Mark, is_kept: bool) -> bool {
    let Some(labels) = there.labels.as_ref().filter(|it| it.contains_key(INSTALLATION_LABEL)) else { return false };
    !(mark.is_on(labels) || (is_kept && mark.is_of_credential(labels)))
}

/// Whether all of our marks are on it that it needs.
fn is_marked(there: &ObjectMeta, mark: &Mark, object: &AppliedObject) -> bool {
    let Some(labels) = &there.labels else { return false };
    let has_role = || labels.get(ROLE_LABEL).is_some_and(|role| role == MAIN_ROLE);
    match object.is_kept {
        true => mark.is_of_credential(labels),
        false => mark.is_on(labels) && (!object.is_workload || has_role()),
    }
}

/// What an admin should know of a service that is not whole.
fn missing_parts(objects: &[AppliedObject]) -> Vec<String> {
    let missing = objects.iter().filter(|it| it.uid.is_none());
    missing.map(|it| format!("{} {} is gone", it.kind, it.name)).collect()
}

fn new_of(record: &ServiceRecord) -> NewService {
    NewService {
        credential: record.credential.clone(),
        server_name: record.server_name.clone(),
        start_id: record.start_id.clone(),
        object_id: record.object_id.clone(),
        service: record.service.clone(),
        user_options: record.user_options.clone(),
        jhub_user_id: record.jhub_user_id,
        start_date: record.start_date,
        namespace: record.namespace.clone(),
        objects: record.objects.clone(),
        update_manifest: record.update_manifest.clone(),
    }
}
