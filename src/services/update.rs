//! Applying a service's update.yaml, as it was rendered when the service started.

use std::sync::Arc;
use std::time::Duration;

use kube::api::ObjectMeta;
use serde_json::json;
use tracing::Instrument;

use super::plan::Planned;
use super::{PollError, Polled, Services, UpdateError, name_of};
use crate::cluster::{ClusterError, Deadline};
use crate::description::ownership::set_owner;
use crate::description::{Ownership, manifest, rebuild_data, workload};
use crate::domain::{AppliedObject, Credential, ServerName, ServiceRecord, ServiceState};
use crate::fail_points::fail_point;

const UPDATE_TIME: Duration = Duration::from_secs(13);

impl Services {
    /// Applies update.yaml and tells the status. Applying it again is no error. It goes on when the caller hangs up.
    pub async fn update(
        self: &Arc<Self>,
        credential: &Credential,
        server_name: &ServerName,
    ) -> Result<Polled, UpdateError> {
        let record = self.store.newest_service(credential, server_name).await?.ok_or(UpdateError::NotFound)?;
        let services = self.clone();
        self.drain.spawn(async move { services.apply_update(record).await }.in_current_span()).await??;
        self.poll(credential, server_name).await.map_err(|PollError::NotFound| UpdateError::NotFound)
    }

    async fn apply_update(self: &Arc<Self>, record: ServiceRecord) -> Result<(), UpdateError> {
        let deadline = Deadline::after(UPDATE_TIME);
        let _turn = self.turns.take(&name_of(&record), deadline).await.ok_or(UpdateError::Busy)?;
        let record = self.store.service(record.sequence).await?.ok_or(UpdateError::NotFound)?;
        // What is stopping or has ended is not made again.
        if record.state != ServiceState::Running {
            return Ok(());
        }
        let text = record.update_manifest.as_deref().ok_or(UpdateError::NoUpdate)?;
        let mark = self.mark(&record);
        let config = self.config.current();
        let main_container = &config.services.container_main_name;
        let mut manifests = manifest::parse(text, config.services.yaml_filename_update.as_str())?;
        workload::mark_update(&mut manifests, main_container);
        let ownership = Ownership::of_record(&record, &mark, main_container);
        let mut planned: Vec<Planned> = manifests.into_iter().map(|it| Planned::new(it, &ownership)).collect();
        self.locate(&mut planned, deadline).await?;

        // Written down before it is made, like everything else.
        let mut objects = record.objects.clone();
        let is_new = |it: &&Planned| !record.objects.iter().any(|known| known.is_same_object(&it.target));
        objects.extend(planned.iter().filter(is_new).map(|it| it.target.clone()));
        fail_point!(UpdateBeforeRecord);
        self.store.set_objects(record.sequence, &objects).await?;
        fail_point!(UpdateAfterRecord);

        for mut it in planned {
            if let Some(AppliedObject { name, namespace, uid: Some(uid), .. }) = record.objects.first()
                && it.target.namespace == *namespace
            {
                set_owner(&mut it.manifest, name, uid);
            }
            let uid = self.cluster.apply(&it.target, &it.manifest.object, &mark, deadline).await?;
            fail_point!(UpdateBetweenObjects);
            objects
                .iter_mut()
                .filter(|known| known.is_same_object(&it.target))
                .for_each(|it| it.uid = Some(uid.clone()));
            self.store.set_objects(record.sequence, &objects).await?;
        }
        fail_point!(UpdateAfterObjects);
        self.cluster.watch(&objects, deadline).await?;
        if let Err(error) = self.note_objects_on_owner(&objects, deadline).await {
            tracing::warn!(id = %record.object_id, %error, "what an update made is not noted for a rebuild");
        }
        self.known.put(&ServiceRecord { objects: objects.clone(), ..record.clone() }, &mark);
        self.undo_if_stopped(ServiceRecord { objects, ..record }, deadline).await
    }

    /// Another process may have stopped the service meanwhile, and what was applied after that is nobody's.
    async fn undo_if_stopped(&self, updated: ServiceRecord, deadline: Deadline) -> Result<(), UpdateError> {
        if !self.store.is_shared() {
            return Ok(());
        }
        match self.store.service(updated.sequence).await? {
            Some(current) if current.state != ServiceState::Stopping => Ok(()),
            _ => Ok(self.delete_objects(&updated, deadline).await?),
        }
    }

    /// For `rebuild`: what the update made is found again also when the database is lost. What an update that broke off
    /// made has the owner reference.
    async fn note_objects_on_owner(&self, objects: &[AppliedObject], deadline: Deadline) -> Result<(), ClusterError> {
        let Some(owner) = objects.first() else { return Ok(()) };
        let listed = rebuild_data::objects_annotation(objects);
        let change = |there: &ObjectMeta| {
            let is_noted = there.annotations.as_ref().and_then(|it| it.get(rebuild_data::OBJECTS)) == Some(&listed);
            (!is_noted).then(|| json!({ "annotations": { rebuild_data::OBJECTS: listed } }))
        };
        self.cluster.change_metadata(owner, change, deadline).await.map(|_| ())
    }
}
