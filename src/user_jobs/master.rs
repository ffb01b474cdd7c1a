//! One connection to a host: OpenSSH's control master as a child of ours, to which forwards are added and from which they
//! are taken away by `ssh -O`.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::ChildStderr;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::control_folder;
use super::ssh::{MOST_WORDS, Running, Ssh, SshError, clean};

/// How long a connection may take.
const CONNECT_TIME: Duration = Duration::from_secs(8);
/// How long a master may take to answer.
pub const COMMAND_TIME: Duration = Duration::from_secs(3);
const END_TIME: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What does not depend on the operator's configuration: no questions, one process, no shell, and a network that went away
/// is noticed.
const OPTIONS: [&str; 10] = [
    "BatchMode=yes",
    "ControlMaster=yes",
    "ControlPersist=no",
    "ConnectTimeout=8",
    "ConnectionAttempts=1",
    "ServerAliveInterval=3",
    "ServerAliveCountMax=2",
    "ExitOnForwardFailure=no",
    "RequestTTY=no",
    "RemoteCommand=none",
];

/// A forward as ssh is told it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Forward(String);

impl Forward {
    /// All parts are checked before: numbers, an address, a plain name.
    pub fn new(bind: IpAddr, local: u16, target_node: &str, remote: u16) -> Self {
        let bind = match bind {
            IpAddr::V4(it) => it.to_string(),
            IpAddr::V6(it) => format!("[{it}]"),
        };
        Self(format!("{bind}:{local}:{target_node}:{remote}"))
    }
}

/// It ends with this.
pub struct Master {
    ssh: Ssh,
    alias: String,
    socket: PathBuf,
    running: Running,
    words: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Master {
    pub async fn connect(ssh: &Ssh, alias: &str, socket: PathBuf) -> Result<Self, SshError> {
        // A master does not listen where something is.
        control_folder::end(&socket).await;
        let mut arguments: Vec<OsString> = vec!["-F".into(), ssh.config_file.clone().into(), "-S".into()];
        arguments.push(socket.clone().into());
        arguments.extend(OPTIONS.iter().flat_map(|it| ["-o", it]).map(OsString::from));
        arguments.extend(["-N", "-T", "--", alias].map(OsString::from));
        let mut running = ssh.start(&arguments)?;
        let words = Arc::new(Mutex::new(Vec::new()));
        let reader = running.words().map(|stream| tokio::spawn(keep_last(stream, words.clone())));
        let mut master = Self { ssh: ssh.clone(), alias: alias.to_owned(), socket, running, words, reader };
        match timeout(CONNECT_TIME, master.comes()).await {
            Ok(true) => {
                master.check().await?;
                Ok(master)
            }
            Ok(false) => Err(SshError::Ended { alias: alias.to_owned(), words: master.last_words().await }),
            Err(_) => {
                let words = master.words_so_far();
                let words = if words.is_empty() { String::new() } else { clean(&words) };
                Err(SshError::NotConnected { alias: alias.to_owned(), seconds: CONNECT_TIME.as_secs(), words })
            }
        }
    }

    /// True: it listens, which it does when it is logged in. False: it has ended.
    async fn comes(&mut self) -> bool {
        loop {
            tokio::select! {
                () = self.running.ended() => return false,
                () = sleep(LOOK_EVERY) => {
                    if tokio::fs::try_exists(&self.socket).await.unwrap_or(false) {
                        return true;
                    }
                }
            }
        }
    }

    /// Waits for its end; may be dropped and asked again.
    pub async fn ended(&mut self) {
        self.running.ended().await;
    }

    /// Why it ended, as far as it said so.
    pub async fn last_words(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            let _ = timeout(END_TIME, reader).await;
        }
        clean(&self.words_so_far())
    }

    fn words_so_far(&self) -> Vec<u8> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub async fn check(&self) -> Result<(), SshError> {
        self.ssh.command("check", (&self.socket, &self.alias), None, COMMAND_TIME).await
    }

    /// One that is there already is left as it is.
    pub async fn forward(&self, forward: &Forward) -> Result<(), SshError> {
        self.command("forward", forward).await
    }

    /// Nobody can connect any more; connections that are open stay until one of their ends closes them.
    pub async fn cancel(&self, forward: &Forward) -> Result<(), SshError> {
        self.command("cancel", forward).await
    }

    /// What the master itself says of a failure says more than what the command is told.
    async fn command(&self, command: &'static str, forward: &Forward) -> Result<(), SshError> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let done = self.ssh.command(command, (&self.socket, &self.alias), Some(&forward.0), COMMAND_TIME).await;
        done.map_err(|error| match error {
            SshError::Refused { command, alias, words } => {
                let own = self.words_so_far();
                let words = if own.is_empty() { words } else { format!("{words}; {}", clean(&own)) };
                SshError::Refused { command, alias, words }
            }
            other => other,
        })
    }

    /// Ends the connection, with all that goes through it.
    pub async fn end(mut self) {
        self.running.terminate();
        if timeout(END_TIME, self.running.ended()).await.is_err() {
            self.running.kill();
            let _ = timeout(END_TIME, self.running.ended()).await;
        }
        let _ = tokio::fs::remove_file(&self.socket).await;
    }
}

async fn keep_last(mut stream: ChildStderr, words: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = [0; 1024];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
        words.extend_from_slice(&buffer[..read]);
        let surplus = words.len().saturating_sub(MOST_WORDS);
        words.drain(..surplus);
    }
}
