//! Runs a command inside a container that runs: exec probes and lifecycle hooks.
//!
//! Where this process is root, it enters the container's namespaces. Where it is not, the kernel does not let it in
//! (bubblewrap's outer user namespace has no process left to join), and the command runs in a second sandbox with the
//! same root, volumes, /tmp, environment and network, but without the container's processes.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

use super::Shared;
use super::identity::Identity;
use super::launcher::{Launch, LaunchError, spawn_alone};
use super::sandbox::{drop_privileges, obeyed_by_loader};

/// What of a command's output is told on.
const OUTPUT_BYTES: u64 = 10 * 1024;
/// What `timeout` gets on top before the command is given up from outside.
const SLACK: Duration = Duration::from_secs(2);

/// What the container's sandbox was made of, to make another.
pub struct Again {
    pub arguments: Vec<OsString>,
    pub descriptors: Arc<Vec<OwnedFd>>,
}

/// A container to run commands in.
#[derive(Clone)]
pub struct Inside {
    pub node: Arc<Shared>,
    pub init_pid: i32,
    pub identity: Identity,
    pub environment: Arc<[(String, String)]>,
    pub working_dir: String,
    pub again: Arc<Again>,
}

#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    #[error("command timed out after {0:?}")]
    TimedOut(Duration),
    /// With what it said.
    #[error("{0}")]
    Failed(String),
    #[error("failed to run the command: {0}")]
    Io(#[from] std::io::Error),
    #[error("failed to run the command: {0}")]
    Launch(#[from] LaunchError),
}

impl Inside {
    /// Runs a command to its end; its output is given on failure.
    pub async fn run(&self, command: &[String], timeout: Duration) -> Result<(), ExecError> {
        let (child, output): (Child, Box<dyn AsyncRead + Send + Unpin>) = if self.node.privileged {
            let (reader, writer) = std::io::pipe()?;
            let child = spawn_alone(&mut self.entering(command, timeout, writer)?)?;
            (child, Box::new(tokio::net::unix::pipe::Receiver::from_owned_fd(reader.into())?))
        } else {
            let launched = self.node.launcher.launch(self.beside(command, timeout)).await?;
            (launched.child, Box::new(launched.output))
        };
        let done = tokio::time::timeout(timeout + SLACK, finished(child, output)).await;
        match done.map_err(|_| ExecError::TimedOut(timeout))?? {
            (Some(0), _) => Ok(()),
            (Some(137), _) => Err(ExecError::TimedOut(timeout)),
            (_, output) => Err(ExecError::Failed(output)),
        }
    }

    fn entering(&self, command: &[String], timeout: Duration, output: std::io::PipeWriter) -> std::io::Result<Command> {
        let programs = self.node.launcher.programs();
        let mut to = Command::new(&programs.nsenter);
        to.args(["--target", &self.init_pid.to_string(), "--mount", "--pid", "--ipc", "--uts", "--"]);
        to.args(drop_privileges(programs, &self.identity));
        to.arg(&programs.env).arg(format!("--chdir={}", self.working_dir)).env_clear();
        for (name, value) in self.environment.iter() {
            if obeyed_by_loader(name) {
                to.arg(format!("{name}={value}"));
            } else {
                to.env(name, value);
            }
        }
        to.args(self.limited(command, timeout)).kill_on_drop(true);
        to.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        Ok(to)
    }

    fn beside(&self, command: &[String], timeout: Duration) -> Launch {
        Launch {
            arguments: self.again.arguments.clone(),
            command: self.limited(command, timeout),
            descriptors: Arc::clone(&self.again.descriptors),
        }
    }

    fn limited(&self, command: &[String], timeout: Duration) -> Vec<OsString> {
        let program = self.node.launcher.programs().timeout.clone();
        let mut to = vec![program.into(), "--signal=KILL".into(), format!("{:.3}", timeout.as_secs_f64()).into()];
        to.extend(command.iter().map(OsString::from));
        to
    }
}

async fn finished(mut child: Child, output: impl AsyncRead + Unpin) -> std::io::Result<(Option<i32>, String)> {
    let read = async {
        let mut said = Vec::new();
        let mut output = output.take(OUTPUT_BYTES);
        output.read_to_end(&mut said).await?;
        // A command must not wait for somebody to read the rest.
        tokio::io::copy(&mut output.into_inner(), &mut tokio::io::sink()).await?;
        std::io::Result::Ok(said)
    };
    let (said, status) = tokio::join!(read, child.wait());
    Ok((status?.code(), String::from_utf8_lossy(&said?).into_owned()))
}
