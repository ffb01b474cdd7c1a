//! Starts sandboxes, all from one thread that lives as long as the node.
//!
//! `--die-with-parent` makes the kernel end a sandbox with the *thread* that started it; a worker of the runtime may end
//! at any time, this one only with the node. So a node that is dropped or killed leaves no process.

use std::ffi::OsString;
use std::io::PipeWriter;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use rustix::io::FdFlags;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::oneshot;

use super::sandbox::Programs;

/// Gives bubblewrap its options, its gate and its status channel, and keeps them apart from the container's standard
/// input, output and errors. 3: status, 4: options, which are in a pipe of this process, 5: the gate.
const SCRIPT: &str = r#"options=$1; shift
exec "$0" --args 4 --json-status-fd 3 --block-fd 5 "$@" 3>&1 4<"$options" 5<&0 0</dev/null 1>&2"#;

/// While descriptors are open to be inherited, nothing else is to be started: it would inherit them too.
static SPAWNING: Mutex<()> = Mutex::new(());

#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    #[error("the node is shutting down")]
    Closed,
    #[error("failed to start bubblewrap: {0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Setup(String),
}

/// What to start.
pub struct Launch {
    pub arguments: Vec<OsString>,
    pub command: Vec<OsString>,
    /// Descriptors that the arguments name.
    pub descriptors: Arc<Vec<OwnedFd>>,
}

/// A sandbox whose root is ready and whose command has been started.
pub struct Launched {
    pub child: Child,
    /// The first process of the sandbox's pid namespace, as the host numbers it. Ending it ends all in there.
    pub init_pid: i32,
    /// What the container writes, standard output and errors in their order.
    pub output: ChildStderr,
    /// Whether bubblewrap reported the command's exit code: it does not when the command could not be executed.
    pub exit_reported: oneshot::Receiver<bool>,
}

struct Request {
    command: Command,
    descriptors: Arc<Vec<OwnedFd>>,
    reply: oneshot::Sender<std::io::Result<Child>>,
}

/// The starting thread. It ends, and all sandboxes with it, when this is dropped.
pub struct Launcher {
    requests: mpsc::Sender<Request>,
    programs: Programs,
}

impl Launcher {
    pub fn start(programs: Programs) -> std::io::Result<Self> {
        let (requests, incoming) = mpsc::channel::<Request>();
        let runtime = tokio::runtime::Handle::current();
        std::thread::Builder::new().name("container-launcher".to_owned()).spawn(move || {
            // Children are awaited on the runtime, so they must be made within it.
            let _inside = runtime.enter();
            while let Ok(mut request) = incoming.recv() {
                let child = spawn(&mut request);
                // Nobody waits any more: dropping the child ends it.
                let _ = request.reply.send(child);
            }
        })?;
        Ok(Self { requests, programs })
    }

    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    /// Starts a sandbox and waits until its root is complete.
    pub async fn launch(&self, launch: Launch) -> Result<Launched, LaunchError> {
        let (gate, theirs) = StdUnixStream::pair()?;
        let (reader, writer) = std::io::pipe()?;
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT]).arg(&self.programs.bwrap);
        command.arg(format!("/proc/{}/fd/{}", std::process::id(), reader.as_raw_fd())).arg("--").args(&launch.command);
        command.env_clear().current_dir("/").kill_on_drop(true);
        command.stdin(OwnedFd::from(theirs)).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (reply, child) = oneshot::channel();
        let request = Request { command, descriptors: launch.descriptors, reply };
        self.requests.send(request).map_err(|_| LaunchError::Closed)?;
        let mut child = child.await.map_err(|_| LaunchError::Closed)??;
        let missing = || LaunchError::Setup("a pipe to bubblewrap is missing".to_owned());
        let mut status = BufReader::new(child.stdout.take().ok_or_else(missing)?).lines();
        let mut output = child.stderr.take().ok_or_else(missing)?;
        let options = joined(&launch.arguments);
        let first = tokio::select! {
            // It comes when the options have been read, or is empty when they are refused.
            line = status.next_line() => line?.unwrap_or_default(),
            error = write(writer, &options) => return Err(error.into()),
        };
        drop(reader);
        let Some(init_pid) = child_pid(&first) else { return Err(refused(child, &mut output).await?) };
        if !opened(gate).await {
            return Err(refused(child, &mut output).await?);
        }
        let (reported, exit_reported) = oneshot::channel();
        tokio::spawn(async move {
            let mut found = false;
            while let Ok(Some(line)) = status.next_line().await {
                found |= line.contains("\"exit-code\"");
            }
            // The container was given up.
            let _ = reported.send(found);
        });
        Ok(Launched { child, init_pid, output, exit_reported })
    }
}

/// Starts a program while nothing is open to be inherited by it.
pub fn spawn_alone(command: &mut Command) -> std::io::Result<Child> {
    let _alone = SPAWNING.lock().unwrap_or_else(PoisonError::into_inner);
    command.spawn()
}

/// Writes the options and closes the pipe; returns only to tell of an error.
async fn write(writer: PipeWriter, options: &[u8]) -> std::io::Error {
    let written = async {
        let mut writer = pipe::Sender::from_owned_fd(writer.into())?;
        writer.write_all(options).await
    };
    match written.await {
        Ok(()) => std::future::pending().await,
        Err(error) => error,
    }
}

/// What a bubblewrap that gave up says.
async fn refused(mut child: Child, output: &mut ChildStderr) -> std::io::Result<LaunchError> {
    let mut said = Vec::new();
    output.read_to_end(&mut said).await?;
    child.wait().await?;
    let said = String::from_utf8_lossy(&said);
    Ok(LaunchError::Setup(said.lines().last().unwrap_or("bubblewrap failed").trim().to_owned()))
}

/// bubblewrap reads one byte from the gate once the root is complete and closes it. When it fails before, the byte is
/// left unread and the connection reset.
async fn opened(gate: StdUnixStream) -> bool {
    let pass = async {
        gate.set_nonblocking(true)?;
        let mut gate = UnixStream::from_std(gate)?;
        gate.write_all(b"g").await?;
        gate.read(&mut [0]).await
    };
    pass.await.is_ok_and(|read| read == 0)
}

fn spawn(request: &mut Request) -> std::io::Result<Child> {
    let _alone = SPAWNING.lock().unwrap_or_else(PoisonError::into_inner);
    for descriptor in request.descriptors.iter() {
        rustix::io::fcntl_setfd(descriptor, FdFlags::empty())?;
    }
    let child = request.command.spawn();
    for descriptor in request.descriptors.iter() {
        rustix::io::fcntl_setfd(descriptor, FdFlags::CLOEXEC)?;
    }
    child
}

fn joined(arguments: &[OsString]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for argument in arguments {
        bytes.extend_from_slice(argument.as_encoded_bytes());
        bytes.push(0);
    }
    bytes
}

fn child_pid(line: &str) -> Option<i32> {
    let status: serde_json::Value = serde_json::from_str(line).ok()?;
    i32::try_from(status["child-pid"].as_i64()?).ok()
}
