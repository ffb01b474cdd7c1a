//! Our marks on what adopted services have in the cluster.
//!
//! They are laid over the metadata of objects and of running pods; a pod template is never touched, since that would
//! restart its pods. So a pod that a controller makes later carries no mark: `recover` looks for such pods where a
//! service does not seem to run, and before a service is called dead its workloads are asked for them.

use std::time::Duration;

use futures::{StreamExt, stream};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::ObjectMeta;
use serde_json::{Value, json};

use super::adopt::ADOPTION_TIME;
use super::{Services, adopt_outpost};
use crate::cluster::{ClusterError, Deadline};
use crate::config::Config;
use crate::description::{Ownership, rebuild_data};
use crate::domain::mark::{MAIN_ROLE, ROLE_LABEL};
use crate::domain::status::{MainContainer, Observation};
use crate::domain::{AppliedObject, Mark, NewService, ServiceRecord};
use crate::store::StoreError;

/// What marking the pods of one service may take while it is polled.
const LOOK_TIME: Duration = Duration::from_secs(2);
const AT_ONCE: usize = 4;

impl Services {
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
        let ownership = Ownership::of_record(record, &mark, main_container(record, &config));
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
        let ownership = Ownership::of_record(record, &mark, main_container(record, &config));
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
                address: None,
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
            self.cluster.is_synced(&record.objects) && !seems_to_run(&watches.observe(self.mark(record).tag()))
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
}

/// What decides in an adopted pod.
fn main_container<'a>(record: &ServiceRecord, config: &'a Config) -> &'a str {
    match record.server_name.outpost_name() {
        Some(_) => adopt_outpost::MAIN_CONTAINER,
        None => &config.services.container_main_name,
    }
}

fn seems_to_run(observation: &Observation) -> bool {
    observation
        .pods
        .iter()
        .any(|pod| !pod.is_deleting && !pod.phase.is_terminal() && pod.main == MainContainer::Running)
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

pub(super) fn new_of(record: &ServiceRecord) -> NewService {
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
        flavor: record.flavor.clone(),
        ends_at: record.ends_at,
    }
}
