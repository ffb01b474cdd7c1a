//! A container that runs: its processes, its log, its end.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::process::Child;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::exec::Inside;
use super::launcher::Launched;
use super::logs::Log;
use super::probes;
use super::signals::{MainProcess, Namespace};

/// A kubelet's limits for the termination message, and for the end of the log in its place.
const MESSAGE_BYTES: u64 = 4096;
const FALLBACK_BYTES: usize = 2048;
const FALLBACK_LINES: usize = 80;
/// Hooks over HTTP have no limit of their own.
const HOOK_SECONDS: u64 = 60;

pub struct Running {
    pub inside: Inside,
    child: Child,
    namespace: Namespace,
    main: MainProcess,
    exit: Option<ExitStatus>,
    exit_reported: oneshot::Receiver<bool>,
    log: Arc<Log>,
    writing: JoinHandle<std::io::Result<()>>,
    message_file: PathBuf,
    killed: bool,
}

/// How a container ended.
pub struct End {
    pub exit_code: i32,
    pub message: Option<String>,
    /// Set when the command never ran.
    pub not_executed: Option<String>,
}

impl Running {
    pub async fn new(launched: Launched, inside: Inside, log: Arc<Log>, message_file: PathBuf) -> Self {
        let writing = tokio::spawn(Arc::clone(&log).write(launched.output));
        Self {
            namespace: Namespace::of(inside.init_pid),
            main: MainProcess::of(inside.init_pid).await,
            inside,
            child: launched.child,
            exit: None,
            exit_reported: launched.exit_reported,
            log,
            writing,
            message_file,
            killed: false,
        }
    }

    /// Returns when the container's processes have ended.
    pub async fn exited(&mut self) {
        if self.exit.is_none() {
            match self.child.wait().await {
                Ok(status) => self.exit = Some(status),
                Err(error) => {
                    tracing::error!(error = %error, "failed to wait for a container");
                    self.exit = Some(ExitStatus::from_raw(9));
                }
            }
        }
    }

    /// SIGTERM for the main process.
    pub fn terminate(&mut self) {
        self.killed = true;
        self.main.terminate();
    }

    pub fn kill(&mut self) {
        self.killed = true;
        self.namespace.kill();
    }

    /// Reads what the container left behind. It must have exited.
    pub async fn finish(self, container: &Value) -> End {
        // bubblewrap itself may be gone before the last process of the sandbox.
        self.namespace.end().await;
        if let Ok(Err(error)) = self.writing.await {
            tracing::warn!(error = %error, "failed to write a container's log");
        }
        let exit_code = match self.exit {
            Some(status) => status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(9)),
            None => 137,
        };
        let reported = self.exit_reported.await.unwrap_or(false);
        if !self.killed && (!reported && exit_code == 1 || matches!(exit_code, 126 | 127)) {
            let said = self.log.tail(1, FALLBACK_BYTES).await;
            let not_executed = execution_error(&said).or_else(|| (!reported).then(|| said.trim().to_owned()));
            if not_executed.is_some() {
                return End { exit_code, message: None, not_executed };
            }
        }
        let message = first_bytes(&self.message_file, MESSAGE_BYTES).await.unwrap_or_default();
        let mut message = String::from_utf8_lossy(&message).into_owned();
        let fallback = container["terminationMessagePolicy"] == "FallbackToLogsOnError";
        if message.is_empty() && fallback && exit_code != 0 {
            message = self.log.tail(FALLBACK_LINES, FALLBACK_BYTES).await;
        }
        End { exit_code, message: (!message.is_empty()).then_some(message), not_executed: None }
    }
}

/// The beginning of a file that its writer may have made as large as the disk.
async fn first_bytes(path: &Path, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    tokio::fs::File::open(path).await?.take(limit).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

/// What bubblewrap or `setpriv` say when they cannot execute the command, as a container runtime says it.
fn execution_error(said: &str) -> Option<String> {
    let said = said.trim();
    let rest = said.strip_prefix("bwrap: execvp ").or_else(|| said.strip_prefix("setpriv: failed to execute "))?;
    let (command, error) = rest.rsplit_once(": ")?;
    Some(format!("exec: \"{command}\": {}", error.to_lowercase()))
}

/// Runs a lifecycle hook.
pub async fn hook(hook: &Value, container: &Value, inside: &Inside) -> Result<(), String> {
    let limit = Duration::from_secs(HOOK_SECONDS);
    if let Some(seconds) = seconds(&hook["sleep"]["seconds"]) {
        tokio::time::sleep(seconds).await;
        return Ok(());
    }
    if let Some(command) = hook["exec"]["command"].as_array() {
        let command: Vec<String> = command.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        // The pod's grace period is the limit of a preStop hook; a postStart hook ends with the container.
        let result = inside.run(&command, Duration::from_secs(24 * 3600)).await;
        return result.map_err(|error| error.to_string());
    }
    if hook["httpGet"].is_object() {
        let get = probes::http_get(&hook["httpGet"], container);
        return tokio::time::timeout(limit, get).await.unwrap_or_else(|_| Err("timed out".to_owned()));
    }
    Err("the hook has no action that this node knows".to_owned())
}

pub fn seconds(value: &Value) -> Option<Duration> {
    value.as_u64().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_could_not_be_executed_is_told_as_runc_tells_it() {
        let table = [
            ("bwrap: execvp a: b: Exec format error\n", Some("exec: \"a: b\": exec format error")),
            ("setpriv: failed to execute /c/run: Permission denied", Some("exec: \"/c/run\": permission denied")),
            ("bwrap: Can't chdir to /x: No such file", None),
            ("sh: 1: nope: not found", None),
        ];
        for (said, expected) in table {
            assert_eq!(execution_error(said).as_deref(), expected, "{said}");
        }
    }
}
