//! From a request to everything that is going to be made. Reads the description; touches nothing.

use jiff::Timestamp;
use serde_json::Value;

use super::{Services, Site, StartError};
use crate::cluster::{ClusterError, Deadline};
use crate::config::Config;
use crate::description::{self, Certs, DescriptionRequest, Manifest, RenderedFile};
use crate::domain::{
    AppliedObject, Credential, Json, Mark, NewService, ObjectId, ServerName, ServiceName, StartId,
};

/// A start as a hub asked for it, checked.
#[derive(Clone)]
pub struct StartRequest {
    pub credential: Credential,
    pub server_name: ServerName,
    pub start_id: StartId,
    pub service: ServiceName,
    pub jhub_user_id: i64,
    pub user_options: Json,
    /// An object; its values become the environment of the service.
    pub env: Json,
    /// Headers of the request that the service gets as well: name and value.
    pub headers: Vec<(String, String)>,
    pub certs: Option<Certs>,
}

/// An object to be made: where, and its manifest.
pub struct Planned {
    pub target: AppliedObject,
    pub object: Value,
    /// Objects of a lower wave are made first: others mount them.
    pub wave: u8,
}

pub struct Plan {
    pub new: NewService,
    /// The owner Secret first.
    pub objects: Vec<Planned>,
    pub files: Vec<RenderedFile>,
}

impl Services {
    pub(super) async fn plan(&self, request: StartRequest, deadline: Deadline) -> Result<Plan, StartError> {
        let config = self.config.current();
        let site = self.site.clone();
        let prepared = tokio::task::spawn_blocking(move || prepare(&config, &site, request));
        let mut prepared = prepared.await??;
        self.locate(&mut prepared.objects, deadline).await?;
        prepared.new.objects = prepared.objects.iter().map(|it| it.target.clone()).collect();
        Ok(prepared)
    }

    /// Gives every object its namespace: only the API server knows which kinds have one.
    pub(super) async fn locate(&self, objects: &mut [Planned], deadline: Deadline) -> Result<(), ClusterError> {
        for planned in objects {
            let target = &mut planned.target;
            let wanted = target.namespace.clone();
            let default = &self.site.namespace;
            let namespace = self
                .cluster
                .namespace_for(&target.api_version, &target.kind, wanted.as_deref(), default, deadline)
                .await?;
            target.namespace = namespace.map(str::to_owned);
        }
        Ok(())
    }
}

fn prepare(config: &Config, site: &Site, request: StartRequest) -> Result<Plan, StartError> {
    let id = ObjectId::new(&request.server_name, &request.start_id);
    let mark = Mark::new(&site.installation, &request.credential, &request.server_name, &request.start_id);
    let description_request = DescriptionRequest {
        config,
        stage: site.stage.as_deref(),
        deployment_name: &site.deployment_name,
        namespace: &site.namespace,
        credential: &request.credential,
        server_name: &request.server_name,
        start_id: &request.start_id,
        id: &id,
        service: &request.service,
        user_id: request.jhub_user_id,
        user_options: &request.user_options,
        env: &request.env,
        headers: &request.headers,
        certs: request.certs.as_ref(),
        mark: &mark,
    };
    let prepared = description::prepare(&description_request)?;
    let objects = prepared.manifests.into_iter().map(Planned::from).collect();
    let new = NewService {
        credential: request.credential,
        server_name: request.server_name,
        start_id: request.start_id,
        object_id: id,
        service: request.service,
        user_options: request.user_options,
        jhub_user_id: request.jhub_user_id,
        start_date: Timestamp::now(),
        namespace: site.namespace.clone(),
        objects: Vec::new(),
        update_manifest: prepared.update_text,
    };
    Ok(Plan { new, objects, files: prepared.files })
}

impl From<Manifest> for Planned {
    fn from(manifest: Manifest) -> Self {
        let wave = manifest.wave();
        let target = AppliedObject {
            api_version: manifest.api_version,
            kind: manifest.kind,
            namespace: manifest.namespace,
            name: manifest.name,
            uid: None,
            is_workload: manifest.is_workload,
            is_kept: manifest.is_kept,
        };
        Planned { target, object: manifest.object, wave }
    }
}
