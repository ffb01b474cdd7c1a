//! The folder for the sockets of ssh's masters: ours alone, at the same place after a restart, so that a master that
//! outlived its K8s Manager (`kill -9`) is found and ended before its ports are wanted again.

use std::fs::DirEntry;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, getuid, kill_process};
use sha2::{Digest, Sha256};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep};

use super::MakeError;

/// How long a master may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);

#[derive(Clone, Debug)]
pub struct ControlFolder(PathBuf);

impl ControlFolder {
    /// A socket's path may have about a hundred characters, so it lies in the folder for temporary files.
    pub fn new(installation: &str) -> Self {
        Self(std::env::temp_dir().join(format!("k8smgr-{installation}")))
    }

    /// Makes the folder, or sees that it is ours: in a folder that everybody may write to, somebody may have been quicker.
    pub fn prepare(&self) -> Result<(), MakeError> {
        let failed = |reason: String| MakeError::ControlFolder { folder: self.0.display().to_string(), reason };
        match std::fs::DirBuilder::new().mode(0o700).create(&self.0) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(failed(error.to_string())),
            _ => {}
        }
        match self.is_ours() {
            Ok(true) => Ok(()),
            Ok(false) => Err(failed("it is somebody else's, or others may use it; remove it".to_owned())),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    fn is_ours(&self) -> std::io::Result<bool> {
        let metadata = std::fs::symlink_metadata(&self.0)?;
        let is_ours = metadata.is_dir() && metadata.uid() == getuid().as_raw();
        Ok(is_ours && metadata.permissions().mode() & 0o077 == 0)
    }

    /// Where the master for a host listens.
    pub fn socket(&self, alias: &str) -> PathBuf {
        let hash = Sha256::digest(alias.as_bytes());
        self.0.join(hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>())
    }

    /// Ends the masters of an earlier process. Those of this process have ended before.
    pub async fn end_all(&self) {
        if !self.is_ours().unwrap_or(false) {
            return;
        }
        let Ok(entries) = std::fs::read_dir(&self.0) else { return };
        let is_socket = |it: &DirEntry| it.file_type().is_ok_and(|it| it.is_socket());
        let sockets: Vec<PathBuf> = entries.flatten().filter(is_socket).map(|it| it.path()).collect();
        futures::future::join_all(sockets.iter().map(|it| end(it))).await;
    }

    /// Removes the folder where it is empty.
    pub fn leave(&self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// Ends whoever listens on a socket, and removes it.
pub async fn end(socket: &Path) {
    let begun = Instant::now();
    let mut asked = false;
    // It listens in our own folder, so it is a master of ours, whatever it is at.
    while let Some(pid) = listener(socket).await {
        let signal = if begun.elapsed() >= GRACE { Signal::KILL } else { Signal::TERM };
        if !asked {
            tracing::info!(pid = pid.as_raw_nonzero().get(), "ends a connection of ssh that an earlier process left");
        }
        if !asked || signal == Signal::KILL {
            let _ = kill_process(pid, signal);
        }
        asked = true;
        if begun.elapsed() >= 2 * GRACE {
            break;
        }
        sleep(PAUSE).await;
    }
    let _ = std::fs::remove_file(socket);
}

async fn listener(socket: &Path) -> Option<Pid> {
    let stream = tokio::time::timeout(GRACE, UnixStream::connect(socket)).await.ok()?.ok()?;
    let pid = stream.peer_cred().ok()?.pid()?;
    // Zero: of another namespace.
    Pid::from_raw(pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_others_may_use_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let control = ControlFolder(folder.path().join("control"));
        control.prepare().unwrap();
        control.prepare().unwrap();
        std::fs::set_permissions(&control.0, PermissionsExt::from_mode(0o755)).unwrap();
        assert!(control.prepare().unwrap_err().to_string().contains("others may use it"));
        let link = ControlFolder(folder.path().join("link"));
        std::os::unix::fs::symlink(folder.path(), &link.0).unwrap();
        assert!(link.prepare().is_err());
        let missing = ControlFolder(folder.path().join("none/control"));
        assert!(missing.prepare().is_err());
    }

    #[test]
    fn a_socket_s_path_is_short_whatever_the_host_is_called() {
        let control = ControlFolder::new("abcdefghijkl");
        let socket = control.socket(&format!("tunnel_{}", "a".repeat(250)));
        assert_eq!(socket.file_name().unwrap().len(), 16);
        assert_ne!(socket, control.socket("tunnel_b"));
    }
}
