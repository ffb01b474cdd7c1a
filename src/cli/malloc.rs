//! What the allocator of the C library keeps to itself.
//!
//! It has an arena for each thread that allocates, up to eight a processor, and gives little of them back: with 2,000 services
//! that was 80 MiB, and is 15 MiB with one arena that is trimmed. Two are no faster here, and what servers that come and go leave
//! unused in them grows to twice as much. It can be told by the environment alone (from inside it takes unsafe code), and only
//! before it begins; so the program begins again, as the same process.

use std::os::unix::process::CommandExt;
use std::process::Command;

const SETTINGS: [(&str, &str); 3] = [
    ("MALLOC_ARENA_MAX", "1"),
    ("MALLOC_TRIM_THRESHOLD_", "131072"),
    // Fixed: else the check of one password (19 MiB) raises it, and that much is never given back.
    ("MALLOC_MMAP_THRESHOLD_", "1048576"),
];

/// Says that this was done. The loader may take the settings themselves away from a program with capabilities.
const BEGUN: &str = "K8SMGR_BEGUN_AGAIN";

/// Comes back where the settings are in force, where somebody else has decided, or where it does not work.
pub fn begin_with_settings() {
    let is_decided = |(name, _): &(&str, &str)| std::env::var_os(name).is_some();
    let was_set = |name| std::env::var_os(name).is_some();
    if SETTINGS.iter().any(is_decided) || was_set("GLIBC_TUNABLES") || was_set(BEGUN) {
        return;
    }
    let begin = || {
        // Not /proc/self/exe: the process would be called `exe` from then on.
        let program = std::env::current_exe()?;
        let mut arguments = std::env::args_os();
        let name = arguments.next().unwrap_or_else(|| program.clone().into_os_string());
        Err::<(), _>(Command::new(program).arg0(name).args(arguments).envs(SETTINGS).env(BEGUN, "1").exec())
    };
    if let Err(error) = begin() {
        eprintln!("k8smgr: it will take more memory than it needs: {error}");
    }
}
