//! The steps from a container's description to a process: user, environment, mounts, root, command, sandbox.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::environment::{Environment, Skipped, environment};
use super::exec::{Again, Inside};
use super::identity::{Identity, identity};
use super::launcher::{Launch, LaunchError};
use super::logs::Log;
use super::lookup::View;
use super::mounts::{Mounts, OwnFile, mounts};
use super::pod::PodWorker;
use super::removal::remove_tree;
use super::rootfs::{self, normal};
use super::running::Running;
use super::sandbox::{Sandbox, fits};
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

/// Why a container waits whose image cannot be pulled.
pub const IMAGE_PULL: &str = "ErrImagePull";

/// The registry of an image, where it is below `.invalid`: a name that never leads anywhere (RFC 6761).
fn unreachable_registry(image: &str) -> Option<&str> {
    let registry = image.split_once('/')?.0;
    let host = registry.split_once(':').map_or(registry, |(host, _)| host);
    (host == "invalid" || host.ends_with(".invalid")).then_some(host)
}

/// What one run of a container is to be, before any file is touched.
struct Plan {
    container: Value,
    volumes: Arc<BTreeMap<String, Volume>>,
    environment: Environment,
    command: Vec<String>,
    identity: Identity,
    working_dir: PathBuf,
    hostname: String,
    message_file: PathBuf,
    temporary: PathBuf,
    /// Files of the run before: it has ended and been reported.
    stale: Vec<PathBuf>,
    owner: Owner,
}

impl PodWorker {
    /// No image is pulled; told is what a kubelet tells that has it. Only one that no registry can have is missed.
    fn report_image(self: &Arc<Self>, index: usize, container: &Value) -> Result<(), StartError> {
        let image = container["image"].as_str().unwrap_or_default();
        let pulling = || self.report_for(index, &EventText::normal("Pulling", &format!("Pulling image \"{image}\"")));
        if let Some(registry) = unreachable_registry(image) {
            pulling();
            let why = format!(
                "failed to pull and unpack image \"{image}\": failed to resolve reference \"{image}\": failed to do \
                 request: dial tcp: lookup {registry}: no such host"
            );
            let told = format!("Failed to pull image \"{image}\": {why}");
            self.report_for(index, &EventText::warning("Failed", &told));
            return Err(StartError::Wait { reason: IMAGE_PULL, error: why });
        }
        let told = match container["imagePullPolicy"] == "Always" {
            true => {
                pulling();
                format!("Successfully pulled image \"{image}\" in 0s (0s including waiting). Image size: 0 bytes.")
            }
            false => format!("Container image \"{image}\" already present on machine"),
        };
        self.report_for(index, &EventText::normal("Pulled", &told));
        Ok(())
    }

    /// Starts one container and returns when its command is about to run.
    pub async fn start_container(
        self: &Arc<Self>,
        index: usize,
        container: &Value,
        volumes: &Arc<BTreeMap<String, Volume>>,
    ) -> Result<Running, StartError> {
        self.report_image(index, container)?;
        let attempt = self.next_attempt(index);
        let plan = Arc::new(self.plan(index, attempt, container, volumes)?);
        let (worker, planned) = (Arc::clone(self), Arc::clone(&plan));
        let prepared = tokio::task::spawn_blocking(move || worker.prepare(&planned)).await;
        let prepared = prepared.map_err(|error| StartError::create(&error))?;
        // A command that is not there is found out when the container has been created.
        if let Err(error @ StartError::Wait { .. }) = prepared {
            return Err(error);
        }
        self.created(index, attempt);
        self.report_for(index, &EventText::normal("Created", "Container created"));
        let launch = prepared?;
        let again = Again { arguments: launch.arguments.clone(), descriptors: Arc::clone(&launch.descriptors) };
        let launched = self.node.launcher.launch(launch).await.map_err(|error| match error {
            LaunchError::Setup(said) => StartError::Run(said.trim_start_matches("bwrap: ").to_owned()),
            other => StartError::create(&other),
        })?;
        let log = Log::new(self.log_path(container["name"].as_str().unwrap_or_default(), attempt));
        self.logging(index, attempt, &log);
        let inside = Inside {
            node: Arc::clone(&self.node),
            init_pid: launched.init_pid,
            identity: plan.identity.clone(),
            environment: plan.environment.variables.clone().into(),
            working_dir: plan.working_dir.display().to_string(),
            again: Arc::new(again),
        };
        Ok(Running::new(launched, inside, log, plan.message_file.clone()).await)
    }

    /// From the pod's description and the objects it names to one run. What is missing is an error to wait with.
    fn plan(
        &self,
        index: usize,
        attempt: u32,
        container: &Value,
        volumes: &Arc<BTreeMap<String, Volume>>,
    ) -> Result<Plan, StartError> {
        let name = container["name"].as_str().unwrap_or_default();
        let pod = self.current();
        let identity = identity(&pod, container).map_err(|error| {
            StartError::config(&format!("{error} (pod: \"{}\", container: {name})", self.full_name()))
        })?;
        let environment = environment(&self.node.storage, &pod, container, self.node.capacity)
            .map_err(|error| StartError::config(&error))?;
        self.tell_skipped(&environment);
        let command = environment.command(container);
        if command.is_empty() {
            let error = "no command specified: this node runs local programs and does not read images, so the \
                         container needs a command";
            return Err(StartError::create(&error));
        }
        let working_dir = container["workingDir"].as_str().filter(|it| !it.is_empty()).unwrap_or("/");
        let Some(working_dir) = normal(working_dir) else {
            return Err(StartError::create(&format!("workingDir \"{working_dir}\" must be absolute and without '..'")));
        };
        Ok(Plan {
            container: container.clone(),
            volumes: Arc::clone(volumes),
            environment,
            command,
            owner: self.node.privileged.then_some((identity.uid, identity.gid)),
            identity,
            working_dir,
            hostname: pod["spec"]["hostname"].as_str().unwrap_or(&self.name).chars().take(63).collect(),
            message_file: self.message_file(index, attempt),
            temporary: self.temporary(index, attempt),
            stale: attempt
                .checked_sub(1)
                .map_or_else(Vec::new, |before| vec![self.message_file(index, before), self.temporary(index, before)]),
        })
    }

    fn message_file(&self, index: usize, attempt: u32) -> PathBuf {
        self.folder.join(format!("termination-{index}-{attempt}"))
    }

    fn temporary(&self, index: usize, attempt: u32) -> PathBuf {
        self.folder.join(format!("tmp-{index}-{attempt}"))
    }

    fn tell_skipped(&self, environment: &Environment) {
        for Skipped { keys, kind, name } in &environment.skipped {
            let told = format!(
                "Keys [{}] from the EnvFrom {kind} {}/{name} were skipped since they are considered invalid environment \
                 variable names.",
                keys.join(", "),
                self.namespace
            );
            self.report(&EventText::warning("InvalidEnvironmentVariableNames", &told));
        }
    }

    /// Everything that touches the disk. Blocks.
    fn prepare(&self, plan: &Plan) -> Result<Launch, StartError> {
        for path in &plan.stale {
            if let Err(error) = remove_tree(path) {
                tracing::warn!(error = %error, "failed to remove the files of a container's last run");
            }
        }
        let message_path = plan.container["terminationMessagePath"].as_str().unwrap_or("/dev/termination-log");
        let message_path = normal(message_path).filter(|it| it != Path::new("/"));
        if message_path.is_some() {
            message_file(&plan.message_file, plan.owner).map_err(|error| StartError::create(&error))?;
        }
        let message = message_path.as_deref().map(|target| OwnFile { path: &plan.message_file, target });
        let Mounts { mounts, descriptors, make_working_dir } =
            mounts(&plan.container, &plan.volumes, &plan.environment, &plan.working_dir, message, plan.owner)
                .map_err(|error| StartError::create(&error))?;
        temporary_folder(&plan.temporary).map_err(|error| StartError::create(&error))?;
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
            temporary: &plan.temporary,
            mounts: &mounts,
            environment: &plan.environment.variables,
            working_dir: &plan.working_dir,
            make_working_dir,
            read_only_root: context["readOnlyRootFilesystem"] == true,
            identity: &plan.identity,
            privileged: self.node.privileged,
        };
        let launch = Launch {
            arguments: sandbox.arguments(),
            command: sandbox.command(self.node.launcher.programs(), &plan.command),
            descriptors: Arc::new(descriptors),
        };
        if !fits(&launch.arguments, &launch.command) {
            return Err(StartError::config(&format!(
                "the container is too large for this node: its {} environment variables, {} mounts and the {} words of \
                 its command are more than bubblewrap takes (about 2,900 variables)",
                plan.environment.variables.len(),
                mounts.len(),
                plan.command.len(),
            )));
        }
        found.map(|()| launch).map_err(|error| StartError::Run(error.to_string()))
    }
}

/// /tmp is on the disk, as a container's is: it is not to eat the machine's memory. Each run has its own.
fn temporary_folder(path: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o1777))
}

fn message_file(path: &Path, owner: Owner) -> std::io::Result<()> {
    std::fs::write(path, "")?;
    match owner {
        Some((uid, gid)) => std::os::unix::fs::chown(path, Some(uid), Some(gid)),
        None => Ok(()),
    }
}
