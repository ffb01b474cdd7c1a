//! Taking over servers that JupyterHub Outpost started by KubeSpawner: a bare pod, and the Service and the Secret of its
//! certificates that belong to it.
//!
//! As every service of ours such a one gets a Secret that owns all of it. It holds the environment, in which the hub's tokens are:
//! the Outpost kept them in its database, we keep them there. A claim for the user's home is nothing of the service.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::ObjectMeta;

use super::Services;
use super::adopt::{ADOPTION_TIME, AdoptError, Adopted, is_others};
use super::plan::{Planned, secret};
use crate::cluster::Deadline;
use crate::description::environment::is_secret_key;
use crate::description::names::secret_name;
use crate::description::{Ownership, rebuild_data};
use crate::domain::{
    AppliedObject, Credential, Json, NewService, ObjectId, OutpostName, ServerName, ServiceName, ServiceRecord, StartId,
};
use crate::store::{FoundService, Inserted};

/// The container by which KubeSpawner tells whether a server runs.
pub(super) const MAIN_CONTAINER: &str = "notebook";
/// KubeSpawner writes the name of the server here, unless it is the default one.
const SERVER_NAME_ANNOTATION: &str = "hub.jupyter.org/servername";
const USER_NAME_ANNOTATION: &str = "hub.jupyter.org/username";

/// A server as the Outpost's database has it, checked.
#[derive(Clone)]
pub struct OutpostAdoption {
    pub credential: Credential,
    pub name: OutpostName,
    pub start_id: StartId,
    /// In the place of a description, of which it was not made.
    pub service: ServiceName,
    pub user_options: Json,
    /// What the hub sent for the server, with its tokens.
    pub env: BTreeMap<String, String>,
    pub jhub_user_id: i64,
    pub start_date: jiff::Timestamp,
    pub ends_at: Option<jiff::Timestamp>,
    pub flavor: Option<String>,
    /// The Outpost was told to stop it.
    pub is_stopping: bool,
    pub namespace: String,
    pub pod_name: String,
    /// Where its hub reaches it, as an URL without a path.
    pub address: Option<String>,
}

impl Services {
    /// Takes a server over. Done twice, it changes nothing more; one that was cut short is completed.
    /// A dry run may come `before_its_user` was added.
    pub async fn adopt_of_outpost(
        &self,
        adoption: &OutpostAdoption,
        before_its_user: bool,
        is_dry: bool,
    ) -> Result<Adopted, AdoptError> {
        let deadline = Deadline::after(ADOPTION_TIME);
        let server_name = ServerName::of_outpost(&adoption.name, &adoption.start_id);
        let named = self.store.services_named(&adoption.credential, &server_name).await?;
        if let Some(record) = named.into_iter().find(|it| it.start_id == adoption.start_id) {
            // One that an import before this one did not complete.
            if !is_dry && self.store.is_adopted_and_runs(record.sequence).await? {
                self.own_and_mark(record, &adoption.env, deadline).await?;
            }
            return Ok(Adopted::ThereAlready);
        }
        if !before_its_user && self.store.user(adoption.credential.as_str()).await?.is_none() {
            return Err(AdoptError::NoUser(adoption.credential.clone()));
        }
        let id = ObjectId::of_outpost(&adoption.credential, &adoption.name, &adoption.start_id);
        let mut new = NewService {
            credential: adoption.credential.clone(),
            server_name,
            start_id: adoption.start_id.clone(),
            object_id: id.clone(),
            service: adoption.service.clone(),
            user_options: adoption.user_options.clone(),
            jhub_user_id: adoption.jhub_user_id,
            start_date: adoption.start_date,
            namespace: adoption.namespace.clone(),
            objects: Vec::new(),
            update_manifest: None,
            flavor: adoption.flavor.clone(),
            ends_at: adoption.ends_at,
        };
        let there = self.objects_of_pod(adoption, &new, deadline).await?;
        let objects = there.len();
        let owner = in_namespace(adoption, "Secret", secret_name(&id, &self.site.deployment_name), false);
        new.objects = std::iter::once(owner).chain(there).collect();
        if is_dry {
            return Ok(Adopted::Taken { objects, notes: Vec::new() });
        }
        let found = FoundService { new, is_stopping: adoption.is_stopping, is_adopted: true };
        let record = match self.store.insert_found_service(&found).await? {
            Inserted::New(record) => record,
            Inserted::SameStart(_) => return Ok(Adopted::ThereAlready),
            Inserted::IdTaken => return Err(AdoptError::NameTaken(id)),
        };
        let mut notes = Vec::new();
        if let Err(error) = self.own_and_mark(record, &adoption.env, deadline).await {
            notes.push(format!("it is not marked yet ({error}); import again"));
        }
        Ok(Adopted::Taken { objects, notes })
    }

    /// The pod, and what KubeSpawner made for it under its name.
    async fn objects_of_pod(
        &self,
        adoption: &OutpostAdoption,
        new: &NewService,
        deadline: Deadline,
    ) -> Result<Vec<AppliedObject>, AdoptError> {
        let mut pod = in_namespace(adoption, "Pod", adoption.pod_name.clone(), true);
        let metadata = self.cluster.metadata(&pod, deadline).await?;
        // One that is going will be gone.
        let Some(metadata) = metadata.filter(|it| it.deletion_timestamp.is_none()) else {
            return Err(AdoptError::NothingLeft);
        };
        if !is_of(&metadata, &adoption.name) {
            return Err(AdoptError::NotOfKubeSpawner { name: pod.name });
        }
        if is_others(&metadata, &self.mark_of_new(new), false) {
            return Err(AdoptError::OthersObject { kind: pod.kind, name: pod.name });
        }
        pod.uid = metadata.uid;
        let mut objects = vec![pod];
        for kind in ["Service", "Secret"] {
            let mut object = in_namespace(adoption, kind, adoption.pod_name.clone(), false);
            let there = self.cluster.metadata(&object, deadline).await?;
            let of_the_pod = |it: &OwnerReference| Some(&it.uid) == objects[0].uid.as_ref();
            if let Some(there) = there.filter(|it| it.owner_references.iter().flatten().any(of_the_pod)) {
                object.uid = there.uid;
                objects.push(object);
            }
        }
        // Without a Service it is the pod's own.
        let reached = objects.iter().position(|it| it.kind == "Service").unwrap_or_default();
        objects[reached].address.clone_from(&adoption.address);
        Ok(objects)
    }

    /// Makes the Secret that owns the rest, unless it is there, and lays our marks over all.
    async fn own_and_mark(
        &self,
        mut record: ServiceRecord,
        env: &BTreeMap<String, String>,
        deadline: Deadline,
    ) -> Result<(), AdoptError> {
        if let Some(owner) = record.objects.first().filter(|it| it.uid.is_none()) {
            let mark = self.mark(&record);
            let data = env.iter().filter(|(key, _)| is_secret_key(key)).map(|(key, it)| (key.clone(), it.clone()));
            let mut manifest = secret(owner.name.clone(), &record.namespace, &data.collect());
            for (key, value) in rebuild_data::annotations(&super::adopted_marks::new_of(&record), true) {
                manifest.object["metadata"]["annotations"][key] = value.into();
            }
            let planned = Planned::new(manifest, &Ownership::of_record(&record, &mark, MAIN_CONTAINER));
            let uid = self.cluster.create(owner, &planned.manifest.object, &mark, deadline).await?;
            record.objects[0].uid = Some(uid);
            self.store.set_objects(record.sequence, &record.objects).await?;
        }
        Ok(self.mark_adopted(&record, deadline).await?)
    }
}

fn in_namespace(adoption: &OutpostAdoption, kind: &str, name: String, is_workload: bool) -> AppliedObject {
    AppliedObject {
        api_version: "v1".to_owned(),
        kind: kind.to_owned(),
        namespace: Some(adoption.namespace.clone()),
        name,
        uid: None,
        is_workload,
        is_kept: false,
        address: None,
    }
}

/// Whether KubeSpawner made it for a server of this name.
fn is_of(pod: &ObjectMeta, name: &OutpostName) -> bool {
    let Some(annotations) = &pod.annotations else { return false };
    let is_of_name = annotations.get(SERVER_NAME_ANNOTATION).is_none_or(|it| it == name.as_str());
    annotations.contains_key(USER_NAME_ANNOTATION) && is_of_name
}
