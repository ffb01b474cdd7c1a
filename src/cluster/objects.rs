//! Creating, applying and deleting objects of any kind, never touching what is not ours.

use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::DynamicObject;
use kube::{Api, ResourceExt};
use serde_json::Value;

use super::calls::{Deadline, call};
use super::{Cluster, ClusterError, FIELD_MANAGER};
use crate::domain::AppliedObject;
use crate::domain::Mark;
use crate::domain::mark::KEEP_ANNOTATION;

/// What came of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// It is gone, or Kubernetes is at it.
    Done,
    /// An object of that name is not ours: left alone.
    NotOurs,
}

impl Cluster {
    /// Creates an object and gives back its uid. A name that is taken is an error, unless the object there is one that
    /// this very start made (the answer to an earlier attempt was lost), or one to keep of the same credential.
    pub async fn create(
        &self,
        target: &AppliedObject,
        object: &Value,
        mark: &Mark,
        deadline: Deadline,
    ) -> Result<String, ClusterError> {
        let api = self.api(target, deadline).await?;
        let object = dynamic(object)?;
        let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        match call(deadline, || api.create(&parameters, &object)).await {
            Ok(made) => Ok(made.uid().unwrap_or_default()),
            Err(error) if error.is_conflict() => {
                let there = call(deadline, || api.get_metadata_opt(&target.name)).await?;
                let there = there.ok_or(error)?;
                if mark.is_on(there.labels()) || (is_kept(&object) && mark.is_of_credential(there.labels())) {
                    Ok(there.uid().unwrap_or_default())
                } else {
                    Err(taken(target))
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Applies an object by server-side apply. One that is there and is not of this start is left alone.
    pub async fn apply(
        &self,
        target: &AppliedObject,
        object: &Value,
        mark: &Mark,
        deadline: Deadline,
    ) -> Result<String, ClusterError> {
        let api = self.api(target, deadline).await?;
        let object = dynamic(object)?;
        if let Some(there) = call(deadline, || api.get_metadata_opt(&target.name)).await?
            && !mark.is_on(there.labels())
        {
            return Err(taken(target));
        }
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let patch = Patch::Apply(&object);
        let applied = call(deadline, || api.patch(&target.name, &parameters, &patch)).await?;
        Ok(applied.uid().unwrap_or_default())
    }

    /// Deletes an object that this start made: by uid where we know it, else only when it carries our mark.
    pub async fn delete(
        &self,
        target: &AppliedObject,
        mark: &Mark,
        deadline: Deadline,
    ) -> Result<Deletion, ClusterError> {
        let api = match self.api(target, deadline).await {
            Ok(api) => api,
            // The kind is no longer served: its objects went with it.
            Err(ClusterError::UnknownKind { .. }) => return Ok(Deletion::Done),
            Err(error) => return Err(error),
        };
        let uid = match &target.uid {
            Some(uid) => uid.clone(),
            None => match call(deadline, || api.get_metadata_opt(&target.name)).await? {
                None => return Ok(Deletion::Done),
                Some(there) if !mark.is_on(there.labels()) => return Ok(Deletion::NotOurs),
                Some(there) => there.uid().unwrap_or_default(),
            },
        };
        let parameters = DeleteParams {
            preconditions: Some(Preconditions { uid: Some(uid), resource_version: None }),
            ..DeleteParams::background()
        };
        match call(deadline, || api.delete(&target.name, &parameters)).await {
            Ok(_) => Ok(Deletion::Done),
            Err(error) if error.is_not_found() => Ok(Deletion::Done),
            // Another object took the name since.
            Err(error) if error.is_conflict() => Ok(Deletion::NotOurs),
            Err(error) => Err(error),
        }
    }

    /// Deletes all objects of a kind in a namespace that carry the mark.
    pub async fn delete_marked(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        mark: &Mark,
        deadline: Deadline,
    ) -> Result<(), ClusterError> {
        let api = self.resource(api_version, kind, deadline).await?.api(&self.client, Some(namespace));
        let selector = kube::api::ListParams::default().labels(&mark.selector());
        let parameters = DeleteParams::background();
        call(deadline, || api.delete_collection(&parameters, &selector)).await?;
        Ok(())
    }

    /// Reads an object as it is now; `None` when there is none.
    pub async fn read(&self, target: &AppliedObject, deadline: Deadline) -> Result<Option<Value>, ClusterError> {
        let api = match self.api(target, deadline).await {
            Err(ClusterError::UnknownKind { .. }) => return Ok(None),
            other => other?,
        };
        let found = call(deadline, || api.get_opt(&target.name)).await?;
        found.map(|it| serde_json::to_value(it).map_err(garbled)).transpose()
    }

    async fn api(&self, target: &AppliedObject, deadline: Deadline) -> Result<Api<DynamicObject>, ClusterError> {
        let known = self.resource(&target.api_version, &target.kind, deadline).await?;
        Ok(known.api(&self.client, target.namespace.as_deref()))
    }
}

fn dynamic(object: &Value) -> Result<DynamicObject, ClusterError> {
    serde_json::from_value(object.clone()).map_err(garbled)
}

fn garbled(error: serde_json::Error) -> ClusterError {
    ClusterError::Garbled(kube::Error::SerdeError(error))
}

fn is_kept(object: &DynamicObject) -> bool {
    object.annotations().get(KEEP_ANNOTATION).is_some_and(|value| value == "true")
}

fn taken(target: &AppliedObject) -> ClusterError {
    ClusterError::Taken { kind: target.kind.clone(), name: target.name.clone() }
}
