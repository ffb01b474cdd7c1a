//! From a request to everything that is going to be made. Reads the description; touches nothing.
//!
//! `prepare` and `locate` know no `Services`: `check` and `render` plan with the same functions as a start.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use uuid::Uuid;

use super::{Services, Site, StartError, address};
use crate::cluster::{Cluster, ClusterError, Deadline};
use crate::config::Config;
use crate::description::names::{certs_secret_name, secret_name};
use crate::description::{Chosen, DescriptionFile, DescriptionRequest, Manifest, Ownership, Prepared, rebuild_data};
use crate::domain::outpost::OutpostStart;
use crate::domain::{
    AppliedObject, Claim, Credential, Json, Limits, Mark, NewService, ObjectId, Refusal, ServerName, ServiceName,
    StartId,
};

/// A start as a hub asked for it, checked. No `Debug`: it holds tokens.
#[derive(Clone)]
pub struct StartRequest {
    pub credential: Credential,
    pub server_name: ServerName,
    pub start_id: StartId,
    pub object_id: ObjectId,
    pub service: ServiceName,
    pub jhub_user_id: i64,
    pub user_options: Json,
    /// What the env Secret holds.
    pub env: BTreeMap<String, String>,
    /// What the certs Secret holds, where the hub sent certificates.
    pub certs: Option<BTreeMap<String, String>>,
    /// What it counts as, or why it may not be started: told only where the start was not made before.
    pub flavor: Result<Option<Claim>, Refusal>,
    /// What its hub expects, where it speaks Outpost's protocol.
    pub outpost: Option<OutpostStart>,
    /// The description, and the configuration that everything of this start goes by.
    pub chosen: Chosen,
    /// Its hub waits with its request until the server is up: the answer tells a failure.
    pub is_awaited: bool,
}

impl StartRequest {
    /// What a description is rendered with.
    pub fn description<'a>(
        &'a self,
        site: &'a Site,
        id: &'a ObjectId,
        env_names: &'a [String],
    ) -> DescriptionRequest<'a> {
        DescriptionRequest {
            config: &self.chosen.config,
            stage: site.stage.as_deref(),
            deployment_name: &site.deployment_name,
            namespace: &site.namespace,
            credential: &self.credential,
            server_name: &self.server_name,
            start_id: &self.start_id,
            id,
            service: &self.service,
            user_id: self.jhub_user_id,
            user_options: &self.user_options,
            env_names,
            flavor: self.claim().map(|it| it.flavor.as_str()),
            resources: self.claim().map(|it| &it.resources),
            outpost: self.outpost.as_ref(),
        }
    }

    pub(super) fn claim(&self) -> Option<&Claim> {
        self.flavor.as_ref().ok().and_then(Option::as_ref)
    }
}

/// An object to be made: where, and its manifest.
pub struct Planned {
    pub target: AppliedObject,
    pub manifest: Manifest,
}

pub struct Plan {
    pub new: NewService,
    pub mark: Mark,
    /// The owner Secret first.
    pub objects: Vec<Planned>,
    pub files: Vec<DescriptionFile>,
    pub config: Arc<Config>,
    pub limits: Limits,
    /// How long it may run.
    pub runtime: Option<SignedDuration>,
    pub is_awaited: bool,
}

impl Services {
    pub(super) async fn plan(&self, request: StartRequest, deadline: Deadline) -> Result<Plan, StartError> {
        let site = self.site.clone();
        let start_date = self.clock.now();
        let outpost = request.outpost.clone();
        let mut prepared = match request.chosen.is_light() {
            true => prepare(&site, request, start_date)?,
            false => {
                let prepared = tokio::task::spawn_blocking(move || prepare(&site, request, start_date));
                // A file system that hangs must not hold the name for ever.
                deadline.bound(prepared).await.ok_or(StartError::TooSlow)???
            }
        };
        self.locate(&mut prepared.objects, deadline).await?;
        if let Some(start) = &outpost
            && !address::note(&mut prepared.objects, start)
        {
            return Err(StartError::NoAddress { pod_name: start.pod_name.clone(), port: start.port });
        }
        prepared.new.objects = prepared.objects.iter().map(|it| it.target.clone()).collect();
        if let Some(owner) = prepared.objects.first_mut() {
            for (key, value) in rebuild_data::annotations(&prepared.new, false) {
                owner.manifest.object["metadata"]["annotations"][key] = json!(value);
            }
        }
        Ok(prepared)
    }

    /// Gives every object its namespace.
    pub(super) async fn locate(&self, objects: &mut [Planned], deadline: Deadline) -> Result<(), ClusterError> {
        for planned in objects {
            planned.locate(&self.cluster, &self.site.namespace, deadline).await?;
        }
        Ok(())
    }
}

/// Everything that a start would make; namespaces are as the description has them.
pub fn prepare(site: &Site, request: StartRequest, start_date: Timestamp) -> Result<Plan, StartError> {
    let id = request.object_id.clone();
    let mark = Mark::new(&site.installation, &request.credential, &request.server_name, &request.start_id, start_date);
    let env_names: Vec<String> = request.env.keys().cloned().collect();
    let prepared = request.chosen.prepare(&request.description(site, &id, &env_names))?;
    let owner = secret(secret_name(&id, &site.deployment_name), &site.namespace, &request.env);
    let certs = request.certs.as_ref();
    let certs = certs.map(|data| secret(certs_secret_name(&id, &site.deployment_name), &site.namespace, data));
    let claim = request.flavor.ok().flatten();
    let runtime = claim.as_ref().and_then(|it| it.runtime);
    let config = request.chosen.config;
    let files = rendered_files(&config, &prepared);
    let is_awaited = request.is_awaited;
    let new = NewService {
        credential: request.credential,
        server_name: request.server_name,
        start_id: request.start_id,
        object_id: id,
        service: request.service,
        user_options: request.user_options,
        jhub_user_id: request.jhub_user_id,
        start_date,
        namespace: site.namespace.clone(),
        objects: Vec::new(),
        update_manifest: prepared.update_text,
        ends_at: runtime.and_then(|it| start_date.checked_add(it).ok()),
        flavor: claim.as_ref().map(|it| it.flavor.clone()),
    };
    let limits = claim.map(|it| it.limits).unwrap_or_default();
    let ownership = Ownership::of_start(&new, &mark, &config.services.container_main_name);
    let manifests = std::iter::once(owner).chain(certs).chain(prepared.manifests);
    let objects = manifests.map(|manifest| Planned::new(manifest, &ownership)).collect();
    Ok(Plan { new, mark, objects, files, config, limits, runtime, is_awaited })
}

/// The files as the reference leaves them: service.yaml and update.yaml rendered, the others as they are.
fn rendered_files(config: &Config, prepared: &Prepared) -> Vec<DescriptionFile> {
    let file = |name: &str, mode: u32, text: &str| DescriptionFile { name: name.to_owned(), mode, bytes: text.into() };
    let (service, update) = (config.services.yaml_filename.as_str(), config.services.yaml_filename_update.as_str());
    let mut files = prepared.files.clone();
    files.push(file(service, prepared.service_mode, &prepared.service_text));
    files.extend(prepared.update_text.as_ref().map(|text| file(update, prepared.update_mode, text)));
    files
}

pub(super) fn secret(name: String, namespace: &str, data: &BTreeMap<String, String>) -> Manifest {
    let object = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"name": name, "namespace": namespace},
        "stringData": data,
    });
    Manifest {
        api_version: "v1".to_owned(),
        kind: "Secret".to_owned(),
        namespace: Some(namespace.to_owned()),
        name,
        is_name_generated: false,
        counts: false,
        object,
    }
}

impl Planned {
    /// A manifest marked as ours. A name that the API server would make up is made up here: it has to be known before
    /// the object is made, so that the object is never lost.
    pub fn new(mut manifest: Manifest, ownership: &Ownership<'_>) -> Self {
        if manifest.is_name_generated {
            let random = Uuid::new_v4().simple().to_string();
            manifest.name.push_str(&random[..5]);
            manifest.object["metadata"]["name"] = json!(manifest.name);
            manifest.is_name_generated = false;
        }
        ownership.mark(&mut manifest);
        let target = AppliedObject {
            api_version: manifest.api_version.clone(),
            kind: manifest.kind.clone(),
            namespace: manifest.namespace.clone(),
            name: manifest.name.clone(),
            uid: None,
            is_workload: manifest.counts,
            is_kept: manifest.is_kept(),
            address: None,
        };
        Self { target, manifest }
    }

    /// Gives the object its namespace: only the API server knows which kinds have one.
    pub async fn locate(&mut self, cluster: &Cluster, default: &str, deadline: Deadline) -> Result<(), ClusterError> {
        let target = &mut self.target;
        let wanted = target.namespace.clone();
        let namespace =
            cluster.namespace_for(&target.api_version, &target.kind, wanted.as_deref(), default, deadline).await?;
        target.namespace = namespace.map(str::to_owned);
        Ok(())
    }

    /// The owner is made alone and first, then what others mount, then the workloads.
    pub fn wave(&self, index: usize) -> u8 {
        if index == 0 { 0 } else { self.manifest.wave() + 1 }
    }
}
