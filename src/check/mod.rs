//! `k8smgr check`: what is wrong with a configuration, its descriptions and all they lead to, before a user meets it.
//!
//! Renders every description for every credential and stage with the very functions of a start. Reads files, and the
//! cluster where it is asked to; changes nothing. One file a kind of finding.

pub mod cluster;
pub mod codes;
mod configuration;
pub mod crypt_keys;
mod descriptions;
pub mod documentation;
mod files;
pub mod finding;
mod hubs;
mod installation;
mod keywords;
pub mod kubernetes_names;
mod lines;
pub mod log_handlers;
mod manifests;
mod origin;
mod outpost;
pub mod output;
mod pods;
mod refusals;
pub mod rights;
mod rules;
pub mod sample;
mod skeletons;
mod tls;
mod user_jobs;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use self::codes::Code;
use self::configuration::ConfigFile;
use self::descriptions::{Case, Outcome};
use self::finding::{Finding, Findings, Severity};
use self::installation::Installation;
use self::sample::Names;
use crate::config::{Config, Environment};
use crate::description::environment::EnvironmentError;
use crate::domain::{Credential, Json, ServiceName};
use crate::services::Site;
use crate::services::plan::Plan;

pub use self::skeletons::{BrokenSkeleton, broken_skeletons};

/// What is to be checked.
pub struct Options {
    /// `None`: the defaults.
    pub config: Option<PathBuf>,
    pub environment: Environment,
    /// Those only; all where there are none.
    pub credentials: Vec<String>,
    pub stages: Vec<String>,
    pub user_options: Option<Json>,
    /// Whether the plans are wanted, for the cluster to be asked about them.
    pub keeps_plans: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    #[error("failed to read {file}")]
    Read { file: String, source: std::io::Error },
    #[error("there is no credential `{0}` with descriptions; there is: {1}")]
    NoSuchCredential(String, String),
    #[error("the sample's names cannot be made")]
    Sample(#[from] crate::domain::NameError),
}

/// What was looked at and what was found.
#[derive(Debug, Default)]
pub struct Report {
    pub findings: Vec<Finding>,
    pub descriptions: usize,
    pub credentials: Vec<String>,
    pub stages: Vec<Option<String>>,
}

impl Report {
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|it| it.severity == severity).count()
    }
}

/// What a start of one description would make, for whoever asks the cluster about it.
pub struct Planned {
    pub plan: Plan,
    audience: finding::Audience,
    origins: Vec<origin::Origin>,
}

/// Everything that was found without a cluster; the cluster adds to it.
pub struct Checked {
    pub site: Site,
    /// Whether user jobs are wanted, which need rights of their own.
    pub has_user_jobs: bool,
    /// `None` where it cannot be used.
    pub config: Option<Config>,
    pub planned: Vec<Planned>,
    pub findings: Findings,
    report: Report,
}

impl Checked {
    pub fn report(self) -> Report {
        Report { findings: self.findings.sorted(), ..self.report }
    }
}

pub fn check(options: &Options) -> Result<Checked, CheckError> {
    let environment = &options.environment;
    let site = Site {
        stage: environment.stage.clone(),
        deployment_name: environment.deployment_name.clone(),
        namespace: environment.deployment_namespace.clone(),
        installation: "check".to_owned(),
    };
    let (findings, report) = (Findings::default(), Report::default());
    let has_user_jobs = environment.ssh_config_file.is_some();
    let mut checked = Checked { site, has_user_jobs, config: None, planned: Vec::new(), findings, report };
    let file = match &options.config {
        None => ConfigFile::defaults(),
        Some(path) => {
            let failed = |source| CheckError::Read { file: path.display().to_string(), source };
            let text = std::fs::read_to_string(path).map_err(failed)?;
            let Some(file) = ConfigFile::read(path, &text, &mut checked.findings) else { return Ok(checked) };
            file
        }
    };
    checked.config = Some(file.config.clone());
    let findings = &mut checked.findings;
    let mut installation = Installation::survey(&file, environment.stage.as_deref(), findings);
    let selectors = files::Selectors {
        stages: installation.stages.iter().flatten().cloned().collect(),
        credentials: installation.credentials.iter().map(ToString::to_string).collect(),
    };
    configuration::check(&file, &installation, findings);
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|it| !it.is_empty());
    hubs::check(&file, &installation, &environment.cleanup, is_set, findings);
    outpost::check(&file, &installation, environment, findings);
    skeletons::check(&file, &installation, findings);
    rules::check(&file, environment, findings);
    tls::check(&file, environment, findings);
    user_jobs::check(&file, environment.ssh_config_file.as_deref(), findings);
    narrow(&mut installation, options)?;
    let usages = every_description(&file, &installation, &selectors, options, &mut checked)?;
    if options.credentials.is_empty() && options.stages.is_empty() {
        keywords::unused(&file, &usages, &mut checked.findings);
    }
    checked.report.credentials = installation.credentials.iter().map(ToString::to_string).collect();
    checked.report.stages = installation.stages;
    Ok(checked)
}

fn narrow(installation: &mut Installation, options: &Options) -> Result<(), CheckError> {
    let known: Vec<String> = installation.credentials.iter().map(ToString::to_string).collect();
    if let Some(unknown) = options.credentials.iter().find(|it| !known.contains(it)) {
        return Err(CheckError::NoSuchCredential(unknown.clone(), known.join(", ")));
    }
    if !options.credentials.is_empty() {
        installation.credentials.retain(|it| options.credentials.iter().any(|name| name == it.as_str()));
    }
    if !options.stages.is_empty() {
        installation.stages = options.stages.iter().map(|it| Some(it.to_lowercase())).collect();
    }
    Ok(())
}

/// Gives the sources that keywords are looked for in.
fn every_description(
    file: &ConfigFile,
    installation: &Installation,
    selectors: &files::Selectors,
    options: &Options,
    checked: &mut Checked,
) -> Result<Vec<keywords::Usage>, CheckError> {
    let config = &file.config;
    let names = Names::new(sample::SERVER_NAME, sample::START_ID)?;
    let env = sample::environment(config, &names).unwrap_or_else(|error| {
        let pointer = match config.services.env.0.iter().find(|(key, _)| error == EnvironmentError::Key(key.clone())) {
            Some((key, _)) => format!("/services/env/{}", key.replace('~', "~0").replace('/', "~1")),
            None => "/custom_headers_keys".to_owned(),
        };
        checked.findings.add(file.finding(Code::EnvironmentKey, error.to_string(), &pointer));
        BTreeMap::new()
    });
    let shared = Arc::new(config.clone());
    let mut folders = BTreeSet::new();
    let mut usages = Vec::new();
    for (credential, service, folder) in installation.descriptions(config) {
        if folders.insert(folder.clone()) {
            files::check(&config.services, selectors, &folder, &mut checked.findings);
        }
        for stage in &installation.stages {
            let user_options = sample::user_options(service, options.user_options.as_ref());
            let request = sample::request(shared.clone(), credential, service, &names, user_options, env.clone());
            let site = Site { stage: stage.clone(), ..checked.site.clone() };
            let case = Case { config, site, request, folder: folder.clone() };
            let audience = case.audience();
            let Outcome { plan, origins, usage, findings } = case.check();
            usages.extend(usage);
            for mut finding in findings.sorted() {
                finding.audiences.insert(audience.clone());
                checked.findings.add(finding);
            }
            let plan = plan.filter(|_| options.keeps_plans);
            checked.planned.extend(plan.map(|plan| Planned { plan, audience, origins }));
        }
    }
    checked.report.descriptions = folders.len();
    Ok(usages)
}

impl Installation {
    /// Every description of every credential, with its folder.
    fn descriptions<'a>(&'a self, config: &'a Config) -> Vec<(&'a Credential, &'a ServiceName, PathBuf)> {
        let mut all = Vec::new();
        for credential in &self.credentials {
            let name = Installation::folder_of(&config.services, credential);
            let folder = config.services.descriptions.join(&name);
            let services = self.services.get(&name).into_iter().flatten();
            all.extend(services.map(|service| (credential, service, folder.join(service.as_str()))));
        }
        all
    }
}
