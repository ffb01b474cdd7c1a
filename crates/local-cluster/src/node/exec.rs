//! Runs a command inside a container that runs: exec probes and lifecycle hooks.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use super::identity::Identity;
use super::sandbox::{Programs, drop_privileges, obeyed_by_loader};

/// What of a command's output is told on.
const OUTPUT_BYTES: u64 = 10 * 1024;

/// A container to run commands in.
#[derive(Clone)]
pub struct Inside {
    pub init_pid: i32,
    pub programs: Programs,
    pub identity: Identity,
    pub privileged: bool,
    pub environment: Vec<(String, String)>,
    pub working_dir: String,
}

#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    #[error("command timed out after {0:?}")]
    TimedOut(Duration),
    #[error("{output}")]
    Failed { code: i32, output: String },
    #[error("failed to run the command: {0}")]
    Io(#[from] std::io::Error),
}

impl Inside {
    /// Runs a command to its end; its output is given on failure.
    pub async fn run(&self, command: &[String], timeout: Duration) -> Result<(), ExecError> {
        let mut child = self.command(command, timeout).spawn()?;
        let mut output = Vec::new();
        let (mut stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let errors = async {
            let mut said = Vec::new();
            if let Some(stderr) = stderr {
                stderr.take(OUTPUT_BYTES).read_to_end(&mut said).await?;
            }
            Ok::<_, std::io::Error>(said)
        };
        let all = async {
            let text = async {
                match &mut stdout {
                    Some(stdout) => stdout.take(OUTPUT_BYTES).read_to_end(&mut output).await,
                    None => Ok(0),
                }
            };
            let (_, said) = tokio::try_join!(text, errors)?;
            let status = child.wait().await?;
            Ok::<_, std::io::Error>((said, status))
        };
        // `timeout` inside ends the command; this is for when even that does not answer.
        let limit = timeout + Duration::from_secs(2);
        let (said, status) = tokio::time::timeout(limit, all).await.map_err(|_| ExecError::TimedOut(timeout))??;
        output.extend(said);
        match status.code() {
            Some(0) => Ok(()),
            Some(137) => Err(ExecError::TimedOut(timeout)),
            code => Err(ExecError::Failed {
                code: code.unwrap_or(-1),
                output: String::from_utf8_lossy(&output).into_owned(),
            }),
        }
    }

    fn command(&self, command: &[String], timeout: Duration) -> Command {
        let programs = &self.programs;
        let mut to = Command::new(&programs.nsenter);
        to.args(["--target", &self.init_pid.to_string(), "--mount", "--pid", "--ipc", "--uts"]);
        if self.privileged {
            to.arg("--").args(drop_privileges(programs, &self.identity));
        } else {
            to.args(["--user", "--preserve-credentials", "--"]);
        }
        to.arg(&programs.env).arg(format!("--chdir={}", self.working_dir)).env_clear();
        for (name, value) in &self.environment {
            if obeyed_by_loader(name) {
                to.arg(format!("{name}={value}"));
            } else {
                to.env(name, value);
            }
        }
        to.arg(&programs.timeout).args(["--signal=KILL", &format!("{:.3}", timeout.as_secs_f64())]);
        to.args(command).kill_on_drop(true);
        to.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        to
    }
}
