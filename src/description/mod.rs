//! A service description on disk, made into manifests: `select -> input -> render -> manifests`.
//!
//! Synchronous and without a client; the only thing it touches is the folder of the descriptions. A start takes its
//! description from the `catalogue` in memory, with the configuration that belongs to it. No error's text holds a path
//! of this machine.

mod catalogue;
pub mod environment;
mod find;
mod handlebars;
mod input;
pub mod manifest;
pub mod names;
pub mod ownership;
mod quotes;
pub mod rebuild_data;
mod render;
pub mod rendered;
mod sample;
mod select;
mod size;
mod snapshot;
pub mod template_guard;
pub mod workload;
mod yaml;
mod yaml_scalar;

#[cfg(test)]
mod fixture_tests;

use crate::config::Config;
use crate::domain::outpost::OutpostStart;
use crate::domain::{Credential, Json, ObjectId, ServerName, ServiceName, StartId};

pub use catalogue::{Broken, Catalogue, Chosen, Place, SharedCatalogue};
pub use handlebars::TemplateError;
pub use input::InputError;
pub use manifest::{Manifest, ManifestError};
pub use ownership::Ownership;
pub use render::own_keywords;
pub use select::{DescriptionFile, SelectError};
pub use size::SizeError;
pub use workload::WorkloadError;
pub use yaml::{YamlError, documents, ordered_documents};
pub use yaml_scalar::to_yaml;

/// Everything that a description is rendered with.
#[derive(Clone, Copy)]
pub struct DescriptionRequest<'a> {
    pub config: &'a Config,
    pub stage: Option<&'a str>,
    pub deployment_name: &'a str,
    /// Where objects without a namespace go.
    pub namespace: &'a str,
    pub credential: &'a Credential,
    pub server_name: &'a ServerName,
    pub start_id: &'a StartId,
    pub id: &'a ObjectId,
    pub service: &'a ServiceName,
    pub user_id: i64,
    pub user_options: &'a Json,
    /// The keys of the environment, for templates.
    pub env_names: &'a [String],
    /// What it counts as, and that flavor's resources (an object).
    pub flavor: Option<&'a str>,
    pub resources: Option<&'a Json>,
    /// What its hub expects, where it speaks Outpost's protocol.
    pub outpost: Option<&'a OutpostStart>,
}

/// A description ready to be applied.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// In the order in which they are to be made: what others mount first.
    pub manifests: Vec<Manifest>,
    /// What PUT applies, where the description has it.
    pub update_manifests: Option<Vec<Manifest>>,
    pub service_text: String,
    /// The permissions of the file it was made from.
    pub service_mode: u32,
    pub update_text: Option<String>,
    pub update_mode: u32,
    /// The other files next to service.yaml.
    pub files: Vec<DescriptionFile>,
}

#[derive(Debug, thiserror::Error)]
pub enum DescriptionError {
    #[error("Couldn't find service yaml file.")]
    NotFound,
    #[error(transparent)]
    Select(SelectError),
    #[error(transparent)]
    Input(#[from] InputError),
    #[error("`{0}` of the service description is not UTF-8")]
    NotUtf8(String),
    #[error("the service description has both `{0}` and `{0}.hbs`; remove one")]
    Both(String),
    #[error(transparent)]
    Template(#[from] handlebars::TemplateError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Workload(#[from] WorkloadError),
    #[error(transparent)]
    Size(#[from] SizeError),
}

impl From<SelectError> for DescriptionError {
    fn from(error: SelectError) -> Self {
        match error {
            SelectError::NotFound => Self::NotFound,
            other => Self::Select(other),
        }
    }
}

/// service.yaml or update.yaml with all that stands for something replaced.
#[derive(Clone, Debug)]
pub struct RenderedFile {
    pub name: String,
    pub mode: u32,
    /// As it is on disk.
    pub source: String,
    pub text: String,
}

/// A description rendered, its YAML not yet read.
#[derive(Clone, Debug)]
pub struct Rendered {
    pub service: RenderedFile,
    pub update: Option<RenderedFile>,
    /// Whether there is a folder `services.input_dir`.
    pub has_input: bool,
    /// The other files next to service.yaml.
    pub files: Vec<DescriptionFile>,
}

/// Selects, packs and renders the description of a service as it is on the disk.
pub fn render(request: &DescriptionRequest<'_>) -> Result<Rendered, DescriptionError> {
    let services = &request.config.services;
    let selection = select::select(services, request.stage, request.credential, request.service)?;
    let pack = || Ok(input::pack(selection.input, request.stage, request.credential.as_str())?);
    render_files(request, selection.files, pack)
}

/// The same, and reads what came out.
pub fn prepare(request: &DescriptionRequest<'_>) -> Result<Prepared, DescriptionError> {
    read(request, render(request)?)
}

/// The same from what was read before.
fn prepare_from(snapshot: &snapshot::Snapshot, request: &DescriptionRequest<'_>) -> Result<Prepared, DescriptionError> {
    let (files, input) = snapshot.select(&request.config.services, request.stage, request.credential)?;
    read(request, render_files(request, files, || Ok(input))?)
}

fn render_files(
    request: &DescriptionRequest<'_>,
    mut files: Vec<DescriptionFile>,
    input: impl FnOnce() -> Result<String, DescriptionError>,
) -> Result<Rendered, DescriptionError> {
    let services = &request.config.services;
    let service = take(&mut files, services.yaml_filename.as_str())?.ok_or(DescriptionError::NotFound)?;
    let update = take(&mut files, services.yaml_filename_update.as_str())?;
    let input = input()?;
    let has_input = !input.is_empty();

    let renderer = Renderer { replacements: render::Replacements::new(request, input.clone()), request, input };
    let service = renderer.render(service)?;
    let update = update.map(|file| renderer.render(file)).transpose()?;
    Ok(Rendered { service, update, has_input, files })
}

fn read(request: &DescriptionRequest<'_>, rendered: Rendered) -> Result<Prepared, DescriptionError> {
    let services = &request.config.services;
    let Rendered { service, update, files, .. } = rendered;
    let mut manifests = manifest::parse(&service.text, &service.name)?;
    workload::mark(
        &mut manifests,
        &format!("{}{}", services.deployment_main_name_prefix, request.id),
        &services.container_main_name,
    )?;
    size::check(&manifests)?;
    manifests.sort_by_key(Manifest::wave);
    let update_manifests = update.as_ref().map(|file| manifest::parse(&file.text, &file.name)).transpose()?;
    size::check(update_manifests.as_deref().unwrap_or_default())?;
    let (service_mode, service_text) = (service.mode, service.text);
    let update_mode = update.as_ref().map_or(service_mode, |file| file.mode);
    let update_text = update.map(|file| file.text);
    Ok(Prepared { manifests, update_manifests, service_text, service_mode, update_text, update_mode, files })
}

/// The file or its `.hbs`, whichever there is.
fn take(files: &mut Vec<DescriptionFile>, name: &str) -> Result<Option<DescriptionFile>, DescriptionError> {
    let template = format!("{name}.hbs");
    let mut remove = |name: &str| {
        let index = files.iter().position(|file| file.name == name)?;
        Some(files.remove(index))
    };
    match (remove(name), remove(&template)) {
        (Some(_), Some(_)) => Err(DescriptionError::Both(name.to_owned())),
        (plain, template) => Ok(plain.or(template)),
    }
}

struct Renderer<'a> {
    request: &'a DescriptionRequest<'a>,
    replacements: render::Replacements<'a>,
    input: String,
}

impl Renderer<'_> {
    fn render(&self, file: DescriptionFile) -> Result<RenderedFile, DescriptionError> {
        let DescriptionFile { name, mode, bytes } = file;
        let source = String::from_utf8(bytes).map_err(|_| DescriptionError::NotUtf8(name.clone()))?;
        let text = if name.ends_with(".hbs") {
            let context = handlebars::context(self.request, &self.replacements, &self.input);
            handlebars::render(&name, &source, &context)?
        } else {
            self.replacements.apply(&source)
        };
        Ok(RenderedFile { name, mode, source, text })
    }
}
