//! One description for one credential and stage: rendered with a sample start, exactly as a start would.

use std::path::PathBuf;

use super::codes::Code;
use super::finding::{Audience, Finding, Findings};
use super::keywords::{self, Usage};
use super::manifests::{self, Sample};
use super::origin::Origin;
use super::{pods, refusals, sample};
use crate::config::Config;
use crate::description::{self, DescriptionError, Rendered, TemplateError};
use crate::domain::{Json, ObjectId};
use crate::services::plan::{self, Plan};
use crate::services::{Site, StartError, StartRequest};

/// More options than any template needs.
const MOST_OPTIONS: usize = 50;

pub struct Case<'a> {
    pub config: &'a Config,
    pub site: Site,
    pub request: StartRequest,
    /// Of the description.
    pub folder: PathBuf,
}

/// What came of it: what would be made, where a start would be let through.
pub struct Outcome {
    pub plan: Option<Plan>,
    pub origins: Vec<Origin>,
    pub usage: Option<Usage>,
    pub findings: Findings,
}

impl Case<'_> {
    pub fn audience(&self) -> Audience {
        Audience { credential: self.request.credential.to_string(), stage: self.site.stage.clone() }
    }

    /// Looks for everything that is wrong.
    pub fn check(mut self) -> Outcome {
        let mut findings = Findings::default();
        let rendered = match self.render(&mut findings) {
            Ok(rendered) => rendered,
            Err(error) => {
                findings.add(refusals::finding(&error, &self.folder, &[]));
                return Outcome { plan: None, origins: Vec::new(), usage: None, findings };
            }
        };
        let usage = Some(self.usage(&rendered));
        let has_input = rendered.has_input;
        let mut origins = vec![Origin::new(&self.folder, rendered.service)];
        origins.extend(rendered.update.map(|it| Origin::new(&self.folder, it)));
        self.input(has_input, &origins, &mut findings);
        for origin in &origins {
            keywords::left_over(origin, &self.config.services.replace, &self.audience(), &mut findings);
            manifests::empty_documents(origin, &mut findings);
        }
        self.objects(&origins, &mut findings);
        let plan = match plan::prepare(&self.site, self.request.clone(), jiff::Timestamp::now()) {
            Ok(plan) => Some(plan),
            Err(StartError::Description(error)) => {
                findings.add(refusals::finding(&error, &self.folder, &origins));
                None
            }
            Err(error) => {
                findings.add(Finding::new(Code::Manifest, error.to_string()).at(&self.folder, None));
                None
            }
        };
        Outcome { plan, origins, usage, findings }
    }

    /// A template may need options that only the hub knows: each is told, and stood for by a sample.
    fn render(&mut self, findings: &mut Findings) -> Result<Rendered, DescriptionError> {
        for _ in 0..MOST_OPTIONS {
            let id = ObjectId::new(&self.request.server_name, &self.request.start_id);
            let env_names: Vec<String> = self.request.env.keys().cloned().collect();
            let error = match description::render(&self.request.description(&self.site, &id, &env_names)) {
                Err(DescriptionError::Template(error)) => error,
                other => return other,
            };
            let TemplateError::Render { file, place, missing: Some(missing), .. } = &error else {
                return Err(error.into());
            };
            // For hubs of Outpost's protocol only: it is rendered as for one.
            if missing.starts_with("outpost") && self.request.outpost.is_none() {
                self.request.outpost = Some(sample::outpost());
                continue;
            }
            let Some(path) = missing.strip_prefix("user_options.") else { return Err(error.into()) };
            let Some(options) = with_sample(&self.request.user_options, path) else { return Err(error.into()) };
            self.request.user_options = options;
            let message = format!("`{missing}` is needed");
            let line = place.0.map(|(line, _)| line);
            findings.add(Finding::new(Code::TemplateOption, message).at(&self.folder.join(file), line));
        }
        Err(DescriptionError::NotFound)
    }

    fn usage(&self, rendered: &Rendered) -> Usage {
        let files = || std::iter::once(&rendered.service).chain(&rendered.update);
        let source = files().map(|it| it.source.as_str()).collect::<Vec<_>>().join("\n");
        Usage { audience: self.audience(), source, is_template: files().any(|it| it.name.ends_with(".hbs")) }
    }

    fn input(&self, has_input: bool, origins: &[Origin], findings: &mut Findings) {
        let replace = &self.config.services.replace;
        let marked = format!("{}{}{}", replace.indicators.open, replace.input_keyword, replace.indicators.close);
        let uses = |origin: &&Origin| match origin.file.name.ends_with(".hbs") {
            true => origin.file.source.contains("input"),
            false => origin.file.source.contains(&marked),
        };
        let user = origins.iter().find(uses);
        let folder_name = self.config.services.input_dir.as_str();
        match (has_input, user) {
            (true, None) => {
                let message = format!("nothing uses the folder `{folder_name}`");
                findings.add(Finding::new(Code::InputUnused, message).at(&self.folder.join(folder_name), None));
            }
            (false, Some(origin)) if !origin.file.name.ends_with(".hbs") => {
                let line = origin.file.source.lines().position(|it| it.contains(&marked)).map(|it| it + 1);
                let message = format!("`{marked}` stands for nothing: there is no folder `{folder_name}`");
                findings.add(Finding::new(Code::InputMissing, message).at(&origin.path, line));
            }
            _ => {}
        }
    }

    fn objects(&self, origins: &[Origin], findings: &mut Findings) {
        let id = ObjectId::new(&self.request.server_name, &self.request.start_id);
        let sample = Sample {
            id: &id,
            user_id: self.request.jhub_user_id,
            deployment_name: &self.site.deployment_name,
            namespace: &self.site.namespace,
            pod_name: self.request.outpost.as_ref().map(|it| it.pod_name.as_str()),
            indicator: &self.config.services.replace.indicators.open,
        };
        let Some(service) = origins.first() else { return };
        let services = &self.config.services;
        let made = manifests::of(service);
        manifests::check(service, &made, &sample, findings);
        pods::check(service, &made, &sample, findings);
        let main_name = format!("{}{id}", services.deployment_main_name_prefix);
        pods::main_name(service, &made, &main_name, &services.container_main_name, findings);
        if let Some(update) = origins.get(1) {
            let updated = manifests::of(update);
            manifests::each(update, &updated, &sample, findings);
            manifests::additions(update, &updated, &made, &sample, findings);
        }
    }
}

/// The options with a sample at `path`; nothing where something stands in its way.
fn with_sample(options: &Json, path: &str) -> Option<Json> {
    let (key, rest) = path.split_once('.').map_or((path, None), |(key, rest)| (key, Some(rest)));
    let is_name = |it: &str| !it.is_empty() && it.chars().all(|c| c.is_alphanumeric() || "_-".contains(c));
    let Json::Object(members) = options else { return None };
    let mut members = members.clone();
    let known = members.iter_mut().find(|(name, _)| name == key);
    match (known, rest) {
        _ if !is_name(key) => return None,
        (Some(_), None) => return None,
        (Some((_, value)), Some(rest)) => *value = with_sample(value, rest)?,
        (None, None) => members.push((key.to_owned(), Json::String("sample".to_owned()))),
        (None, Some(rest)) => members.push((key.to_owned(), with_sample(&Json::empty_object(), rest)?)),
    }
    Some(Json::Object(members))
}
