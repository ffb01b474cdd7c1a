//! `k8smgr render`: prints what a start would make, or how that differs from what runs.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use super::check::json_object;
use super::settings::{load_config, question_cluster};
use crate::check::sample::{self, Names};
use crate::cluster::{Cluster, Deadline};
use crate::config::{Config, Environment};
use crate::description::environment::secret_data;
use crate::domain::{Credential, Json, ServiceName};
use crate::render::running::Running;
use crate::render::{compare, in_order, mask, printable, to_yaml};
use crate::services::plan::{self, Planned};
use crate::services::{Site, StartRequest};

const DIFFERS: u8 = 1;
const TROUBLE: u8 = 2;
const CALL_TIME: Duration = Duration::from_secs(20);

#[derive(Debug, Args)]
pub struct RenderArguments {
    /// The configuration file; without it CONFIG_PATH, else `config.json` in the working directory, where there is one.
    #[arg(long)]
    config: Option<PathBuf>,
    /// The name that the hub signs in with.
    #[arg(long)]
    credential: String,
    /// `user_options.service`, such as JupyterLab/Default.
    #[arg(long)]
    service: String,
    /// The stage to render for; comes before the environment's STAGE.
    #[arg(long)]
    stage: Option<String>,
    /// What the hub sends in `user_options`, as a JSON object.
    #[arg(long, value_parser = json_object)]
    user_options: Option<Json>,
    /// The server's name (`uuidcode`); with --diff, the running server to compare with, without it the newest of this
    /// service.
    #[arg(long, alias = "server-name")]
    name: Option<String>,
    /// The start's id, as the hub makes one for each start; without effect with --diff.
    #[arg(long, default_value = sample::START_ID)]
    start_id: String,
    /// The user's number in the hub; without effect with --diff.
    #[arg(long, default_value_t = sample::USER_ID)]
    user_id: i64,
    /// Compare with the running service: exit status 0 the same, 1 different, 2 trouble.
    #[arg(long)]
    diff: bool,
}

pub async fn run(arguments: RenderArguments) -> ExitCode {
    match try_run(arguments).await {
        Ok(is_same) => ExitCode::from(if is_same { 0 } else { DIFFERS }),
        Err(error) => {
            eprintln!("k8smgr: {error:#}");
            ExitCode::from(TROUBLE)
        }
    }
}

async fn try_run(arguments: RenderArguments) -> anyhow::Result<bool> {
    let environment = Environment::read()?;
    let config = Arc::new(load_config(arguments.config.as_deref(), &environment)?);
    let site = Site {
        stage: arguments.stage.as_ref().map(|it| it.to_lowercase()).or_else(|| environment.stage.clone()),
        deployment_name: environment.deployment_name.clone(),
        namespace: environment.deployment_namespace.clone(),
        installation: "sample".to_owned(),
    };
    let credential = Credential::parse(&arguments.credential).context("--credential")?;
    let service = ServiceName::parse(&arguments.service).context("--service")?;
    if arguments.diff {
        return diff(&arguments, config, site, credential, service).await;
    }
    let server_name = arguments.name.as_deref().unwrap_or(sample::SERVER_NAME);
    let names = Names::new(server_name, &arguments.start_id).context("--name, --start-id")?;
    let options = sample::user_options(&service, arguments.user_options.as_ref());
    let env = sample::environment(&config, &names)?;
    let mut request = sample::request(config, &credential, &service, &names, options, env);
    request.jhub_user_id = arguments.user_id;
    let objects: Vec<Value> = planned(&site, request).await?.iter().map(|it| printable(it, &site)).collect();
    print!("{}", to_yaml(&objects));
    Ok(true)
}

async fn planned(site: &Site, request: StartRequest) -> anyhow::Result<Vec<Planned>> {
    let site = site.clone();
    let plan = tokio::task::spawn_blocking(move || plan::prepare(&site, request, jiff::Timestamp::now())).await??;
    Ok(in_order(plan.objects))
}

/// Renders with what the running service was started with, and compares object by object.
async fn diff(
    arguments: &RenderArguments,
    config: Arc<Config>,
    site: Site,
    credential: Credential,
    service: ServiceName,
) -> anyhow::Result<bool> {
    let cluster = question_cluster().await?;
    let name = arguments.name.as_deref();
    let running = Running::find(&cluster, &site.namespace, &site.deployment_name, &credential, &service, name).await?;
    let names = &running.names;
    eprintln!("comparing with server {} (start {})", names.server_name, names.start_id);
    let env = secret_data(&config, &running.env, &[], names.server_name.as_str(), &names.id)?;
    let given = arguments.user_options.as_ref().or(running.user_options.as_ref());
    let mut request = sample::request(config, &credential, &service, names, sample::user_options(&service, given), env);
    (request.jhub_user_id, request.certs) = (running.user_id, running.certs.clone());
    let mut objects = planned(&site, request).await?;

    let mut text = String::new();
    for object in &mut objects {
        object.locate(&cluster, &site.namespace, Deadline::after(CALL_TIME)).await?;
        let there = cluster.read(&object.target, Deadline::after(CALL_TIME)).await?;
        let described = settled(&cluster, object).await;
        text.push_str(&compare::diff(there.as_ref(), Some(&described)));
    }
    let targets: Vec<_> = objects.iter().map(|it| it.target.clone()).collect();
    for other in running.others(&cluster, &site.namespace, &targets).await? {
        text.push_str(&compare::diff(Some(&other), None));
    }
    print!("{text}");
    Ok(text.is_empty())
}

/// The object as the API server writes it (`0.5` CPUs are `500m`), where it says so; only the fields that it has.
async fn settled(cluster: &Cluster, planned: &Planned) -> Value {
    let described = &planned.manifest.object;
    let mut target = planned.target.clone();
    let mut object = described.clone();
    mask::settle(&mut object);
    // The name is taken by what runs.
    target.name = format!("k8smgr-diff-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
    object["metadata"]["name"] = json!(target.name);
    match cluster.dry_run(&target, &object, Deadline::after(CALL_TIME)).await {
        Ok(made) => {
            let mut made = compare::projected(&made, &object, "");
            made["metadata"]["name"] = json!(planned.target.name);
            made
        }
        Err(_) => described.clone(),
    }
}
