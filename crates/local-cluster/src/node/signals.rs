//! Signals for a container's main process and for its whole pid namespace.

use std::fs;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Asks the container's main process to end. bubblewrap's init is 1 in there and the command 2. Answers whether it was
/// there: in the first moment it is not yet.
pub fn terminate(init_pid: i32) -> bool {
    let mut asked = false;
    for pid in children(init_pid) {
        // The descriptor is opened before the look, so that it is the process looked at that gets the signal.
        if let Some(process) = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok())
            && inner_pid(pid) == Some(2)
        {
            // It may have ended by itself meanwhile.
            let _ = pidfd_send_signal(process, Signal::TERM);
            asked = true;
        }
    }
    asked
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

fn children(pid: i32) -> Vec<i32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|it| it.parse().ok()).collect()
}

/// The number of a process in its innermost pid namespace.
fn inner_pid(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("NSpid:"))?.split_whitespace().last()?.parse().ok()
}
