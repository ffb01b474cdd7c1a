//! `k8smgr check`: tells what is wrong, as a table or as JSON.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, ValueEnum};

use super::settings::{config_path, crypt_keys, database_url, question_cluster};
use crate::check::finding::Severity;
use crate::check::{self, Options, Report, output};
use crate::config::Environment;
use crate::domain::Json;
use crate::store;

const FOUND: u8 = 1;
const CANNOT_RUN: u8 = 2;

#[derive(Debug, Args)]
pub struct CheckArguments {
    /// The configuration file; without it CONFIG_PATH, else `config.json` in the working directory, where there is one.
    #[arg(long)]
    config: Option<PathBuf>,
    /// How to print what was found.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Ask the cluster of KUBECONFIG (or of this pod) too: a dry run of every object, and whether the rights are there.
    #[arg(long)]
    cluster: bool,
    /// Print the Role that K8s Manager needs for these descriptions, and nothing else.
    #[arg(long)]
    rbac: bool,
    /// Render for this credential only; may be given more than once.
    #[arg(long = "credential")]
    credentials: Vec<String>,
    /// Render for this stage only; may be given more than once.
    #[arg(long = "stage")]
    stages: Vec<String>,
    /// What hubs send in `user_options`, as a JSON object, for templates that need it.
    #[arg(long, value_parser = json_object)]
    user_options: Option<Json>,
    /// From which severity on the exit status is 1. Otherwise it is 0, and 2 where nothing could be checked.
    #[arg(long, value_enum, default_value_t = FailOn::Warning)]
    fail_on: FailOn,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Table,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FailOn {
    Error,
    Warning,
}

pub(super) fn json_object(text: &str) -> Result<Json, String> {
    match Json::parse(text.as_bytes()) {
        Ok(object @ Json::Object(_)) => Ok(object),
        Ok(_) => Err("expected a JSON object".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// A description that cannot be rendered is not in the Role.
fn print_role(role: &str, report: &Report) -> anyhow::Result<bool> {
    print!("{role}");
    let errors = report.count(Severity::Error);
    if errors > 0 {
        eprintln!("k8smgr: {errors} errors were found, the Role may lack something; run k8smgr check");
    }
    Ok(errors == 0)
}

/// Those of the database, where there is one. It may be out of reach from here, which is no mistake.
async fn log_handlers(environment: &Environment, checked: &mut check::Checked) {
    let Some(config) = &checked.config else { return };
    let stored = async {
        let url = database_url(None, environment, config)?;
        anyhow::Ok(store::stored_log_handlers(&url).await?.unwrap_or_default())
    };
    match stored.await {
        Ok(stored) => check::log_handlers::check(&stored, &check::log_handlers::bounds(config), &mut checked.findings),
        Err(error) => eprintln!("k8smgr: the stored log handlers were not checked: {error:#}"),
    }
}

/// 0 nothing found, 1 something found, 2 cannot run.
pub async fn run(arguments: CheckArguments) -> ExitCode {
    match try_run(arguments).await {
        Ok(is_fine) => ExitCode::from(if is_fine { 0 } else { FOUND }),
        Err(error) => {
            eprintln!("k8smgr: {error:#}");
            ExitCode::from(CANNOT_RUN)
        }
    }
}

async fn try_run(arguments: CheckArguments) -> anyhow::Result<bool> {
    let environment = Environment::read()?;
    let config = config_path(arguments.config.as_deref(), &environment);
    let options = Options {
        config,
        environment: environment.clone(),
        credentials: arguments.credentials,
        stages: arguments.stages,
        user_options: arguments.user_options,
        keeps_plans: arguments.cluster || arguments.rbac,
    };
    let checking = tokio::task::spawn_blocking(move || check::check(&options));
    let mut checked = checking.await.context("the check broke off")??;
    let role = checked.site.deployment_name.clone();
    let cluster = if arguments.cluster { Some(question_cluster().await?) } else { None };
    if arguments.rbac {
        let rights = check::cluster::rights(cluster.as_ref(), &checked).await?;
        return print_role(&rights.to_yaml(&role), &checked.report());
    }
    if let Err(error) = crypt_keys(&environment) {
        check::crypt_keys::unusable(&error, &mut checked.findings);
    }
    log_handlers(&environment, &mut checked).await;
    if let Some(cluster) = &cluster {
        let missing = check::cluster::check(cluster, &mut checked).await?;
        if !missing.is_empty() {
            eprint!("# What is missing:\n{}", missing.to_yaml(&role));
        }
    }
    let report = checked.report();
    let text = match arguments.format {
        Format::Table => output::table(&report),
        Format::Json => output::json(&report),
    };
    print!("{text}");
    let counted = match arguments.fail_on {
        FailOn::Error => report.count(Severity::Error),
        FailOn::Warning => report.findings.len(),
    };
    Ok(counted == 0)
}
