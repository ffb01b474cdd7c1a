//! The rendered files of a service that runs, as the reference left them in `services.base/<id>`: which objects it made.
//!
//! Read for services that are taken over from the reference; services of ours have all of it in their record.

use std::io;
use std::path::Path;

use super::workload::{self, mark_update};
use super::{Manifest, ManifestError, manifest};
use crate::config::Services;
use crate::domain::ObjectId;

/// What the files of one service say.
#[derive(Debug)]
pub struct Rendered {
    /// What was made when it started.
    pub manifests: Vec<Manifest>,
    /// What a PUT made, or would make.
    pub update_manifests: Vec<Manifest>,
    pub update_text: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum RenderedError {
    #[error("failed to read {file}")]
    Read { file: String, source: io::Error },
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// Reads the files of one service; `None` where there are none.
pub fn read(config: &Services, base: &Path, id: &ObjectId) -> Result<Option<Rendered>, RenderedError> {
    let folder = base.join(id.as_str());
    let (service_name, update_name) = (config.yaml_filename.as_str(), config.yaml_filename_update.as_str());
    let Some(text) = read_file(&folder, service_name)? else { return Ok(None) };
    let mut manifests = manifest::parse(&text, service_name)?;
    let main_name = format!("{}{id}", config.deployment_main_name_prefix);
    // A description that we would refuse was started nevertheless: what counts was said as far as can be told.
    let _ = workload::mark(&mut manifests, &main_name, &config.container_main_name);
    for manifest in manifests.iter_mut().filter(|it| it.kind == "Deployment" && it.name == main_name) {
        manifest.counts = true;
    }
    let update_text = read_file(&folder, update_name)?;
    let mut update_manifests = match &update_text {
        Some(text) => manifest::parse(text, update_name)?,
        None => Vec::new(),
    };
    mark_update(&mut update_manifests, &config.container_main_name);
    Ok(Some(Rendered { manifests, update_manifests, update_text }))
}

fn read_file(folder: &Path, name: &str) -> Result<Option<String>, RenderedError> {
    match std::fs::read_to_string(folder.join(name)) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(RenderedError::Read { file: name.to_owned(), source }),
    }
}
