//! Creating, applying and deleting objects of any kind, never touching what is not ours.

use http::header::{ACCEPT, HeaderValue};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::{DynamicObject, Request};
use kube::{Api, ResourceExt};
use serde::Deserialize;
use serde_json::Value;

use super::calls::{Deadline, call};
use super::{Cluster, ClusterError, FIELD_MANAGER};
use crate::domain::AppliedObject;
use crate::domain::Mark;

/// Between looks at an object that is being deleted.
const GOING_PAUSE: std::time::Duration = std::time::Duration::from_millis(200);

/// What is asked for in answer to a change: the object itself would come back whole, with its megabyte of input.
const METADATA_ALONE: HeaderValue =
    HeaderValue::from_static("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json");

/// All that is read of an object that was made.
#[derive(Deserialize)]
struct Made {
    metadata: MadeMetadata,
}

#[derive(Deserialize)]
struct MadeMetadata {
    #[serde(default)]
    uid: String,
}

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
        let body = serde_json::to_vec(object).map_err(garbled)?;
        loop {
            match call(deadline, || self.create_once(&api, body.clone())).await {
                Ok(made) => return Ok(made.metadata.uid),
                Err(error) if error.is_already_there() => {
                    let there = call(deadline, || api.get_metadata_opt(&target.name)).await?;
                    match there {
                        Some(there) if !may_use(target, &there, mark) && !is_going(&there, mark) => {
                            return Err(taken(target));
                        }
                        Some(there) if there.metadata.deletion_timestamp.is_none() => {
                            return Ok(there.uid().unwrap_or_default());
                        }
                        // An earlier one of ours is going, or has just gone: its name is free in a moment.
                        _ if deadline.has_passed() => return Err(error),
                        _ => tokio::time::sleep(GOING_PAUSE).await,
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn create_once(&self, api: &Api<DynamicObject>, body: Vec<u8>) -> Result<Made, kube::Error> {
        let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let request = Request::new(api.resource_url()).create(&parameters, body);
        let mut request = request.map_err(kube::Error::BuildRequest)?;
        request.headers_mut().insert(ACCEPT, METADATA_ALONE);
        self.client.request(request).await
    }

    /// What the API server answers is not looked at: it is the object, or a `Status`.
    async fn delete_once(
        &self,
        api: &Api<DynamicObject>,
        name: &str,
        parameters: &DeleteParams,
    ) -> Result<(), kube::Error> {
        let request = Request::new(api.resource_url()).delete(name, parameters);
        let mut request = request.map_err(kube::Error::BuildRequest)?;
        request.headers_mut().insert(ACCEPT, METADATA_ALONE);
        self.client.request_text(request).await.map(drop)
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
            && !may_use(target, &there, mark)
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
        self.delete_within(target, mark, None, deadline).await
    }

    /// The same, and what runs gets so many seconds to end instead of its own.
    pub async fn delete_within(
        &self,
        target: &AppliedObject,
        mark: &Mark,
        grace_seconds: Option<u32>,
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
            grace_period_seconds: grace_seconds,
            preconditions: Some(Preconditions { uid: Some(uid), resource_version: None }),
            ..DeleteParams::background()
        };
        match call(deadline, || self.delete_once(&api, &target.name, &parameters)).await {
            Ok(()) => Ok(Deletion::Done),
            Err(error) if error.is_not_found() => Ok(Deletion::Done),
            Err(error) if error.is_conflict() && target.uid.is_none() => Ok(Deletion::NotOurs),
            // The name is another object's since: one that an update made anew, or somebody else's.
            Err(error) if error.is_conflict() => {
                let unknown = AppliedObject { uid: None, ..target.clone() };
                Box::pin(self.delete_within(&unknown, mark, grace_seconds, deadline)).await
            }
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

    /// Reads an object as it is now; `None` when it is not there (another one under its name is not it).
    pub async fn read(&self, target: &AppliedObject, deadline: Deadline) -> Result<Option<Value>, ClusterError> {
        let api = self.api(target, deadline).await?;
        let found = call(deadline, || api.get_opt(&target.name)).await?;
        let found = found.filter(|it| target.uid.is_none() || it.metadata.uid == target.uid);
        found.map(|it| serde_json::to_value(it).map_err(garbled)).transpose()
    }

    pub(super) async fn api(
        &self,
        target: &AppliedObject,
        deadline: Deadline,
    ) -> Result<Api<DynamicObject>, ClusterError> {
        let known = self.resource(&target.api_version, &target.kind, deadline).await?;
        Ok(known.api(&self.client, target.namespace.as_deref()))
    }
}

pub(super) fn dynamic(object: &Value) -> Result<DynamicObject, ClusterError> {
    serde_json::from_value(object.clone()).map_err(garbled)
}

pub(super) fn garbled(error: serde_json::Error) -> ClusterError {
    ClusterError::Garbled(kube::Error::SerdeError(error))
}

/// Whether an object that is there is this start's, or one to keep of the same credential.
fn may_use(target: &AppliedObject, there: &impl ResourceExt, mark: &Mark) -> bool {
    mark.is_on(there.labels()) || (target.is_kept && mark.is_of_credential(there.labels()))
}

/// Whether an object of the same credential is being deleted: its name is free soon.
fn is_going(there: &impl ResourceExt, mark: &Mark) -> bool {
    there.meta().deletion_timestamp.is_some() && mark.is_of_credential(there.labels())
}

fn taken(target: &AppliedObject) -> ClusterError {
    ClusterError::Taken { kind: target.kind.clone(), name: target.name.clone() }
}
