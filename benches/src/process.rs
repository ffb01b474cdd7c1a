//! What a process used so far, read from /proc.

use std::time::Duration;

use anyhow::Context;
use rustix::param::clock_ticks_per_second;
use rustix::thread::CpuSet;

#[derive(Clone, Copy, Debug)]
pub struct ProcessId(pub u32);

impl ProcessId {
    /// User and system time of all its threads.
    pub fn cpu_time(self) -> anyhow::Result<Duration> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.0)).context("the server ended")?;
        // The name in brackets may hold anything; utime and stime are the 12th and 13th behind it.
        let (_, fields) = text.rsplit_once(')').context("/proc/<pid>/stat is not understood")?;
        let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|it| it.parse::<u64>().ok()).sum();
        Ok(Duration::from_secs_f64(ticks as f64 / clock_ticks_per_second() as f64))
    }

    /// Memory in use, in MiB.
    pub fn resident_mib(self) -> anyhow::Result<f64> {
        self.status_mib("VmRSS:")
    }

    /// The most it ever used, in MiB.
    pub fn peak_mib(self) -> anyhow::Result<f64> {
        self.status_mib("VmHWM:")
    }

    /// Forgets the most that it ever used.
    pub fn reset_peak(self) -> anyhow::Result<()> {
        std::fs::write(format!("/proc/{}/clear_refs", self.0), "5").context("failed to reset the peak of the memory")
    }

    /// How often it read from a file (or a pipe); what comes over sockets does not count.
    pub fn file_reads(self) -> anyhow::Result<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/io", self.0)).context("the server ended")?;
        let line = text.lines().find_map(|it| it.strip_prefix("syscr:")).context("no such field")?;
        Ok(line.trim().parse()?)
    }

    fn status_mib(self, field: &str) -> anyhow::Result<f64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.0)).context("the server ended")?;
        let line = text.lines().find_map(|it| it.strip_prefix(field)).context("no such field")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib / 1024.0)
    }

    pub fn own() -> Self {
        Self(std::process::id())
    }

    /// Lets every thread of it run on these cores only.
    pub fn pin_to(self, allowed: impl IntoIterator<Item = usize>) -> anyhow::Result<()> {
        let cores = set_of(allowed);
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.0))? {
            let thread: i32 = thread?.file_name().to_string_lossy().parse()?;
            let thread = rustix::process::Pid::from_raw(thread);
            rustix::thread::sched_setaffinity(thread, &cores)?;
        }
        Ok(())
    }
}

/// Does something on one core; a process that it starts stays there, and knows from the beginning that it has no other.
pub fn on_core<T>(core: usize, work: impl FnOnce() -> T) -> anyhow::Result<T> {
    let before = rustix::thread::sched_getaffinity(None)?;
    rustix::thread::sched_setaffinity(None, &set_of([core]))?;
    let done = work();
    rustix::thread::sched_setaffinity(None, &before)?;
    Ok(done)
}

fn set_of(allowed: impl IntoIterator<Item = usize>) -> CpuSet {
    let mut cores = CpuSet::new();
    allowed.into_iter().for_each(|core| cores.set(core));
    cores
}

/// Lets this process open as many connections as the machine allows.
pub fn raise_file_limit() -> anyhow::Result<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(maximum.unwrap_or(u64::MAX))
}
