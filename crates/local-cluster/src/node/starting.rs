//! The steps from a container's description to a process: user, environment, mounts, root, command, sandbox.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::environment::{Environment, environment};
use super::exec::Inside;
use super::identity::{Identity, identity};
use super::launcher::{Launch, LaunchError};
use super::logs::Log;
use super::lookup::View;
use super::mounts::{Mounts, mounts};
use super::pod::PodWorker;
use super::rootfs::{self, normal};
use super::running::Running;
use super::sandbox::{Mount, Sandbox, Source};
use super::subpath::Owner;
use super::volumes::Volume;
use crate::events::EventText;

/// Why a container did not start.
#[derive(Debug)]
pub enum StartError {
    /// It is tried again: the waiting reason and its message.
    Wait { reason: &'static str, error: String },
    /// It counts as a run that failed.
    Run(String),
}

impl StartError {
    fn config(error: &impl ToString) -> Self {
        Self::Wait { reason: "CreateContainerConfigError", error: error.to_string() }
    }

    fn create(error: &impl ToString) -> Self {
        Self::Wait { reason: "CreateContainerError", error: error.to_string() }
    }
}

/// What a container's start needs to know of files, gathered on a thread that may block.
struct Prepared {
    arguments: Vec<std::ffi::OsString>,
    command: Vec<std::ffi::OsString>,
    descriptors: Vec<std::os::fd::OwnedFd>,
}

struct Plan {
    container: Value,
    volumes: Arc<BTreeMap<String, Volume>>,
    environment: Environment,
    command: Vec<String>,
    identity: Identity,
    working_dir: PathBuf,
    hostname: String,
    message_file: PathBuf,
    owner: Owner,
}

impl PodWorker {
    /// Starts one container and returns when its command is about to run.
    pub async fn start_container(
        self: &Arc<Self>,
        index: usize,
        container: &Value,
        volumes: &Arc<BTreeMap<String, Volume>>,
    ) -> Result<Running, StartError> {
        let image = container["image"].as_str().unwrap_or_default();
        let name = container["name"].as_str().unwrap_or_default();
        let told = format!("Container image \"{image}\" already present on machine");
        self.report_for(index, &EventText::normal("Pulled", &told));
        let pod = self.current();
        let identity = identity(&pod, container).map_err(|error| {
            StartError::config(&format!("{error} (pod: \"{}\", container: {name})", self.full_name()))
        })?;
        let environment = environment(&self.node.storage, &pod, container, self.node.capacity)
            .map_err(|error| StartError::config(&error))?;
        for skipped in &environment.skipped {
            let told = format!(
                "Keys [{}] from the EnvFrom {} {}/{} were skipped since they are considered invalid environment variable names.",
                skipped.keys.join(", "),
                skipped.kind,
                self.namespace,
                skipped.name
            );
            self.report(&EventText::warning("InvalidEnvironmentVariableNames", &told));
        }
        let command = environment.command(container);
        if command.is_empty() {
            let error = "no command specified: this node runs local programs and does not read images, so the \
                         container needs a command";
            return Err(StartError::create(&error));
        }
        let attempt = self.next_attempt(index);
        let message_file = self.folder.join(format!("termination-{index}-{attempt}"));
        let working_dir = container["workingDir"].as_str().filter(|it| !it.is_empty()).unwrap_or("/");
        let Some(working_dir) = normal(working_dir) else {
            return Err(StartError::create(&format!("workingDir \"{working_dir}\" must be absolute and without '..'")));
        };
        let hostname = pod["spec"]["hostname"].as_str().unwrap_or(&self.name).chars().take(63).collect();
        let inside = Inside {
            init_pid: 0,
            programs: self.node.launcher.programs().clone(),
            identity: identity.clone(),
            privileged: self.node.privileged,
            environment: environment.variables.clone(),
            working_dir: working_dir.display().to_string(),
        };
        let owner = self.node.privileged.then_some((identity.uid, identity.gid));
        let plan = Plan {
            container: container.clone(),
            volumes: Arc::clone(volumes),
            environment,
            command,
            identity,
            working_dir,
            hostname,
            message_file: message_file.clone(),
            owner,
        };
        let worker = Arc::clone(self);
        let prepared = tokio::task::spawn_blocking(move || worker.prepare(&plan));
        let prepared = prepared.await.map_err(|error| StartError::create(&error))?;
        // A command that is not there is found out when the container has been created.
        if let Err(error @ StartError::Wait { .. }) = prepared {
            return Err(error);
        }
        self.created(index, attempt);
        self.report_for(index, &EventText::normal("Created", "Container created"));
        let prepared = prepared?;
        let launch =
            Launch { arguments: prepared.arguments, command: prepared.command, descriptors: prepared.descriptors };
        let launched = self.node.launcher.launch(launch).await.map_err(|error| match error {
            LaunchError::Setup(said) => StartError::Run(said.trim_start_matches("bwrap: ").to_owned()),
            other => StartError::create(&other),
        })?;
        let log = Log::new(self.log_path(name, attempt));
        self.logging(index, attempt, &log);
        let inside = Inside { init_pid: launched.init_pid, ..inside };
        Ok(Running::new(launched, inside, log, message_file))
    }

    /// Everything that touches the disk. Blocks.
    fn prepare(&self, plan: &Plan) -> Result<Prepared, StartError> {
        let Mounts { mut mounts, descriptors, make_working_dir } =
            mounts(&plan.container, &plan.volumes, &plan.environment, &plan.working_dir, plan.owner)
                .map_err(|error| StartError::create(&error))?;
        let message_path = plan.container["terminationMessagePath"].as_str().unwrap_or("/dev/termination-log");
        if let Some(target) = normal(message_path) {
            message_file(&plan.message_file, plan.owner).map_err(|error| StartError::create(&error))?;
            mounts.push(Mount { source: Source::Path(plan.message_file.clone()), target, read_only: false });
        }
        let targets: Vec<PathBuf> = mounts.iter().map(|it| it.target.clone()).collect();
        let root = rootfs::root(Path::new("/"), &self.node.config.host_paths, &targets)
            .map_err(|error| StartError::create(&error))?;
        let view = View::new(&root, &mounts);
        let found = plan.command.first().map_or(Ok(()), |command| {
            view.find_command(command, plan.environment.get("PATH").unwrap_or_default(), &plan.working_dir)
        });
        let context = &plan.container["securityContext"];
        let sandbox = Sandbox {
            root: &root,
            hostname: &plan.hostname,
            mounts: &mounts,
            environment: &plan.environment.variables,
            working_dir: &plan.working_dir,
            make_working_dir,
            read_only_root: context["readOnlyRootFilesystem"] == true,
            identity: &plan.identity,
            privileged: self.node.privileged,
        };
        let prepared = Prepared {
            arguments: sandbox.arguments(),
            command: sandbox.command(self.node.launcher.programs(), &plan.command),
            descriptors,
        };
        found.map(|()| prepared).map_err(|error| StartError::Run(error.to_string()))
    }
}

fn message_file(path: &Path, owner: Owner) -> std::io::Result<()> {
    std::fs::write(path, "")?;
    match owner {
        Some((uid, gid)) => std::os::unix::fs::chown(path, Some(uid), Some(gid)),
        None => Ok(()),
    }
}
