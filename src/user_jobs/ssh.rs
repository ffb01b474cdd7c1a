//! The program ssh: started with arguments as an array, nothing on its stdin, little of our environment, and ended at a
//! deadline with all that it started. What it says is bounded and cleaned.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Of what ssh says, the last bytes are kept.
pub const MOST_WORDS: usize = 2048;
const LONGEST_TEXT: usize = 400;
/// What it wrote is there when it has ended; what it started may hold the pipe open.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// Passwords of hubs and databases are not for ssh, nor for what it starts or sends.
const PASSED_ON: [&str; 8] =
    ["HOME", "PATH", "USER", "LOGNAME", "TMPDIR", "SSH_AUTH_SOCK", "KRB5CCNAME", "KRB5_CONFIG"];

#[derive(Debug, thiserror::Error)]
pub enum SshError {
    #[error("the program {program} cannot be started: {source}; install OpenSSH's client, or set userjobs.ssh_program")]
    Start { program: String, source: std::io::Error },
    #[error("ssh -O {command} for {alias} did not answer within {seconds} s")]
    Silent { command: &'static str, alias: String, seconds: u64 },
    #[error("ssh -O {command} for {alias} failed: {words}")]
    Refused { command: &'static str, alias: String, words: String },
    #[error("ssh did not connect to {alias} within {seconds} s{}", after(.words))]
    NotConnected { alias: String, seconds: u64, words: String },
    #[error("ssh could not connect to {alias}: {words}")]
    Ended { alias: String, words: String },
}

fn after(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!(": {words}") }
}

/// How ssh is called here.
#[derive(Clone, Debug)]
pub struct Ssh {
    pub program: PathBuf,
    pub config_file: PathBuf,
}

/// A process and all that it started, which end with this.
pub struct Running {
    child: Child,
}

impl Ssh {
    pub fn start(&self, arguments: &[OsString]) -> Result<Running, SshError> {
        let mut command = Command::new(&self.program);
        command.args(arguments).env_clear().env("LC_ALL", "C");
        command.envs(PASSED_ON.iter().filter_map(|it| Some((it, std::env::var_os(it)?))));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        // A group of its own: a Ctrl-C is for us, and a kill is for all that it started.
        command.process_group(0).kill_on_drop(true);
        let failed = |source| SshError::Start { program: self.program.display().to_string(), source };
        Ok(Running { child: command.spawn().map_err(failed)? })
    }

    /// A command to the master behind a socket. The configuration is not read for it: only what stands here holds.
    pub async fn command(
        &self,
        command: &'static str,
        (socket, alias): (&Path, &str),
        forward: Option<&str>,
        patience: Duration,
    ) -> Result<(), SshError> {
        let mut arguments: Vec<OsString> = ["-F", "none", "-o", "BatchMode=yes", "-S"].map(OsString::from).into();
        arguments.push(socket.into());
        arguments.extend(["-O", command].map(OsString::from));
        if let Some(forward) = forward {
            arguments.extend(["-L", forward].map(OsString::from));
        }
        arguments.extend(["--", alias].map(OsString::from));
        let mut running = self.start(&arguments)?;
        let words = running.words();
        let alias = alias.to_owned();
        match timeout(patience, running.child.wait()).await {
            Err(_) => {
                running.kill();
                Err(SshError::Silent { command, alias, seconds: patience.as_secs() })
            }
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(_) => {
                let words = timeout(LAST_WORDS, read_last(words)).await.unwrap_or_default();
                Err(SshError::Refused { command, alias, words: clean(&words) })
            }
        }
    }
}

impl Running {
    pub fn words(&mut self) -> Option<tokio::process::ChildStderr> {
        self.child.stderr.take()
    }

    /// Waits for its end; may be dropped and asked again.
    pub async fn ended(&mut self) {
        if let Err(error) = self.child.wait().await {
            tracing::warn!(%error, "cannot wait for ssh");
        }
    }

    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        // No id: it was waited for, and its number may be another's.
        let pid = self.child.id().and_then(|it| i32::try_from(it).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended just now.
            let _ = kill_process_group(pid, signal);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn read_last(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut words = Vec::new();
    if let Some(stream) = stream {
        // An ssh that talks without end is ended by its deadline.
        let _ = stream.take(16 * 1024).read_to_end(&mut words).await;
    }
    words
}

/// What ssh said, as one line of plain characters.
pub fn clean(words: &[u8]) -> String {
    let start = words.len().saturating_sub(MOST_WORDS);
    let text = String::from_utf8_lossy(&words[start..]);
    let lines: Vec<String> = text
        .lines()
        .map(|line| line.chars().filter(|c| !c.is_control()).collect::<String>().trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect();
    let text = lines.join("; ");
    let skipped = text.chars().count().saturating_sub(LONGEST_TEXT);
    match skipped {
        0 if text.is_empty() => "it said nothing".to_owned(),
        0 => text,
        _ => format!("...{}", text.chars().skip(skipped).collect::<String>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ssh_says_is_one_bounded_line() {
        assert_eq!(
            clean(b"mux: \x1b[31mbad\r\n\nHost key verification failed.\n"),
            "mux: [31mbad; Host key verification failed."
        );
        assert_eq!(clean(b""), "it said nothing");
        let long = clean("ü".repeat(5000).as_bytes());
        assert_eq!(long.chars().count(), LONGEST_TEXT + 3);
    }

    #[tokio::test]
    async fn an_ssh_that_never_answers_is_ended_with_all_that_it_started() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("ssh");
        let note = folder.path().join("pid");
        std::fs::write(&program, format!("#!/bin/sh\nsleep 300 &\necho $! > {}\nwait\n", note.display())).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        let ssh = Ssh { program, config_file: PathBuf::new() };
        let asked = ssh.command("check", (Path::new("/nonexistent"), "tunnel_a"), None, Duration::from_secs(5));
        let error = asked.await.unwrap_err().to_string();
        assert_eq!(error, "ssh -O check for tunnel_a did not answer within 5 s");
        let pid = std::fs::read_to_string(&note).unwrap();
        assert!(!pid.trim().is_empty(), "the script came as far as its note");
        let status = Path::new("/proc").join(pid.trim()).join("status");
        for _ in 0..200 {
            // Gone, or waiting for whoever adopts orphans here.
            if std::fs::read_to_string(&status).map_or(true, |it| it.contains("\nState:\tZ")) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("what ssh started still runs");
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_told() {
        let ssh = Ssh { program: PathBuf::from("/nonexistent/ssh"), config_file: PathBuf::new() };
        let asked = ssh.command("check", (Path::new("/x"), "tunnel_a"), None, Duration::from_secs(1));
        let error = asked.await.unwrap_err().to_string();
        assert!(error.starts_with("the program /nonexistent/ssh cannot be started"), "{error}");
    }
}
