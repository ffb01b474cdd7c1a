//! How many files the process may open: every connection is one, and a hub that restarts polls all of its servers at once.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Polls of so many servers at once, and what else is open.
const ENOUGH: u64 = 16_384;

/// Takes what the system allows, and says so where that is little.
pub fn raise() {
    let allowed = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: allowed.maximum, maximum: allowed.maximum });
    let current = match raised {
        Ok(()) => allowed.maximum,
        Err(_) => allowed.current,
    };
    if let Some(files) = current.filter(|it| *it < ENOUGH) {
        tracing::warn!(
            files,
            "few files may be open at once, and every connection is one: raise the limit (ulimit -Hn, systemd's \
             LimitNOFILE) to {ENOUGH} or more, or connections are refused when a hub polls many servers at once"
        );
    }
}
