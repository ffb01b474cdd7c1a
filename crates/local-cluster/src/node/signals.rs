//! Signals for a container's main process and for its whole pid namespace, held so that no later process of the same
//! number gets them.

use std::fs;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// How soon a container's main process is looked for again.
const UNBORN: Duration = Duration::from_millis(1);

/// A hold on a container's main process.
#[derive(Debug)]
pub struct MainProcess(Option<OwnedFd>);

impl MainProcess {
    /// Finds the command: the first child of bubblewrap's init, as long as nothing else has been started in there. The
    /// root is complete a moment before init makes it.
    pub async fn of(init_pid: i32) -> Self {
        loop {
            match children(init_pid) {
                // Gone already, or a kernel that does not tell; then only killing is left.
                None => return Self(None),
                Some(pids) => {
                    if let Some(pid) = pids.first() {
                        return Self(Pid::from_raw(*pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()));
                    }
                }
            }
            tokio::time::sleep(UNBORN).await;
        }
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        if let Some(process) = &self.0 {
            // It may have ended by itself meanwhile.
            let _ = pidfd_send_signal(process, Signal::TERM);
        }
    }
}

/// A hold on the first process of a container's pid namespace, which no later process of that number takes over.
#[derive(Debug)]
pub struct Namespace(Option<OwnedFd>);

impl Namespace {
    /// Takes hold; a process that is gone already makes an empty hold.
    pub fn of(init_pid: i32) -> Self {
        let process = Pid::from_raw(init_pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        Self(process.filter(|_| inner_pid(init_pid) == Some(1)))
    }

    /// Ends every process of the container: the kernel does it when the first of a pid namespace ends.
    pub fn kill(&self) {
        if let Some(process) = &self.0 {
            // Gone already is what was wanted.
            let _ = pidfd_send_signal(process, Signal::KILL);
        }
    }

    /// Ends every process of the container and returns when none is left.
    pub async fn end(self) {
        self.kill();
        let Some(process) = self.0 else { return };
        let wait = move || {
            // A process descriptor is readable once its process has ended, which the kernel lets it do last.
            let _ = rustix::event::poll(&mut [PollFd::new(&process, PollFlags::IN)], None);
        };
        // The kill has been sent, so this is short.
        let _ = tokio::task::spawn_blocking(wait).await;
    }
}

/// The children of a process; `None` when it has ended.
fn children(pid: i32) -> Option<Vec<i32>> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    // What has ended and was not reaped yet has a list too, and an empty one.
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let ended = status.lines().any(|line| line.starts_with("State:\tZ") || line.starts_with("State:\tX"));
    (!ended).then(|| list.split_whitespace().filter_map(|it| it.parse().ok()).collect())
}

/// The number of a process in its innermost pid namespace.
fn inner_pid(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("NSpid:"))?.split_whitespace().last()?.parse().ok()
}
