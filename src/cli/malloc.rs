//! What the allocator of the C library keeps to itself.
//!
//! By itself it takes several times what the program needs, and more with every thousand servers that come and go. It can be
//! told by the environment alone (from inside it takes unsafe code), and only before it begins; so the program begins again,
//! as the same process.

use std::os::unix::process::CommandExt;
use std::process::Command;

const SETTINGS: &str = "GLIBC_TUNABLES";
/// By name, in bytes where it is a size.
const TUNABLES: [(&str, u32); 5] = [
    // Else one for each thread, up to eight a processor, and little of them is given back.
    ("arena_max", 1),
    ("trim_threshold", 128 << 10),
    // Fixed: else the check of one password (19 MiB) raises it, and that much is never given back.
    ("mmap_threshold", 1 << 20),
    // What a thread keeps of freed memory for itself, and what is kept for the next of the same size, is not put together with
    // its neighbours. Files and the database have a thread each while many servers start: the heap goes to pieces.
    ("tcache_max", 128),
    ("mxfast", 0),
];

/// What says the same of one of them each.
const OLDER_SETTINGS: [&str; 3] = ["MALLOC_ARENA_MAX", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"];

/// Says that this was done. The loader may take the settings themselves away from a program with capabilities.
const BEGUN: &str = "K8SMGR_BEGUN_AGAIN";

/// Comes back where the settings are in force, where somebody else has decided, or where it does not work.
pub fn begin_with_settings() {
    let is_set = |name: &str| std::env::var_os(name).is_some();
    if is_set(SETTINGS) || is_set(BEGUN) || OLDER_SETTINGS.into_iter().any(is_set) {
        return;
    }
    let begin = || {
        // Not /proc/self/exe: the process would be called `exe` from then on.
        let program = std::env::current_exe()?;
        let mut arguments = std::env::args_os();
        let name = arguments.next().unwrap_or_else(|| program.clone().into_os_string());
        let settings = TUNABLES.map(|(name, value)| format!("glibc.malloc.{name}={value}")).join(":");
        Err::<(), _>(Command::new(program).arg0(name).args(arguments).env(SETTINGS, settings).env(BEGUN, "1").exec())
    };
    if let Err(error) = begin() {
        eprintln!("k8smgr: it will take more memory than it needs: {error}");
    }
}
